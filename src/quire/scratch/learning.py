"""Learning: loss, gradients, a step, again; on logic gates and on points of the plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.layers import Layer
from quire.scratch.losses import binary_cross_entropy
from quire.scratch.network import Network
from quire.scratch.optimizers import SGD

Array = NDArray[np.float64]

GATE_INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
"""The four pairs of truth values (4, 2)."""

GATES = {
    "and": np.array([[0.0], [0.0], [0.0], [1.0]]),
    "or": np.array([[0.0], [1.0], [1.0], [1.0]]),
    "xor": np.array([[0.0], [1.0], [1.0], [0.0]]),
}
"""What each gate answers to `GATE_INPUTS`, (4, 1)."""


class Optimizer(Protocol):
    """Anything that moves parameters, as those of `quire.scratch.optimizers`."""

    def step(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        """Change the parameters in place."""


@dataclass(frozen=True)
class Moment:
    """The state of a network after some steps.

    Attributes:
        step: how many steps were taken; 0 is before the first.
        loss: mean binary cross-entropy, in nats.
        parameters: copies, by name.
        outputs: the sigmoid of the logits for each example (B, 1).
        correct: how many outputs lie on the right side of one half. Exactly one half is on no side.
    """

    step: int
    loss: float
    parameters: dict[str, Array]
    outputs: Array
    correct: int


def train(
    network: Network,
    X: ArrayLike,
    targets: ArrayLike,
    optimizer: Optimizer,
    steps: int,
    watch: Callable[[Moment], None] | None = None,
) -> list[Moment]:
    """Lower the mean binary cross-entropy of a network by `steps` steps on all examples at once.

    Args:
        network: its last layer is a sigmoid; changed in place.
        X: inputs (B, n).
        targets: 0 or 1 for each example (B, 1).
        optimizer: gets all parameters and their gradients.
        steps: from 0 on.
        watch: called with every moment as it comes.

    Returns:
        `steps` + 1 moments, from before the first step to after the last.

    Raises:
        ValueError: the last layer is no sigmoid, or shapes do not fit.
    """
    if network.layers[-1].activation.name != "sigmoid":
        raise ValueError(f"the last layer must be a sigmoid for this loss; it is {network.layers[-1].activation.name}")
    right = np.asarray(targets, dtype=np.float64)
    moments: list[Moment] = []
    for step in range(steps + 1):
        Y, kept = network.forward(X)  # (B, 1)
        loss, dZ = binary_cross_entropy(kept[-1].Z, right)
        copies = {name: values.copy() for name, values in network.parameters.items()}
        moments.append(Moment(step, loss, copies, Y, int(((2 * right - 1) * kept[-1].Z > 0).sum())))
        if watch:
            watch(moments[-1])
        if step < steps:
            _, gradients = network.backward_from_sums(dZ, kept)
            optimizer.step(network.parameters, gradients)
    return moments


def learn_gate(
    gate: str, hidden: int = 0, steps: int = 1000, learning_rate: float = 1.0, seed: int = 0
) -> tuple[Network, list[Moment]]:
    """Learn a logic gate by gradient descent on its four rows.

    Args:
        gate: a key of `GATES`.
        hidden: number of tanh neurons in a hidden layer; 0 is a single sigmoid neuron, from zero weights.
        steps: from 0 on.
        learning_rate: positive.
        seed: of the random weights that a hidden layer begins with. From zeros its neurons would stay all alike.

    Returns:
        the network and `steps` + 1 moments, as from `train`.

    Raises:
        ValueError: there is no such gate, or a number is out of range.
    """
    if gate not in GATES:
        raise ValueError(f"{gate!r} is no gate; there are {', '.join(GATES)}")
    if hidden < 0 or steps < 0:
        raise ValueError(f"hidden ({hidden}) and steps ({steps}) must be 0 or more")
    if hidden:
        network = Network.random((2, hidden, 1), "tanh", "sigmoid", seed)
    else:
        network = Network([Layer(np.zeros((2, 1)), np.zeros((1, 1)), "sigmoid")])
    return network, train(network, GATE_INPUTS, GATES[gate], SGD(learning_rate), steps)


def first_correct(moments: list[Moment]) -> int | None:
    """Return the first step at which every example was right, or None."""
    return next((moment.step for moment in moments if moment.correct == len(moment.outputs)), None)


def moons(count: int, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Return points of two half circles that reach into each other, which no straight line separates.

    Args:
        count: points in each.
        noise: standard deviation of what is added to each coordinate.
        seed: of the random numbers.

    Returns:
        X (2 count, 2) and targets (2 count, 1), 0 for the upper half circle.
    """
    generator = np.random.default_rng(seed)
    angles = np.linspace(0, np.pi, count)
    upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lower = np.stack([1 - np.cos(angles), 0.5 - np.sin(angles)], axis=1)
    X = np.concatenate([upper, lower]) + noise * generator.standard_normal((2 * count, 2))
    return X, np.repeat([[0.0], [1.0]], count, axis=0)
