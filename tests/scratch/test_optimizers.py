import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch.optimizers import SGD, AdamW, Momentum, Muon, orthogonalize
from quire.training import optimizer as training

PAIRS = [
    (lambda: SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    (lambda: Momentum(0.1, 0.8), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8)),
    (
        lambda: AdamW(0.01, (0.8, 0.95), 1e-6, 0.3),
        lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3),
    ),
]


@pytest.mark.parametrize(("make", "peer"), PAIRS)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 30))
def test_every_step_is_that_of_pytorch(make, peer, seed, steps):
    generator = np.random.default_rng(seed)
    parameters = {"a": generator.standard_normal((3, 2)), "b": generator.standard_normal(())}
    peers = [torch.tensor(values, requires_grad=True) for values in parameters.values()]
    ours, theirs = make(), peer(peers)
    for _ in range(steps):
        gradients = {name: generator.standard_normal(values.shape) for name, values in parameters.items()}
        ours.step(parameters, gradients)
        for one, gradient in zip(peers, gradients.values(), strict=True):
            one.grad = torch.tensor(gradient)
        theirs.step()
        for one, values in zip(peers, parameters.values(), strict=True):
            np.testing.assert_allclose(values, one.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_adamw_by_hand_for_two_steps():
    w = np.array(1.0)
    optimizer = AdamW(0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    optimizer.step({"w": w}, {"w": np.array(0.5)})
    # m = 0.05, v = 0.00025; divided by 0.1 and 0.001: 0.5 and 0.25; decay 0.1 x 0.01 x 1 = 0.001, then 0.1 x 0.5 / 0.5
    assert math.isclose(w, 1 - 0.001 - 0.1 * 0.5 / (0.5 + 1e-8), rel_tol=1e-15)
    before = float(w)
    optimizer.step({"w": w}, {"w": np.array(-0.3)})
    m, v = (0.9 * 0.05 + 0.1 * -0.3) / (1 - 0.81), (0.999 * 0.00025 + 0.001 * 0.09) / (1 - 0.999**2)
    assert math.isclose(w, before - 0.001 * before - 0.1 * m / (math.sqrt(v) + 1e-8), rel_tol=1e-12)


shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(shape=shapes, seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 8))
def test_every_step_of_muon_is_that_of_the_optimizer_that_trains(shape, seed, steps):
    generator = np.random.default_rng(seed)
    parameters = {"a": generator.standard_normal(shape), "b": generator.standard_normal(shape[::-1])}
    peers = [torch.nn.Parameter(torch.tensor(values)) for values in parameters.values()]
    ours = Muon(0.02, 0.9, 0.3)
    theirs = training.Muon(peers, 0.02, 0.9, 0.3, dtype=torch.float64)
    for _ in range(steps):
        gradients = {name: generator.standard_normal(values.shape) for name, values in parameters.items()}
        ours.step(parameters, gradients)
        for one, gradient in zip(peers, gradients.values(), strict=True):
            one.grad = torch.tensor(gradient)
        theirs.step()
        for one, values in zip(peers, parameters.values(), strict=True):
            np.testing.assert_allclose(values, one.detach().numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("shape", [(6, 6), (12, 5), (5, 12)])
def test_every_step_of_muon_is_that_of_pytorch(shape, exact, monkeypatch):
    if exact:  # PyTorch rounds to bfloat16 before it orthogonalizes; without that nothing is left between us
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    generator = np.random.default_rng(0)
    start = generator.standard_normal(shape)
    parameters, peer = {"w": start.copy()}, torch.nn.Parameter(torch.tensor(start))
    ours = Muon(0.02, 0.95, 0.1)
    theirs = torch.optim.Muon([peer], lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="original")
    for _ in range(10):
        gradient = generator.standard_normal(shape)
        ours.step(parameters, {"w": gradient})
        peer.grad = torch.tensor(gradient)
        theirs.step()
        moved = np.linalg.norm(parameters["w"] - start)
        apart = np.linalg.norm(parameters["w"] - peer.detach().numpy())
        assert apart < moved * (1e-12 if exact else 0.05)


@given(shape=shapes, seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 5))
def test_orthogonalizing_keeps_the_singular_vectors_and_moves_the_values_along_the_polynomial(shape, seed, steps):
    matrix = np.random.default_rng(seed).standard_normal(shape)
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    np.testing.assert_allclose(orthogonalize(matrix, steps), (u * values) @ vt, atol=1e-9)


def test_the_size_of_an_update_does_not_matter():
    matrix = np.random.default_rng(1).standard_normal((4, 3))
    np.testing.assert_allclose(orthogonalize(1000 * matrix), orthogonalize(matrix), rtol=1e-12)
    assert not orthogonalize(np.zeros((2, 3))).any()


def test_decay_does_not_pass_through_the_gradient():
    # With no gradient at all only the decay moves a weight: by learning_rate * weight_decay of it.
    w = np.array([2.0])
    AdamW(0.1, weight_decay=0.5).step({"w": w}, {"w": np.zeros(1)})
    assert w[0] == pytest.approx(2 * (1 - 0.05), rel=1e-15)


@pytest.mark.parametrize("make", [pair[0] for pair in PAIRS])
def test_a_bowl_leads_to_its_bottom(make):
    parameters = {"w": np.array([3.0, -2.0])}
    optimizer = make()
    if isinstance(optimizer, AdamW):
        optimizer.weight_decay = 0.0
    for _ in range(1500):
        optimizer.step(parameters, {"w": parameters["w"] * [1.0, 0.3]})
    # AdamW's steps stay about as long as its rate: it ends within a step of the bottom.
    np.testing.assert_allclose(parameters["w"], 0, atol=1e-2 if isinstance(optimizer, AdamW) else 1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SGD(0), "learning_rate is 0; it must be above 0"),
        (lambda: Momentum(0.1, 1.0), "momentum is 1.0; it must be from 0 to below 1"),
        (lambda: AdamW(0.1, (0.9, 1.0)), "the second beta is 1.0"),
        (lambda: AdamW(0.1, weight_decay=-1), "weight_decay is -1"),
        (lambda: Muon(0.1, weight_decay=math.inf), "weight_decay is inf"),
        (lambda: Muon(0.1).step({"a": np.ones(2)}, {"a": np.ones(2)}), r"a has the shape \(2,\); Muon moves matrices"),
        (lambda: SGD(0.1).step({"a": np.ones(1)}, {"b": np.ones(1)}), "on one side only: a, b"),
        (
            lambda: SGD(0.1).step({"a": np.ones(1)}, {"a": np.ones(2)}),
            r"a has the shape \(1,\) and its gradient \(2,\)",
        ),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
