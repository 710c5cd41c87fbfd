"""Folders of integers: what was written is read, what is damaged or hostile is refused; nobody misreads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

from quire.errors import FormatError, QuireError, UsageError
from quire.inference.language import load
from quire.inference.settings import SamplingSettings
from quire.interop.huggingface import load_model_folder, save_model_folder
from quire.interop.quantized import export_quantized
from quire.model.config import ModelConfig
from quire.model.quantization import Kind, quantize
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

TOKENIZER = Tokenizer.byte()
KINDS: tuple[Kind, ...] = ("int8", "int4")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(**changes: object) -> Path:
        shape = {"vocab_size": TOKENIZER.vocab_size, "hidden_size": 48, "num_layers": 2, "num_heads": 2}
        torch.manual_seed(1)
        model = Transformer(ModelConfig.model_validate(shape | {"context_length": 16} | changes))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_((1.0 if parameter.dim() == 1 else 0.0) + 0.2 * torch.randn(parameter.shape))
        save_model_folder(tmp_path / "run", model, TOKENIZER)
        return tmp_path / "run"

    return make


@pytest.fixture(params=KINDS)
def out(request: pytest.FixtureRequest, make_run: Callable[..., Path], tmp_path: Path) -> Path:
    export_quantized(make_run(), tmp_path / "out", request.param)
    return tmp_path / "out"


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False}, {"qk_norm": False, "hidden_size": 40}])
@pytest.mark.parametrize("kind", KINDS)
def test_written_then_read_is_what_is_made_at_load(
    make_run: Callable[..., Path], tmp_path: Path, kind: Kind, changes: dict[str, object]
) -> None:
    run = make_run(**changes)
    before = {path: path.read_bytes() for path in run.iterdir()}
    sizes = export_quantized(run, tmp_path / "new" / "out", kind)
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    read, tokenizer = load_model_folder(tmp_path / "new" / "out")
    made = quantize(load_model_folder(run)[0], kind)
    assert read.weights_kind == kind
    assert read.config == made.config
    assert tokenizer.fingerprint() == TOKENIZER.fingerprint()
    assert read.state_dict().keys() == made.state_dict().keys()
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in made.state_dict().items())
    assert sizes.before == (run / "model.safetensors").stat().st_size
    assert sizes.after == (tmp_path / "new" / "out" / "model.safetensors").stat().st_size < sizes.before / 2.5
    copied = {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == copied | {"config.json", "model.safetensors"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_the_engine_writes_with_it(out: Path, make_run: Callable[..., Path]) -> None:
    language = load(out, "cpu")
    greedy = SamplingSettings(temperature=0, max_tokens=24)
    cached, uncached = (language.generate("A quire", greedy, use_cache=cache)[0] for cache in (True, False))
    assert cached.tokens == uncached.tokens
    assert len(cached.tokens) == 24


def test_transformers_refuses_it(out: Path) -> None:
    for opener in (transformers.AutoModelForCausalLM, transformers.Qwen3ForCausalLM):
        with pytest.raises(ValueError, match="quant_method"):
            opener.from_pretrained(out)


def test_what_is_there_is_not_replaced(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there already"):
        export_quantized(tmp_path / "run", out, "int8")
    with pytest.raises(UsageError, match=r"int[48] already"):
        export_quantized(out, tmp_path / "again", "int8")
    assert not (tmp_path / "again").exists()


def test_a_failure_leaves_nothing(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run()
    (tmp_path / "file").write_text("")
    with pytest.raises(QuireError):
        export_quantized(run, tmp_path / "file" / "out", "int8")
    (run / "generation_config.json").unlink()
    (run / "generation_config.json").mkdir()
    with pytest.raises(QuireError):
        export_quantized(run, tmp_path / "out", "int8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]


def damage(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    change(tensors)
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop(f"{UP}_scale"), rf"missing, the first is {UP}_scale"),
        (lambda t: t.pop(UP), rf"missing, the first is {UP}$"),
        (lambda t: t.update({UP: t[UP].float()}), rf"{UP} holds torch.float32, int. weights need torch.u?int8"),
        (lambda t: t.update({UP: t[UP].to(torch.int16)}), rf"{UP} holds torch.int16"),
        (lambda t: t.update({f"{UP}_scale": t[f"{UP}_scale"].half()}), rf"{UP}_scale holds torch.float16"),
        (lambda t: t.update({UP: t[UP][:, :-1].contiguous()}), rf"{UP} has the shape"),
        (lambda t: t.update({f"{UP}_scale": t[f"{UP}_scale"][:-1].contiguous()}), rf"{UP}_scale has the shape"),
        (lambda t: t[f"{UP}_scale"].fill_(float("nan")), rf"{UP}_scale holds a scale that is infinite or none"),
        (lambda t: t["model.embed_tokens.weight"].fill_(-128), "embed_tokens.weight holds -128"),
        (lambda t: t.update({"model.norm.weight": torch.ones(48, dtype=torch.int8)}), "norm.weight holds torch.int8"),
        (lambda t: t.update({"model.norm.weight_scale": torch.ones(1)}), "unknown.*model.norm.weight_scale"),
    ],
)
def test_a_damaged_tensor_is_named(out: Path, change: Callable[[dict[str, torch.Tensor]], object], named: str) -> None:
    damage(out, change)
    with pytest.raises(FormatError, match=named) as caught:
        load_model_folder(out)
    assert "model.safetensors" in str(caught.value.where)


@pytest.mark.parametrize(
    "stored",
    [
        {"format": "quire", "weights": "int2", "group": 32, "embedding": "int8"},
        {"format": "quire", "weights": "int4", "group": 64, "embedding": "int8"},
        {"format": "quire", "weights": ["int8"]},
        {"quant_method": "gptq", "bits": 4},
        {},
        "int8",
        [],
    ],
)
def test_another_way_of_quantizing_is_refused(out: Path, stored: object) -> None:
    config = out / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": stored}))
    with pytest.raises(FormatError, match=r"quantization_config = .* is not supported") as caught:
        load_model_folder(out)
    assert caught.value.where == str(config)


def test_integers_without_their_configuration_are_refused(out: Path) -> None:
    config = out / "config.json"
    described = json.loads(config.read_text())
    del described["quantization_config"]
    config.write_text(json.dumps(described))
    with pytest.raises(FormatError, match="unknown tensor"):
        load_model_folder(out)
