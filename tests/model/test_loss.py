"""The loss in chunks of rows is the loss of all rows at once, with its gradients, in every mode it is trained in."""

import pytest
import torch
import torch.nn.functional as F

from quire.model import loss as losses
from quire.model.config import ModelConfig
from quire.model.loss import rows_at_once, summed_cross_entropy
from quire.model.transformer import Transformer
from quire.training.machine import find_compiler

ROWS, WIDTH, VOCABULARY = 50, 16, 97


def case(dtype=torch.float32):
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(ROWS, WIDTH, generator=draw, dtype=dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=dtype).requires_grad_()
    targets = torch.randint(VOCABULARY, (ROWS,), generator=draw)
    targets[[0, 7, 8, 9, 49]] = -100
    return hidden, weight, targets


def plain(hidden, weight, targets):
    return F.cross_entropy(F.linear(hidden, weight).float(), targets, ignore_index=-100, reduction="sum")


def with_gradients(loss, hidden, weight):
    value = loss * 0.37  # what comes from above is not 1
    return value.detach(), *torch.autograd.grad(value, (hidden, weight))


def apart(ours, theirs):
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


@pytest.mark.parametrize("rows", [1, 3, 7, 49, 50, 1000])
def test_chunks_add_up_to_the_whole(rows):
    hidden, weight, targets = case()
    ours = with_gradients(summed_cross_entropy(hidden, weight, targets, rows=rows), hidden, weight)
    theirs = with_gradients(plain(hidden, weight, targets), hidden, weight)
    assert all(apart(a, b) < 1e-6 for a, b in zip(ours, theirs, strict=True))
    assert ours[0].dtype == torch.float32
    assert not ours[1][[0, 7, 8, 9, 49]].any()  # nothing is learned where nothing was to be predicted


def test_a_chunk_of_nothing_but_ignored_rows_has_no_loss_and_no_gradient():
    hidden, weight, targets = case()
    value, *gradients = with_gradients(
        summed_cross_entropy(hidden, weight, torch.full_like(targets, -100), rows=7), hidden, weight
    )
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)


def test_the_same_bits_every_time():
    hidden, weight, targets = case()
    first, second = (
        with_gradients(summed_cross_entropy(hidden, weight, targets, rows=8), hidden, weight) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("dtype", "close"), [(torch.bfloat16, 0.01), (torch.float16, 0.002)])
def test_under_autocast_it_is_as_exact_as_the_plain_loss(dtype, close):
    hidden, weight, targets = case()
    exact = with_gradients(plain(hidden, weight, targets), hidden, weight)
    with torch.autocast("cpu", dtype=dtype):
        ours = with_gradients(summed_cross_entropy(hidden, weight, targets, rows=8), hidden, weight)
        theirs = with_gradients(plain(hidden, weight, targets), hidden, weight)
    for a, b, true in zip(ours, theirs, exact, strict=True):
        assert a.dtype == true.dtype
        assert apart(a, true) < max(close, 1.2 * apart(b, true))


def test_without_gradients_only_the_loss_is_computed():
    hidden, weight, targets = case()
    with torch.no_grad():
        value = summed_cross_entropy(hidden, weight, targets, rows=8)
    assert not value.requires_grad
    assert float(value) == pytest.approx(float(plain(hidden, weight, targets).detach()), rel=1e-6)


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor):
                self.numbers = max(self.numbers, value.numel())
        return result


@pytest.mark.parametrize("rows", [5, 10])
def test_never_more_than_a_chunk_of_scores_is_held(rows):
    hidden, weight, targets = case()
    with Largest() as held:
        summed_cross_entropy(hidden, weight, targets, rows=rows).backward()
    assert held.numbers == max(rows * VOCABULARY, VOCABULARY * WIDTH)  # or the table itself
    with Largest() as held:
        plain(hidden, weight, targets).backward()
    assert held.numbers == ROWS * VOCABULARY


def test_small_logits_are_held_whole_and_large_ones_are_not():
    assert rows_at_once(2048, 512, "cpu") == 2048
    assert rows_at_once(2048, 32_768, "cpu") == losses.CHUNK_BYTES["cpu"] // (4 * 32_768) == 32
    assert rows_at_once(8 * 1024, 50_304, "cuda") == 8 * 1024
    assert rows_at_once(64 * 1024, 131_072, "cuda") == 1024
    assert rows_at_once(2048, 1 << 30, "cpu") == 1  # never none


CONFIG = {"vocab_size": 97, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "context_length": 16}


def model_gradients(model, tokens, targets, function=None):
    model.zero_grad()
    loss = (function or model.loss)(tokens, targets)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


def trained_a_little(**over):
    """A model away from its zero-initialised projections, whose gradients would hide errors."""
    torch.manual_seed(1)
    model = Transformer(ModelConfig(**{**CONFIG, **over}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    tokens = torch.randint(97, (4, 16))
    targets = tokens.roll(-1, 1).clone()
    targets[2, 5:] = -100
    return model.train(), tokens, targets


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_given_the_same_gradients_by_chunks(tied, monkeypatch):
    model, tokens, targets = trained_a_little(tie_embeddings=tied)
    whole = model_gradients(model, tokens, targets)
    monkeypatch.setitem(losses.WHOLE_BYTES, "cpu", 1000)
    monkeypatch.setitem(losses.CHUNK_BYTES, "cpu", 4 * 97 * 10)
    chunked = model_gradients(model, tokens, targets)
    assert apart(chunked[0], whole[0]) < 1e-6
    assert all(apart(chunked[1][name], whole[1][name]) < 1e-5 for name in whole[1])


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_activation_checkpointing_changes_no_bit(dropout):
    model, tokens, targets = trained_a_little(dropout=dropout)
    results = []
    for model.activation_checkpointing in (False, True):
        torch.manual_seed(5)
        results.append((*model_gradients(model, tokens, targets), torch.get_rng_state()))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(results[0][1][name], results[1][1][name]) for name in results[0][1])
    assert torch.equal(results[0][2], results[1][2])  # the numbers that the next step draws, too


def saved_bytes(model, tokens, targets):
    """The memory of what is kept for the way back, parameters apart."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.loss(tokens, targets)
    return sum(storage.nbytes() for storage in kept.values())


def test_activation_checkpointing_keeps_one_row_a_block():
    model, tokens, targets = trained_a_little(num_layers=6)
    whole = saved_bytes(model, tokens, targets)
    model.activation_checkpointing = True
    assert saved_bytes(model, tokens, targets) < whole / 4
    with torch.no_grad():  # nothing to go back through, nothing to keep
        assert saved_bytes(model, tokens, targets) == 0


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiled_chunks_and_checkpointing_give_the_same_gradients(checkpointing, monkeypatch):
    model, tokens, targets = trained_a_little()
    whole = model_gradients(model, tokens, targets)
    monkeypatch.setitem(losses.WHOLE_BYTES, "cpu", 1000)
    monkeypatch.setitem(losses.CHUNK_BYTES, "cpu", 4 * 97 * 20)
    model.activation_checkpointing = checkpointing
    torch._dynamo.reset()
    compiled = torch.compile(model.loss, dynamic=False, fullgraph=True)
    ours = model_gradients(model, tokens, targets, compiled)
    assert apart(ours[0], whole[0]) < 1e-6
    assert all(apart(ours[1][name], whole[1][name]) < 1e-5 for name in whole[1])


def test_without_gradients_none_are_computed(monkeypatch):
    hidden, weight, targets = case()
    expected = plain(hidden, weight, targets)
    monkeypatch.setattr(torch.Tensor, "scatter_add_", lambda *_: pytest.fail("the gradient of the scores"))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert summed_cross_entropy(hidden, weight, targets, rows=7).item() == pytest.approx(expected.item())
    assert not summed_cross_entropy(hidden.detach(), weight.detach(), targets, rows=7).requires_grad
