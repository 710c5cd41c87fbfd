"""The file of `quire learn network`: a network and what goes into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from quire.errors import UsageError
from quire.settings import Settings, build, read_toml

if TYPE_CHECKING:
    from quire.scratch.network import Network

MOST = 64  # numbers of one row: what is still readable on paper
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Row = Annotated[list[Finite], Field(min_length=1, max_length=MOST)]


class LayerSettings(Settings):
    """One layer."""

    weights: Annotated[list[Row], Field(min_length=1, max_length=MOST)]
    """A row for each input, in it a number for each neuron."""
    biases: Row
    """A number for each neuron."""
    activation: str = "relu"
    """What each neuron puts on its weighted sum."""


class NetworkFile(Settings):
    """A network, its inputs and, where it is to learn, its target."""

    inputs: Row
    """The numbers that go in."""
    layers: Annotated[list[LayerSettings], Field(min_length=1, max_length=8)]
    """From the first to the last."""
    target: Row | None = None
    """What should come out; with it the loss, the gradients and one step of learning are worked out too."""
    loss: Literal["mean_squared_error", "binary_cross_entropy"] = "mean_squared_error"
    """How wrong an output is; binary_cross_entropy needs a sigmoid at the end."""
    learning_rate: float = Field(default=0.1, gt=0, le=1e6)
    """How far the step goes against the gradient."""


def read_network(path: Path) -> tuple[Network, NetworkFile]:
    """Read a network from a TOML file.

    Raises:
        UsageError: the file is missing, not TOML, or a key is wrong; the message names the key, the layer and the
            shape that would fit.
    """
    settings = build(NetworkFile, read_toml(path), where=str(path))
    from quire.scratch.activations import ACTIVATIONS
    from quire.scratch.layers import Layer
    from quire.scratch.network import Network

    width, before = len(settings.inputs), "inputs"
    layers = []
    for number, layer in enumerate(settings.layers, 1):
        place = f"layer {number}"
        rows = len(layer.weights)
        if rows != width:
            raise UsageError(
                f"{place}: weights have {_count(rows, 'row')}; {before} are {_count(width, 'number')}, "
                f"so there must be {_count(width, 'row')}, one for each",
                where=path,
            )
        width = len(layer.weights[0])
        for count, weights in enumerate(layer.weights, 1):
            if len(weights) != width:
                raise UsageError(
                    f"{place}: row {count} of weights has {_count(len(weights), 'number')}, the first row has {width}; "
                    f"each needs one number for each neuron",
                    where=path,
                )
        if len(layer.biases) != width:
            raise UsageError(
                f"{place}: biases have {_count(len(layer.biases), 'number')}; weights of shape ({rows}, {width}) make "
                f"{_count(width, 'neuron')}, so there must be {width}",
                where=path,
            )
        if layer.activation not in ACTIVATIONS:
            allowed = ", ".join(ACTIVATIONS)
            raise UsageError(f"{place}: activation = {layer.activation!r}; there are {allowed}", where=path)
        layers.append(Layer(layer.weights, layer.biases, layer.activation))
        before = f"the outputs of layer {number}"
    if settings.target is not None and len(settings.target) != width:
        raise UsageError(
            f"target has {_count(len(settings.target), 'number')}; the last layer has {_count(width, 'neuron')}, "
            f"so there must be {width}",
            where=path,
        )
    if settings.target is not None and settings.loss == "binary_cross_entropy":
        last = settings.layers[-1].activation
        if last != "sigmoid":
            raise UsageError(f"loss = 'binary_cross_entropy' needs a sigmoid in the last layer, not {last}", where=path)
        if any(not 0 <= value <= 1 for value in settings.target):
            raise UsageError("target: for binary_cross_entropy each number must be from 0 to 1", where=path)
    return Network(layers), settings


def _count(many: int, noun: str) -> str:
    return f"{many} {noun}{'' if many == 1 else 's'}"
