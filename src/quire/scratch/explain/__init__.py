"""Any computation of this room as numbered steps with its numbers, as plain text and as Markdown with LaTeX.

The values come from the modules of `quire.scratch`; what is written down here is how they came about.
"""

from quire.scratch.explain.activations import activation
from quire.scratch.explain.explanation import Explanation
from quire.scratch.explain.gates import chosen_gate, gate, learned_gate
from quire.scratch.explain.neurons import collapse, layer, network, neuron
from quire.scratch.explain.shares import softmax

__all__ = [
    "Explanation",
    "activation",
    "chosen_gate",
    "collapse",
    "gate",
    "layer",
    "learned_gate",
    "network",
    "neuron",
    "softmax",
]
