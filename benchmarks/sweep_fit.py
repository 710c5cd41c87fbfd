"""What a sweep says: tables of its runs, and the law by which the plan foretells bits per byte.

    python benchmarks/sweep_fit.py docs/images/runs/sweep.jsonl                  print tables and the law
    python benchmarks/sweep_fit.py sweep.jsonl --corpora corpora.npz --out FILE  first write the runs compacted

The law is that of `quire.training.prediction`. It is fitted to the runs whose settings are those of the plan, by least
squares of relative errors. How far it is off is measured on texts that it was not fitted to, one left out after the
other.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quire.training.plan import PARAMETER_EPOCHS_PER_BYTE
from quire.training.prediction import ORDER, REPETITIONS, Law, effective_bytes, predict

Row = dict[str, Any]
KEPT = (
    "question",
    "size",
    "corpus",
    "parameters",
    "steps",
    "batch",
    "context",
    "tokens",
    "epochs",
    "matrix_learning_rate",
    "learning_rate",
    "weight_decay",
    "dropout",
    "seed",
    "train_tokens",
    "train_bytes",
    "ngrams",
    "final",
    "curve",
    "seconds",
    "device",
    "precision",
    "recorded",
)
# What came of a run, and what it is called: runs may differ in these and still have the same settings.
OUTCOME = {"question", "final", "curve", "seconds", "device", "precision", "recorded", "ngrams"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="lines of JSON, from `sweep.py run` or compacted")
    parser.add_argument("--corpora", type=Path, help="what the runs were trained on, for what they lack")
    parser.add_argument("--out", type=Path, help="write the runs there, compacted")
    parser.add_argument("--add", type=Path, action="append", default=[], help="more runs, likewise")
    args = parser.parse_args()
    rows = read([args.runs, *args.add], args.corpora)
    if args.out:
        args.out.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    print(table_of_runs(rows))
    for field in ("matrix_learning_rate", "learning_rate", "batch", "weight_decay", "dropout"):
        print(table_of(rows, field))
    print(noise(rows))
    planned = [row for row in rows if row["planned"]]
    print(f"{len(planned)} of {len(rows)} runs have the settings of the plan; errors of the law on a corpus left out:")
    for order in (2, 3, 4, 5, 7):
        every = held_out_errors(planned, order)
        means = ", ".join(f"{name} {sum(found) / len(found):+.1%}" for name, found in every.items())
        size = np.sqrt(np.mean([error**2 for found in every.values() for error in found]))
        print(f"{order}-grams: {size:.1%} in the root of the mean square; mean of {means}")
    law = with_error(planned)
    print(law)
    for row in planned:
        foretold = foretell(row, law)
        print(f"{row['corpus']:14} {row['parameters']:>10,} {row['tokens']:>10,} {row['final']:.3f} {foretold:.3f}")


def read(paths: Iterable[Path], corpora: Path | None) -> list[Row]:
    """Return the runs that ended with a finite loss, each with what the law needs of its corpus."""
    facts: dict[str, Any] = {}
    if corpora is not None:
        from sweep_corpora import unpack

        facts = {name: corpus.facts for name, corpus in unpack(corpora).items()}
    rows = []
    for path in paths:
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["final"] is None:
                continue
            if row["corpus"] in facts:
                fact = facts[row["corpus"]]
                row = {**row, **{key: fact[key] for key in ("train_tokens", "train_bytes", "ngrams")}}
            kept = {key: row[key] for key in KEPT if key in row}
            rows.append({**kept, "planned": is_planned(kept)})
    return rows


def is_planned(row: Row) -> bool:
    """Whether a run has the settings that the plan chose before the sweep, or is a recorded one of a plan.

    Runs that saw their text more often than the plan lets a model see it are none: they learned it by heart.
    """
    if row["parameters"] * row["epochs"] > PARAMETER_EPOCHS_PER_BYTE * row["train_bytes"]:
        return False
    if row["question"] == "recorded":
        return True
    scale = (max(row["parameters"], 800_000) / 800_000) ** (-1 / 3)
    often = row["epochs"] >= 8
    rates = row["matrix_learning_rate"] == 0.02 and abs(row["learning_rate"] - 0.006 * scale) < 1e-5
    decays = row["weight_decay"] == (0.3 if often else 0.1) and row["dropout"] == (0.1 if often else 0.0)
    tokens = 2048 * (max(row["parameters"], 800_000) / 800_000) ** 0.55
    return rates and decays and abs(row["batch"] * row["context"] / tokens - 1) < 0.2


def seen_bytes(row: Row) -> float:
    """Return how much text a run saw."""
    return float(row["tokens"] * row["train_bytes"] / row["train_tokens"])


def fit(rows: Sequence[Row], order: int = ORDER) -> Law:
    """Return the law with the least squares of relative errors on `rows`, given n-grams of `order` bytes.

    Every text has a factor of its own, so that the powers come from runs of one text alone: texts differ by more than
    sizes do. The law's factor is the mean of them, the same weight for each.
    """
    texts = sorted({text_of(row) for row in rows})
    size = np.log([row["parameters"] / 1e6 for row in rows])
    data = np.log([effective_bytes(seen_bytes(row), row["train_bytes"]) / 1e6 for row in rows])
    own = np.array([[float(text_of(row) == text) for text in texts] for row in rows])  # (runs, texts)
    target = np.log([row["final"] / row["ngrams"][str(order)] for row in rows])
    found = np.linalg.lstsq(np.column_stack((own, -size, -data)), target, rcond=None)[0]
    seen = [seen_bytes(row) for row in rows]
    return Law(
        factor=float(np.exp(found[: len(texts)].mean())),
        size_power=float(max(0.0, found[-2])),
        data_power=float(max(0.0, found[-1])),
        error=0.0,
        sizes=(min(row["parameters"] for row in rows), max(row["parameters"] for row in rows)),
        bytes_seen=(min(seen), max(seen)),
    )


def foretell(row: Row, law: Law, order: int = ORDER) -> float:
    """Return what `law` foretells of a run."""
    found = predict(row["parameters"], seen_bytes(row), row["train_bytes"], row["ngrams"][str(order)], law)
    return found.bits_per_byte if found else float("nan")


def held_out_errors(rows: Sequence[Row], order: int = ORDER) -> dict[str, list[float]]:
    """Return for each text the relative errors of the law that was fitted to all others; cuts of one text are one."""
    errors = {}
    for text in sorted({text_of(row) for row in rows}):
        law = fit([row for row in rows if text_of(row) != text], order)
        errors[text] = [foretell(row, law, order) / row["final"] - 1 for row in rows if text_of(row) == text]
    return errors


def text_of(row: Row) -> str:
    """Return what text a corpus is of: its name without the megabytes."""
    return str(row["corpus"]).rpartition("-")[0]


def with_error(rows: Sequence[Row]) -> Law:
    """Return the law fitted to all `rows`, with the error that nine of ten of them stay under when held out."""
    from dataclasses import replace

    errors = held_out_errors(rows)
    sizes = sorted(abs(error) for found in errors.values() for error in found)
    return replace(fit(rows), error=round(float(np.quantile(sizes, 0.9)), 4))


def table_of_runs(rows: Sequence[Row]) -> str:
    """Return all runs as a table of Markdown."""
    heads = ("corpus", "parameters", "tokens", "epochs", "Muon's rate", "AdamW's rate", "decay", "dropout", "bits/byte")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in sorted(rows, key=lambda row: (row["corpus"], row["parameters"], row["tokens"], row["final"])):
        cells = (
            row["corpus"],
            f"{row['parameters']:,}",
            f"{row['tokens']:,}",
            f"{row['epochs']:.1f}",
            f"{row['matrix_learning_rate']:g}",
            f"{row['learning_rate']:g}",
            f"{row['weight_decay']:g}",
            f"{row['dropout']:g}",
            f"{row['final']:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table_of(rows: Sequence[Row], field: str) -> str:
    """Return the runs that differ in `field` alone as a table of Markdown: a line for each set of such runs."""
    ignored = {field, "epochs", "tokens", "steps", *OUTCOME}
    if field == "batch":
        ignored |= {"learning_rate", "matrix_learning_rate"}
    groups: dict[tuple[Any, ...], dict[Any, float]] = defaultdict(dict)
    for row in rows:
        key = tuple((name, row[name]) for name in KEPT if name in row and name not in ignored)
        # Equal tokens, up to the rounding of steps.
        groups[(*key, round(row["tokens"] / 2e4))][row[field]] = row["final"]
    lines = []
    for key, outcomes in groups.items():
        if len(outcomes) > 1:
            known = dict(pair for pair in key if isinstance(pair, tuple))
            cells = ", ".join(f"{value:g}: {outcomes[value]:.3f}" for value in sorted(outcomes))
            lines.append(f"| {known['corpus']} | {known['parameters']:,} | {key[-1] * 2e4:,.0f} | {cells} |")
    if not lines:
        return f"{field}: no runs that differ in it alone\n"
    return "\n".join([f"| corpus | parameters | tokens | {field}: bits per byte |", "|---|---|---|---|", *lines, ""])


def noise(rows: Sequence[Row]) -> str:
    """Return by how much runs differ that differ in their seed alone."""
    groups: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row in rows:
        skipped = {"seed", *OUTCOME}
        groups[tuple(row[name] for name in KEPT if name in row and name not in skipped)].append(row["final"])
    spread = [max(found) - min(found) for found in groups.values() if len(found) > 1]
    if not spread:
        return "noise: no run was repeated with another seed"
    return f"noise: {len(spread)} pairs of seeds differ by {min(spread):.4f} to {max(spread):.4f} bits per byte"


if __name__ == "__main__":
    print(f"tokens seen again count for less, R = {REPETITIONS}")
    main()
