import pytest
from pydantic import ValidationError

from quire.errors import UsageError
from quire.model.config import ModelConfig
from quire.settings import build, help_of

SHAPE = {"vocab_size": 50, "hidden_size": 48, "num_layers": 2, "num_heads": 4, "context_length": 16}


def test_what_is_left_out_follows_from_the_rest() -> None:
    config = ModelConfig(**SHAPE)
    assert (config.num_kv_heads, config.head_dim) == (4, 12)
    assert config.intermediate_size == 128  # 8/3 of 48, exactly
    assert ModelConfig(**SHAPE | {"hidden_size": 56}).intermediate_size == 160  # 149.33, rounded up to 32s


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_kv_heads": 3}, "num_heads"),
        ({"head_dim": 7}, "head_dim"),
        ({"hidden_size": 50}, r"hidden_size \(50\) is no multiple of num_heads \(4\): set head_dim"),
        ({"dropout": 1.0}, "dropout"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"width": 3}, "width"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_by_name(change: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        build(ModelConfig, SHAPE | change)


def test_a_config_is_frozen_and_every_field_explains_itself() -> None:
    config = ModelConfig(**SHAPE)
    with pytest.raises(ValidationError):
        config.hidden_size = 3
    assert all(help_of(ModelConfig, field) for field in ModelConfig.model_fields)
