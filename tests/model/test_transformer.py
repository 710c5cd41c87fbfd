import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from quire.model import attention
from quire.model.cache import KVCache
from quire.model.config import ModelConfig
from quire.model.rotary import rotary_tables
from quire.model.size import cache_bytes, count_flops, count_parameters, parts, reading_flops, size_table
from quire.model.transformer import Transformer

Make = Callable[..., Transformer]
TOKENS = torch.randint(0, 61, (3, 24), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_parameters_are_counted_exactly(make_model: Make, tied: bool, qk_norm: bool) -> None:
    model = make_model(tie_embeddings=tied, qk_norm=qk_norm)
    assert model.num_parameters() == sum(parameter.numel() for parameter in model.parameters())
    assert model.num_parameters() == count_parameters(model.config)


@pytest.mark.parametrize(("tied", "kv_heads"), [(True, 2), (False, 4)])
def test_flops_are_those_that_torch_counts(
    make_model: Make, tied: bool, kv_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tie_embeddings=tied, num_kv_heads=kv_heads)
    monkeypatch.setattr(attention, "LONGEST_KEPT", 0)  # it spares a part of the hidden half, which is counted as always
    # Of attention's several programs, torch's counter knows the one made of two plain products.
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            loss = model.loss(TOKENS, TOKENS)
        with FlopCounterMode(display=False) as backward:
            loss.backward()  # type: ignore[no-untyped-call]
    tokens = TOKENS.numel()
    assert forward.get_total_flops() == tokens * model.flops_per_token(24)
    assert forward.get_total_flops() + backward.get_total_flops() == tokens * model.flops_per_token(24, training=True)


def test_the_size_table_adds_up(make_model: Make) -> None:
    config = make_model(tie_embeddings=False).config
    table = size_table(config)
    assert f"{count_parameters(config):,}" in table
    assert f"{count_flops(config, 24):,}" in table
    assert all(part.name in table for part in parts(config, 24))


def test_what_a_prompt_takes_to_read_does_not_depend_on_how_it_is_cut(make_model: Make) -> None:
    config = make_model().config
    each = {part.name: part.flops for part in parts(config, 1)}
    head, scores = each["head"], each["attention scores"]
    # A row of 10, as training counts it, without the half that nobody sees and with the head once.
    whole = 10 * count_flops(config, 10) - 9 * head - 100 * scores + 55 * scores
    assert reading_flops(config, 10) == whole
    assert reading_flops(config, 4) + reading_flops(config, 6, 4) == whole + head


def test_bytes_of_the_cache_are_those_of_a_cache(make_model: Make) -> None:
    config = make_model(num_kv_heads=2).config
    cache = KVCache(config, 1, capacity=7)
    assert 7 * cache_bytes(config) == cache.keys.nbytes + cache.values.nbytes


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_no_token_sees_a_later_one(make_model: Make, kv_heads: int) -> None:
    model = make_model(num_kv_heads=kv_heads)
    changed = TOKENS.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 61
    with torch.no_grad():
        before, after = model(TOKENS), model(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10], rtol=0, atol=1e-5)
    assert (before[:, 10:] - after[:, 10:]).abs().amax(-1).min() > 1e-2


def test_loss_is_the_sum_over_targets_in_float32(make_model: Make) -> None:
    model = make_model()
    targets = TOKENS.roll(-1, dims=1).clone()
    targets[0, :7] = -100
    targets[2] = -100
    logs = model(TOKENS).log_softmax(-1)
    expected = -sum(logs[b, t, targets[b, t]] for b in range(3) for t in range(24) if targets[b, t] != -100)
    loss = model.loss(TOKENS, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    assert model.loss(TOKENS, torch.full_like(TOKENS, -100)).item() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kv_heads", [2, 4])
def test_under_autocast_the_loss_is_float32_and_near(make_model: Make, dtype: torch.dtype, kv_heads: int) -> None:
    model = make_model(num_kv_heads=kv_heads)
    exact = model.loss(TOKENS, TOKENS)
    with torch.autocast("cpu", dtype):
        loss = model.loss(TOKENS, TOKENS)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.dtype == torch.float32
    assert loss.item() != exact.item()
    torch.testing.assert_close(loss, exact, rtol=2e-2, atol=0)
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_before_training_every_block_is_the_identity_and_the_loss_is_that_of_knowing_nothing(tied: bool) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=61, hidden_size=32, num_layers=3, num_heads=4, context_length=24, tie_embeddings=tied
    )
    model = Transformer(config)
    stream = model.model.embed_tokens(TOKENS)
    torch.testing.assert_close(model.hidden(TOKENS), model.model.norm(stream))
    per_token = model.loss(TOKENS, TOKENS.roll(-1, dims=1)).item() / TOKENS.numel()
    assert per_token == pytest.approx(math.log(61), abs=0.05 if tied else 1e-5)
    weights = model.model.layers[1].mlp.gate_proj.weight
    assert float(weights.std()) == pytest.approx(32**-0.5, rel=0.1)


def test_dropout_acts_in_training_alone(make_model: Make) -> None:
    plain, dropping = make_model(), make_model(dropout=0.3)
    with torch.no_grad():
        assert torch.equal(plain(TOKENS), dropping(TOKENS))
        dropping.train()
        assert not torch.equal(dropping(TOKENS), dropping(TOKENS))


def test_dropout_keeps_the_expected_stream(make_model: Make) -> None:
    model = make_model(dropout=0.5, num_layers=1).train()
    seen: list[torch.Tensor] = []
    model.model.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    with torch.no_grad():
        for _ in range(400):
            model(TOKENS[:1, :4])
    mean, exact = torch.stack(seen).mean(0), model.model.embed_tokens(TOKENS[:1, :4])
    assert float((mean - exact).abs().mean()) < 0.1 * float(exact.abs().mean())
    assert float((torch.stack(seen) == 0).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_tokens_may_stand_anywhere(make_model: Make) -> None:
    # Rotary positions tell distances, so a text moved as a whole gives the same logits.
    model = make_model()
    with torch.no_grad():
        moved = model(TOKENS[:, :10], positions=torch.arange(7, 17))
        torch.testing.assert_close(moved, model(TOKENS[:, :10]), rtol=0, atol=2e-5)
        each = torch.stack([torch.arange(start, start + 10) for start in (0, 4, 9)])
        torch.testing.assert_close(model(TOKENS[:, :10], positions=each), moved, rtol=0, atol=2e-5)
        spread = model(TOKENS[:, :10], positions=torch.arange(0, 20, 2))
    assert (spread - moved).abs().max() > 1e-2


def test_more_tokens_than_the_context_are_refused(make_model: Make) -> None:
    with pytest.raises(ValueError, match="context of 24"):
        make_model()(torch.zeros(1, 25, dtype=torch.long))


def test_loss_can_be_exported_as_one_graph(make_model: Make) -> None:
    # torch.compile(fullgraph=True) needs no more than that tracing meets no break; "eager" needs no C++ compiler.
    model = make_model(dropout=0.1).train()
    compiled = torch.compile(model.loss, fullgraph=True, backend="eager")
    torch.manual_seed(3)
    ours = compiled(TOKENS, TOKENS)
    torch.manual_seed(3)
    torch.testing.assert_close(ours, model.loss(TOKENS, TOKENS))


def test_in_float64_the_rotary_tables_are_exact(make_model: Make) -> None:
    model = make_model(context_length=4096)
    rounded = model.cos.clone(), model.sin.clone()
    assert model.cos.dtype == torch.float32
    model.double()
    half = model.config.head_dim // 2
    turns = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(4096, dtype=torch.float64)[:, None] * turns
    for table, exact, narrow in zip((model.cos, model.sin), (angles.cos(), angles.sin()), rounded, strict=True):
        assert table.dtype == torch.float64
        torch.testing.assert_close(table, torch.cat((exact, exact), -1), rtol=0, atol=1e-12)
        assert not torch.equal(table, narrow.double())
    model.float()
    assert torch.equal(model.cos, rounded[0])
    assert torch.equal(model.sin, rounded[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_narrower_types_round_the_tables_as_ever(make_model: Make, dtype: torch.dtype) -> None:
    model = make_model()
    cos, sin = rotary_tables(24, 8, 10000.0)
    model.to(dtype)
    assert torch.equal(model.cos, cos.to(dtype))
    assert torch.equal(model.sin, sin.to(dtype))


def test_in_float64_a_model_may_be_moved_copied_traced_and_on_no_device(make_model: Make) -> None:
    model = make_model().double()
    with torch.no_grad():
        logits = model(TOKENS)
    assert logits.dtype == torch.float64
    # With a way back, rotations are computed in another order of sums: the last bit may differ.
    assert torch.allclose(copy.deepcopy(model)(TOKENS), logits, rtol=0, atol=1e-13)
    assert torch.allclose(torch.compile(model, fullgraph=True, backend="eager")(TOKENS), logits, rtol=0, atol=1e-13)
    with torch.device("meta"):
        outline = Transformer(model.config).double()
    assert (outline.cos.device.type, outline.cos.dtype) == ("meta", torch.float64)
    assert make_model().to("meta", torch.float64).cos.is_meta
    assert not any(name.endswith(("cos", "sin")) for name in model.state_dict())
