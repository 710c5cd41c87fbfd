"""What smaller weights cost: bits per byte of the run's own validation text, before and after."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

from quire.errors import FormatError
from quire.evaluation.scoring import Score, score_batches
from quire.interop.huggingface import load_model_folder
from quire.interop.quantized import Sizes, export_quantized
from quire.model.quantization import Kind
from quire.model.transformer import Transformer
from quire.tokens.batches import evaluation_batches
from quire.tokens.dataset import TokenDataset

NOTABLE = 0.01
"""A change of bits per byte, as a share, above which it is said aloud."""
# Both models are scored on the CPU, which reads about 5,000 to 50,000 tokens a second.
MOST_TOKENS = 1 << 17
_ROWS = 8


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        kind: "int8" or "int4".
        sizes: bytes of the weight files.
        before: the score of the run's validation text with its own weights; None where there is no such text.
        after: the same with the exported weights.
        unmeasured: why there are no scores.
    """

    kind: Kind
    sizes: Sizes
    before: Score | None = None
    after: Score | None = None
    unmeasured: str | None = None

    @property
    def change(self) -> float | None:
        """By which share the bits per byte rose; below 0 if they fell."""
        if self.before is None or self.after is None or not self.before.bits_per_byte > 0:
            return None
        return self.after.bits_per_byte / self.before.bits_per_byte - 1

    @property
    def warning(self) -> str | None:
        """The sentence to be said where the weights cost more than 1 %, or what they cost is no number."""
        if self.after is not None and math.isnan(self.after.nats):
            return "the exported model gives no numbers (NaN)"
        if self.change is None or self.change <= NOTABLE:
            return None
        better = ", int8 costs less" if self.kind == "int4" else ""
        return f"bits per byte of the validation text rose by {self.change:.1%}, more than {NOTABLE:.0%}{better}"

    def lines(self) -> list[str]:
        """Return the report as sentences, the warning left out."""
        ratio = self.sizes.before / self.sizes.after
        told = [
            f"weights: {self.sizes.before:,} bytes before, {self.sizes.after:,} in {self.kind} ({ratio:.2f} x less)"
        ]
        if self.before is None or self.after is None:
            told.append(f"bits per byte: not measured, {self.unmeasured}")
        else:
            before, after = self.before.bits_per_byte, self.after.bits_per_byte
            told.append(
                f"bits per byte of {self.before.bytes:,} bytes of validation text: {before:.4f} before,"
                f" {after:.4f} in {self.kind} ({100 * (self.change or 0):+.2f} %)"
            )
        return told


def export_and_measure(run: Path, out: Path, kind: Kind) -> ExportReport:
    """Write `run` with smaller weights to `out`, as `export_quantized` does, and measure what they cost.

    Arguments and errors are those of `export_quantized`.
    """
    sizes = export_quantized(run, out, kind)
    tokens = Path(run) / "quire" / "tokens"
    if not tokens.is_dir():
        return ExportReport(kind, sizes, unmeasured="the folder holds no validation text")
    try:
        data = TokenDataset.open(tokens)
    except FormatError as error:
        return ExportReport(kind, sizes, unmeasured=f"the validation text cannot be read: {error}")
    if not data.validation.num_tokens:
        return ExportReport(kind, sizes, unmeasured="the validation text is empty")
    before, after = (validation_score(load_model_folder(folder)[0], data) for folder in (run, out))
    return ExportReport(kind, sizes, before, after)


def validation_score(model: Transformer, data: TokenDataset, most_tokens: int | None = MOST_TOKENS) -> Score:
    """Score the validation text of `data`, or about `most_tokens` of it in windows taken evenly from the whole."""
    split = data.validation
    context = min(model.config.context_length, split.num_tokens)
    every = 1 if most_tokens is None else max(1, round(split.num_tokens / most_tokens))
    rows = max(1, min(_ROWS, split.num_tokens // context))
    batches = itertools.islice(evaluation_batches(split, context, rows, None), 0, None, every)
    return score_batches(model, data.tokenizer, batches)
