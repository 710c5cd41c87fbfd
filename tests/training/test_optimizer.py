import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.training.optimizer import Muon, Optimizer, OptimizerSettings, orthogonalize, role_of


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_an_orthogonalized_matrix_has_its_spaces_and_singular_values_near_one(rows, columns, count, seed):
    torch.manual_seed(seed)
    updates = torch.randn(count, rows, columns, dtype=torch.float64)
    result = orthogonalize(updates)
    for before, after in zip(updates, result, strict=True):
        u, s, vt = torch.linalg.svd(before, full_matrices=False)
        inside = u.mT @ after @ vt.mT  # in the basis of the singular vectors only a diagonal is left
        off = inside - torch.diag(inside.diagonal())
        assert off.abs().max() < 1e-9
        well_conditioned = s / s.norm() > 0.02  # five steps lift what is not vanishingly small
        assert (inside.diagonal()[well_conditioned] > 0.3).all()
        assert (inside.diagonal() < 1.3).all()


def test_muon_is_torch_s_muon():
    torch.manual_seed(0)
    shapes = [(24, 16), (16, 24), (24, 16), (16, 16)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    starts = [p.detach().clone() for p in ours]
    mine = Muon(ours, lr=0.02, momentum=0.95, weight_decay=0.1)
    reference = torch.optim.Muon(
        theirs, lr=0.02, momentum=0.95, weight_decay=0.1, nesterov=True, adjust_lr_fn="original"
    )
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        mine.step()
        reference.step()
    for p, q, start in zip(ours, theirs, starts, strict=True):
        # torch iterates in bfloat16, we in float32: the moves agree to bfloat16's two to three digits.
        assert (p - q).norm() / (q - start).norm() < 0.02


def test_adamw_is_the_published_rule_by_hand():
    torch.manual_seed(1)
    model = Transformer(ModelConfig(vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, context_length=8))
    s = OptimizerSettings(kind="adamw", learning_rate=0.01, weight_decay=0.3)
    optimizer = Optimizer(model, s)
    name, weight = next((n, p) for n, p in model.named_parameters() if n.endswith("q_proj.weight"))
    norm = model.model.norm.weight
    w, v = weight.detach().double().numpy().copy(), norm.detach().double().numpy().copy()
    values = {"w": w, "v": v}
    states = {"w": [np.zeros_like(w), np.zeros_like(w)], "v": [np.zeros_like(v), np.zeros_like(v)]}
    for step in range(1, 5):
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        for key, decay, grad in (("w", 0.3, weight.grad), ("v", 0.0, norm.grad)):
            g = grad.double().numpy()
            m, u = states[key]
            m += (1 - s.beta1) * (g - m)
            u += (1 - s.beta2) * (g * g - u)
            values[key] *= 1 - 0.01 * decay
            values[key] -= 0.01 * (m / (1 - s.beta1**step)) / (np.sqrt(u / (1 - s.beta2**step)) + s.epsilon)
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), w, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(norm.detach().numpy(), v, atol=1e-6)


def test_roles():
    model = Transformer(
        ModelConfig(vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, context_length=8, tie_embeddings=False)
    )
    roles = {name: role_of(name, p) for name, p in model.named_parameters()}
    assert roles["model.embed_tokens.weight"] == roles["lm_head.weight"] == "table"
    assert roles["model.layers.0.mlp.down_proj.weight"] == "matrix"
    assert {role for name, role in roles.items() if "norm" in name} == {"vector"}


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_only_matrices_decay(kind):
    model = Transformer(ModelConfig(vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, context_length=8))
    optimizer = Optimizer(model, OptimizerSettings(kind=kind, weight_decay=1.0))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.5)
            p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in model.named_parameters():
        assert (p < 0.5).all() if p.ndim == 2 else (p == 0.5).all(), name


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_state_survives_a_round_trip_to_the_bit(kind):
    torch.manual_seed(2)
    shape = ModelConfig(vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, context_length=8)
    first = Transformer(shape)
    optimizer = Optimizer(first, OptimizerSettings(kind=kind))
    gradients = [{n: torch.randn_like(p) for n, p in first.named_parameters()} for _ in range(4)]

    def advance(model, optimizer, count):
        for values in count:
            for name, p in model.named_parameters():
                p.grad = values[name].clone()
            optimizer.step()

    advance(first, optimizer, gradients[:2])
    second = Transformer(shape)
    second.load_state_dict(first.state_dict())
    other = Optimizer(second, OptimizerSettings(kind=kind))
    other.load_state_tensors(optimizer.state_tensors())
    advance(first, optimizer, gradients[2:])
    advance(second, other, gradients[2:])
    for (name, p), q in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_muon_refuses_vectors():
    with pytest.raises(ValueError, match="two dimensions"):
        Muon([nn.Parameter(torch.ones(3))], lr=0.1, momentum=0.9, weight_decay=0.0)


@given(st.integers(4, 40), st.integers(4, 40), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_muon_in_bfloat16_moves_the_same_way_as_in_float32(rows, columns, seed):
    torch.manual_seed(seed)
    start, gradient = torch.randn(rows, columns), torch.randn(rows, columns)
    moves = []
    for dtype in (torch.float32, torch.bfloat16):
        weight = nn.Parameter(start.clone())
        optimizer = Muon([weight], lr=0.02, momentum=0.95, weight_decay=0.0, dtype=dtype)
        weight.grad = gradient.clone()
        optimizer.step()
        assert weight.dtype == torch.float32
        moves.append((weight.detach() - start) / 0.02 / max(1.0, rows / columns) ** 0.5)
    fine, rough = moves
    # Nearly singular directions come out differently; they are few, and neither is where the exact one would be.
    assert (fine * rough).sum() / fine.norm() / rough.norm() > 0.95
    assert torch.linalg.svdvals(rough).max() < 1.35


def test_matrices_move_the_same_alone_and_together(monkeypatch):
    torch.manual_seed(3)
    starts = [torch.randn(12, 8) for _ in range(5)]
    gradients = [torch.randn(12, 8) for _ in range(5)]
    results = []
    for stacked in (1 << 26, 200, 1):
        monkeypatch.setattr("quire.training.optimizer.STACKED", stacked)
        weights = [nn.Parameter(start.clone()) for start in starts]
        optimizer = Muon(weights, lr=0.02, momentum=0.95, weight_decay=0.1)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
        results.append(torch.stack([weight.detach() for weight in weights]))
    assert torch.allclose(results[0], results[1], atol=1e-6)
    assert torch.allclose(results[0], results[2], atol=1e-6)
