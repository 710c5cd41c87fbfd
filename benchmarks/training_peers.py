"""How fast does quire train, and how well in the same time, beside litgpt, transformers' Trainer and nanoGPT's recipe?

    python benchmarks/training_peers.py --data tinyshakespeare.txt [--sizes 3M 10M] [--parts speed loss]
        [--python litgpt=PEERS/bin/python] [--seconds 120] [--json-out FILE]

Everyone trains the same text, cut into the same tokens, in the sizes of benchmarks/training_speed.py: the last tenth of
the characters validates. Each contender is a process of its own (training_contender.py), so that nobody's memory,
caches or settings are another's.

- speed: whole steps of everyone's own training loop (loader, forward, backward, clipping, optimizer), in turn, round
  after round; tokens/s are medians, memory is the peak of the process, and of the GPU where there is one. "a core" are
  tokens in a second of processor time: with OMP_NUM_THREADS=1 it tells on a busy machine what the clock cannot.
- loss: validation loss after the same wall clock, counted from the start of the process: imports and compiling, from an
  empty cache, are part of it. quire does what it plans for the time; the peers' settings: training_contender.py.

What is not installed is left out and said. litgpt asks for other releases than quire is tested with: put it into an
environment of its own and name that environment's Python with --python.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import operator
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from answering import AnswerError
from quire.files import write_text
from quire.model.config import ModelConfig
from quire.model.size import count_parameters
from quire.tokens.settings import TokenSettings
from quire.tokens.shards import prepare
from quire.tokens.split import SplitPlan
from quire.training.machine import Machine, measure_machine
from shakespeare import OneText
from training_speed import SHAPES
from training_workers import Field, Worker

BATCH = {"speed": 16, "loss": 8}
"""Windows in a step: of everyone where speed is compared; of the peers against the clock, the Trainer's default."""
LEARNING_RATE = 0.002
"""What quire's own plan would give AdamW between 3M parameters (0.0026) and 10M (0.0017); the peers' defaults, 5e-5
and 1e-3, are for larger models and longer runs."""
TURN_SECONDS = 3.0
"""A turn takes so many steps that it lasts about so long."""


@dataclass(frozen=True)
class Contender:
    """Who trains.

    Args:
        name: as the tables call it.
        packages: what its environment must have.
        install: how to get it.
        layout: of the model; the verdict is over peers of the same.
    """

    name: str
    packages: tuple[str, ...] = ()
    install: str = ""
    layout: str = "Qwen3"

    @property
    def is_ours(self) -> bool:
        """Whether it is quire."""
        return "quire" in self.packages

    @property
    def is_peer(self) -> bool:
        """Whether its model is that of quire, and it is not."""
        return self.layout == "Qwen3" and not self.is_ours


TRANSFORMERS = ("transformers", "accelerate")
SPEED = {
    "quire": Contender("quire, Muon", ("quire",)),
    "quire-adamw": Contender("quire, AdamW", ("quire",)),
    "trainer": Contender("transformers' Trainer", TRANSFORMERS, "pip install transformers accelerate"),
    "litgpt": Contender("litgpt", ("litgpt",), "pip install litgpt, and --python litgpt=…"),
    "nanogpt": Contender("nanoGPT's layout", layout="GPT-2"),
}
LOSS = {
    "quire": Contender("quire", ("quire",)),
    "quire-planned": Contender("quire, its size planned too", ("quire",)),
    "trainer": SPEED["trainer"],
    "litgpt": SPEED["litgpt"],
    "nanogpt": Contender("nanoGPT's recipe", layout="GPT-2"),
}


def versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that `python` has."""
    code = (
        "import importlib.metadata as m, importlib.util as u, json, sys\n"
        "def version(name):\n"
        "    try: return m.version(name)\n"
        "    except m.PackageNotFoundError: return 'here'\n"
        "print(json.dumps({name: version(name) for name in sys.argv[1:] if u.find_spec(name)}))"
    )
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def who_is_here(contenders: Mapping[str, Contender], wanted: Sequence[str], field: Field) -> dict[str, str]:
    """Return the wanted contenders that are installed, each with its versions; say which are left out."""
    here = {}
    for key, contender in contenders.items():
        if key not in wanted:
            continue
        found = versions(field.python(key), ("torch", *contender.packages))
        missing = [name for name in ("torch", *contender.packages) if name not in found]
        if missing:
            print(f"{contender.name} is left out: {', '.join(missing)} not installed ({contender.install})")
        else:
            here[key] = ", ".join(f"{name} {version}" for name, version in found.items())
    return here


def left_out(contender: Contender, error: AnswerError) -> None:
    """Say that a contender failed; a fault of quire is no reason to leave it out."""
    if contender.is_ours:
        raise error
    print(f"{contender.name} is left out: {error}", flush=True)


def formats(machine: Machine) -> list[str]:
    """Return float32, and bfloat16 where its matrix products are the faster ones."""
    return ["float32"] + (["bfloat16"] if machine.gflops.get("bfloat16", 0) > machine.gflops["float32"] else [])


def compare_speed(
    size: str,
    shape: ModelConfig,
    tokens: Path,
    keys: Mapping[str, str],
    field: Field,
    rounds: int,
    ways: Sequence[str],
    precisions: Sequence[str],
) -> list[dict[str, Any]]:
    """Return a row for each contender, way and number format."""
    rows = []
    for precision in precisions:
        with ExitStack() as stack:
            running: dict[tuple[str, bool], tuple[Worker, int]] = {}
            for way, key in itertools.product(ways, keys):
                compiled = way == "compiled"
                what = {"batch": BATCH["speed"], "precision": precision, "compiled": compiled, "seconds": None}
                began = time.perf_counter()
                worker = stack.enter_context(field.worker(key, tokens, shape, what, fresh=False))
                try:
                    worker.take(2)  # compile and warm up
                    steps = max(1, round(TURN_SECONDS / worker.take(1)[0]))
                except AnswerError as error:
                    left_out(SPEED[key], error)
                else:
                    running[key, compiled] = (worker, steps)
                    spent = time.perf_counter() - began
                    print(f"{SPEED[key].name}, {way}, {precision}: ready after {spent:.0f} s", file=sys.stderr)
            times: dict[tuple[str, bool], list[tuple[float, float]]] = {who: [] for who in running}
            for _ in range(rounds):
                for who, (worker, steps) in running.items():
                    worker.take(1)  # its memory and the caches are cold from the others' turns
                    seconds, busy = worker.take(steps)
                    times[who].append((seconds / steps, busy / steps))
            for (key, compiled), (worker, _) in running.items():
                clock = [seconds for seconds, _ in times[key, compiled]]
                seconds = statistics.median(clock)
                busy = statistics.median(busy for _, busy in times[key, compiled])
                tokens_in_step = BATCH["speed"] * shape.context_length
                end = worker.finish()
                rows.append(
                    {
                        "model": size,
                        "parameters": count_parameters(shape),
                        "contender": key,
                        "compiled": compiled,
                        "precision": precision,
                        "tokens_per_second": tokens_in_step / seconds,
                        "tokens_per_processor_second": tokens_in_step / busy,
                        "spread": (max(clock) - min(clock)) / seconds,
                        "resident_bytes": end["resident_bytes"],
                        "gpu_bytes": end.get("gpu_bytes"),
                    }
                )
    return rows


def print_speed(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of one size, and by how much quire is faster than the fastest peer."""
    print(f"{'':24}{'':10}{'':10}{'tokens/s':>10}{'a core':>10}{'memory, MB':>12}{'GPU, MB':>10}")
    for row in rows:
        way = "compiled" if row["compiled"] else "eager"
        gpu = f"{row['gpu_bytes'] / 1e6:,.0f}" if row["gpu_bytes"] else "-"
        print(
            f"{SPEED[row['contender']].name:24}{way:10}{row['precision']:10}{row['tokens_per_second']:>10,.0f}"
            f"{row['tokens_per_processor_second']:>10,.0f}{row['resident_bytes'] / 1e6:>12,.0f}{gpu:>10}"
        )
    for line in verdicts(rows):
        print(line)


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return quire's rate with Muon, at its best way, over that of the fastest peer of its layout."""
    lines = []
    measures = {"tokens_per_second": "", "tokens_per_processor_second": ", in processor time"}
    for precision, (way, compiled), (measure, how) in itertools.product(
        dict.fromkeys(row["precision"] for row in rows), (("compiled", True), ("eager", False)), measures.items()
    ):
        these = [row for row in rows if row["precision"] == precision]
        ours = [row[measure] for row in these if row["contender"] == "quire"]
        peers = [row for row in these if row["compiled"] == compiled and SPEED[row["contender"]].is_peer]
        if ours and peers:
            best = max(peers, key=operator.itemgetter(measure))
            ratio, name = max(ours) / best[measure], SPEED[best["contender"]].name
            lines.append(f"{precision}: quire, Muon, is {ratio:.2f} x the fastest peer {way} ({name}){how}")
    return lines


def compare_loss(
    size: str,
    shape: ModelConfig,
    tokens: Path,
    keys: Mapping[str, str],
    field: Field,
    seconds: float,
    eager: Sequence[str],
    precision: str,
) -> list[dict[str, Any]]:
    """Return a row for each contender: what it reached in `seconds` of wall clock."""
    rows = []
    for key in keys:
        what: dict[str, Any] = {"batch": BATCH["loss"], "precision": precision, "seconds": seconds}
        what["compiled"] = field.machine.compiler is not None and key not in eager
        if key == "nanogpt" and field.machine.device != "cuda":  # its README's words for a CPU
            what |= {"precision": "float32", "compiled": False}
        with field.worker(key, tokens, shape, what, fresh=True) as worker:
            try:
                row = {"model": size, "contender": key, **what, **worker.finish()}
            except AnswerError as error:
                left_out(LOSS[key], error)
                continue
        rows.append(row)
        print_loss(rows[-1:], heading=len(rows) == 1)
    return rows


def print_loss(rows: Sequence[Mapping[str, Any]], *, heading: bool) -> None:
    """Print what contenders reached."""
    if heading:
        columns = f"{'parameters':>12}{'s':>8}{'steps':>8}{'tokens':>12}{'nats/token':>12}{'bits/byte':>11}"
        print(f"{'':29}{'':22}{columns}")
    for row in rows:
        way = f"{'compiled' if row['compiled'] else 'eager'}, {row['precision']}"
        print(
            f"{LOSS[row['contender']].name:29}{way:22}{row['parameters']:>12,}{row['seconds']:>8.1f}{row['steps']:>8,}"
            f"{row['tokens']:>12,}{row['nats_per_token']:>12.3f}{row['bits_per_byte']:>11.3f}",
            flush=True,
        )


def make_tokens(text: str, source: str, vocab_size: int, folder: Path) -> tuple[Path, int]:
    """Cut `text` into tokens that everyone reads, the last tenth of its characters to validate; return the folder.

    Returns:
        The folder, and the size of the vocabulary: less than was asked for where the text has not so many pieces.
    """
    settings = TokenSettings(tokenizer="bpe", vocab_size=vocab_size)
    split = SplitPlan({0: len(text) * 9 // 10}, "the last tenth validates")
    data = prepare(OneText(text, source), folder, settings, split=split)
    return folder, data.tokenizer.vocab_size


def main(argv: Sequence[str] | None = None, shapes: Mapping[str, ModelConfig] = SHAPES) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the text")
    parser.add_argument("--sizes", nargs="+", choices=list(shapes), default=list(shapes))
    parser.add_argument("--parts", nargs="+", choices=["speed", "loss"], default=["speed", "loss"])
    parser.add_argument("--contenders", nargs="+", choices=[*{**SPEED, **LOSS}], default=[*{**SPEED, **LOSS}])
    parser.add_argument("--python", action="append", default=[], metavar="CONTENDER=PATH", help="another environment")
    parser.add_argument("--ways", nargs="+", choices=["eager", "compiled"], default=["eager", "compiled"])
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=["float32", "bfloat16"],
        help="of the matrix products; the last is the peers' for "
        "losses (default: float32, and bfloat16 where its products are faster)",
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of everyone in the comparison of speed")
    parser.add_argument("--seconds", type=float, default=120.0, help="wall clock of each in the comparison of losses")
    parser.add_argument("--eager", nargs="+", default=[], help="peers not to compile against the clock")
    parser.add_argument(
        "--learning-rate", type=float, default=LEARNING_RATE, help="peak of the Trainer's and litgpt's AdamW"
    )
    parser.add_argument("--json-out", type=Path)
    args = parser.parse_args(argv)
    machine = measure_machine("cuda" if torch.cuda.is_available() else "cpu")  # what all contenders know
    print(machine.name)
    precisions = args.formats or formats(machine)
    ways = [way for way in args.ways if way == "eager" or machine.compiler]
    text = args.data.read_text("utf-8")
    results: dict[str, Any] = {"machine": machine.name, "data": args.data.name, "speed": [], "loss": []}
    with tempfile.TemporaryDirectory(prefix="training-peers-") as scratch:
        folder = Path(scratch)
        field = Field(machine, dict(pair.split("=", 1) for pair in args.python), folder / "work", args.learning_rate)
        field.folder.mkdir()
        here = {
            "speed": who_is_here(SPEED, args.contenders, field) if "speed" in args.parts else {},
            "loss": who_is_here(LOSS, args.contenders, field) if "loss" in args.parts else {},
        }
        results["versions"] = here["speed"] | here["loss"]
        print("\n".join(f"{key}: {found}" for key, found in results["versions"].items()))
        for size in args.sizes:
            tokens, vocabulary = make_tokens(text, args.data.name, shapes[size].vocab_size, folder / size)
            shape = shapes[size].model_copy(update={"vocab_size": vocabulary})
            entropy = f"ln V = {math.log(vocabulary):.2f}"
            print(
                f"\n{size}: {count_parameters(shape):,} parameters, {vocabulary:,} tokens in the vocabulary ({entropy})"
            )
            if here["speed"]:
                rows = compare_speed(size, shape, tokens, here["speed"], field, args.rounds, ways, precisions)
                print_speed(rows)
                results["speed"] += rows
            if here["loss"]:
                print(f"\n{size}: after {args.seconds:g} s")
                results["loss"] += compare_loss(
                    size, shape, tokens, here["loss"], field, args.seconds, args.eager, precisions[-1]
                )
    if args.json_out:
        write_text(args.json_out, json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
