"""What a run is expected to reach, told before it is trained: bits per byte of its validation text, as a range.

    L = g k N^-a D^-b

- g: what 7-grams of bytes make of the same validation text (`quire.evaluation.baselines`): how hard the text is.
- N: the parameters, in millions.
- D: the text seen, in megabytes; where it is seen several times, each further time counts for less:
  U (1 + R (1 - exp(-r / R))) with U megabytes of text, r the times after the first, and R = 15.4.

Scaling laws have a power of N and one of D (Kaplan et al. 2020, arXiv:2001.08361; Hoffmann et al. 2022,
arXiv:2203.15556); sums with a floor, as theirs, could not be told from a product by the few small runs that were
recorded. R and the form of D are those of Muennighoff et al. 2023 (arXiv:2305.16264), section 5. The constants below
were fitted by benchmarks/sweep_fit.py to the runs in docs/images/runs/sweep.jsonl; docs/decisions.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from quire.evaluation.baselines import MOST_TRAIN_BYTES, MOST_VALIDATION_BYTES, SEPARATOR, NGram, split_bytes
from quire.model.size import count_parameters
from quire.tokens.dataset import TokenDataset
from quire.training.config import RunConfig

REPETITIONS = 15.4


# Bytes of the n-grams: those of the baseline that every report shows.
ORDER = 7


@dataclass(frozen=True)
class Law:
    """The constants of the formula above, and where they were measured.

    Attributes:
        factor, size_power, data_power: k, a, b.
        error: the relative error that nine of ten runs stayed under when the law was fitted without their text.
        sizes: the fewest and the most parameters of the runs.
        bytes_seen: the least and the most text that they saw, again and again included.
    """

    factor: float
    size_power: float
    data_power: float
    error: float
    sizes: tuple[float, float]
    bytes_seen: tuple[float, float]


LAW = Law(1.0921, 0.0131, 0.12734, 0.1446, (193_152, 10_574_144), (409_214, 19_106_090))

# A run whose size or tokens lie further than so many doublings outside of the measured ones is not foretold at all.
FURTHEST = 4.0
# For each doubling outside, the range becomes wider by so much of itself: a choice, not a measurement.
WIDENING = 0.5


@dataclass(frozen=True)
class Prediction:
    """Bits per byte that are expected, and the range that they should lie in."""

    bits_per_byte: float
    low: float
    high: float
    why: str

    def for_run_toml(self) -> dict[str, float]:
        """Return the figures under the names that they have in run.toml."""
        values = {"": self.bits_per_byte, "_low": self.low, "_high": self.high}
        return {f"predicted_bits_per_byte{name}": round(value, 4) for name, value in values.items()}


def tell_prediction(foretold: Prediction | None, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tell a listener of a run what is expected of it, as a record of kind "prediction"; nothing where nothing is."""
    if foretold is not None:
        tell({"kind": "prediction", **asdict(foretold)})


def effective_bytes(seen: float, distinct: float) -> float:
    """Return how much new text teaches as much as `seen` bytes of a text that has `distinct` ones."""
    if seen <= distinct:
        return seen
    again = seen / distinct - 1
    return distinct * (1 + REPETITIONS * (1 - math.exp(-again / REPETITIONS)))


def doublings_outside(parameters: float, seen: float, law: Law = LAW) -> float:
    """Return how many doublings a run lies outside of the measured ones, in size or in text; 0 is among them."""
    pairs = ((parameters, law.sizes), (seen, law.bytes_seen))
    return max(0.0, *(math.log2(edge) for value, (low, high) in pairs for edge in (low / value, value / high)))


def predict(parameters: float, seen: float, distinct: float, ngram_bits: float, law: Law = LAW) -> Prediction | None:
    """Return what a run should reach; None where it is too unlike the runs that the law was fitted to.

    Args:
        parameters: of the model.
        seen: bytes of text in the tokens of all steps.
        distinct: bytes of the training text.
        ngram_bits: bits per byte of n-grams of `ORDER` bytes on the validation text.
        law: the constants.
    """
    outside = doublings_outside(parameters, seen, law)
    if outside > FURTHEST or ngram_bits <= 0:
        return None
    megabytes = effective_bytes(seen, distinct) / 1e6
    bits = ngram_bits * law.factor * (parameters / 1e6) ** -law.size_power * megabytes**-law.data_power
    error = law.error * (1 + WIDENING * outside)
    why = f"{parameters / 1e6:.2g}M parameters see {seen / 1e6:.2g} MB, of which {ORDER}-grams make {ngram_bits:.2f}"
    if outside > 0.5:
        why += f"; {outside:.1f} doublings outside of what was measured"
    return Prediction(bits, bits * (1 - error), bits * (1 + error), why)


def difficulty(data: TokenDataset, order: int = ORDER) -> float:
    """Return the bits per byte that n-grams make of the validation text, of up to 1 MiB of training text; 0 of none."""
    train = split_bytes(data.train, data.tokenizer, MOST_TRAIN_BYTES)
    validation = split_bytes(data.validation, data.tokenizer, MOST_VALIDATION_BYTES)
    num_bytes = len(validation) - validation.count(SEPARATOR)
    return NGram(train, order).bits(validation) / num_bytes if num_bytes else 0.0


def predict_run(config: RunConfig, data: TokenDataset, law: Law = LAW) -> Prediction | None:
    """Return what the planned run should reach on the validation text of `data`; None where nothing can be said."""
    t, parameters = config.training, count_parameters(config.model)
    seen = t.steps * t.batch_size * config.model.context_length * data.train.bytes_per_token
    if seen <= 0 or doublings_outside(parameters, seen, law) > FURTHEST:
        return None
    return predict(parameters, seen, data.train.num_bytes, difficulty(data), law)
