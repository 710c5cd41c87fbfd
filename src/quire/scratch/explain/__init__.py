"""Any computation of this room as numbered steps with its numbers, as plain text and as Markdown with LaTeX.

The values come from the modules of `quire.scratch`; what is written down here is how they came about.
"""

from quire.scratch.explain.activations import activation
from quire.scratch.explain.attentions import attention, attention_weights
from quire.scratch.explain.backwards import attention_backward, rms_norm_backward, softmax_backward
from quire.scratch.explain.caches import cached_step
from quire.scratch.explain.embeddings import embedding
from quire.scratch.explain.explanation import Explanation
from quire.scratch.explain.feedforwards import mlp, swiglu
from quire.scratch.explain.feedforwards import swiglu as feedforward
from quire.scratch.explain.gates import chosen_gate, gate, learned_gate
from quire.scratch.explain.gradients import backpropagation
from quire.scratch.explain.losses import binary_cross_entropy, cross_entropy, mean_squared_error
from quire.scratch.explain.merges import bpe
from quire.scratch.explain.neurons import collapse, layer, network, neuron
from quire.scratch.explain.normalizations import layer_norm, normalization, rms_norm
from quire.scratch.explain.optimizers import adamw, momentum, sgd
from quire.scratch.explain.orthogonal import muon, orthogonalization
from quire.scratch.explain.positions import rotary, rotary_distance, sinusoidal
from quire.scratch.explain.projections import projection
from quire.scratch.explain.samplings import sampling
from quire.scratch.explain.schedules import schedule
from quire.scratch.explain.shares import softmax
from quire.scratch.explain.transformer_blocks import block
from quire.scratch.explain.transformers import transformer
from quire.scratch.explain.words import attention_of_words, transformer_of_words

__all__ = [
    "Explanation",
    "activation",
    "adamw",
    "attention",
    "attention_backward",
    "attention_of_words",
    "attention_weights",
    "backpropagation",
    "binary_cross_entropy",
    "block",
    "bpe",
    "cached_step",
    "chosen_gate",
    "collapse",
    "cross_entropy",
    "embedding",
    "feedforward",
    "gate",
    "layer",
    "layer_norm",
    "learned_gate",
    "mean_squared_error",
    "mlp",
    "momentum",
    "muon",
    "network",
    "neuron",
    "normalization",
    "orthogonalization",
    "projection",
    "rms_norm",
    "rms_norm_backward",
    "rotary",
    "rotary_distance",
    "sampling",
    "schedule",
    "sgd",
    "sinusoidal",
    "softmax",
    "softmax_backward",
    "swiglu",
    "transformer",
    "transformer_of_words",
]
