"""How do two versions of quire compare: training steps, writing, or opening a model?

    git worktree add ../before COMMIT
    python benchmarks/versions.py ../before . --what writing --model 7M --texts 16 --cache float16
    python benchmarks/versions.py ../before . --what training --model 10M --optimizer adamw --precision bfloat16
    python benchmarks/versions.py ../before . --what opening --model 134M

Both are checkouts; the code in their src is measured by this script in this environment, each in a process of its own,
in turn, round after round. Medians, and the median of the ratios of each round, the second version to the first.

- writing: milliseconds of a step that goes on with so many texts, at two positions, the tokens chosen and all
- training: tokens a second of whole compiled steps (forward, backward, clipping, optimizer) of 16 x 256 tokens
- opening: seconds until the model is open and until it has written 8 tokens, then the peak of its memory, and of what
  it still holds the part that the system cannot give back and the part that lies in files; a new process each round
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from answering import AnswerError, Answering

Measured = dict[str, float]

POSITIONS = (80, 480)
STEPS = 16  # timed at each position
PROMPT = 48
SETTLE = 0.5  # seconds before a turn, in which the other's waiting threads go to sleep


def writing(args: argparse.Namespace) -> Callable[[], Measured]:
    """Return what writes texts up to the last position and tells the median time of a step at each."""
    from engine import opened, step_times

    language = opened(
        args.folder, args.threads, cache_dtype=args.cache, max_rows=args.texts, step_tokens=PROMPT * args.texts
    )
    letters = random.Random(0)
    texts = ["".join(letters.choices(string.ascii_letters, k=PROMPT)) for _ in range(args.texts)]

    def measure() -> Measured:
        seconds = step_times(language, texts, POSITIONS[-1] + STEPS - PROMPT, temperature=args.temperature)
        starts = {position: position - PROMPT for position in POSITIONS}
        return {
            f"ms a step at {position}": 1000 * statistics.median(seconds[start : start + STEPS])
            for position, start in starts.items()
        }

    return measure


def training(args: argparse.Namespace) -> Callable[[], Measured]:
    """Return what takes three training steps and tells their rate."""
    import torch

    from quire.training.compilation import keep_compiled
    from quire.training.machine import measure_machine
    from quire.training.plan import orthogonal_precision
    from training_speed import BATCH, SHAPES, quire_step

    torch.set_num_threads(args.threads)
    if problem := keep_compiled():
        sys.exit(problem)
    orthogonal = orthogonal_precision(measure_machine())
    config = SHAPES[args.model]
    step = quire_step(config, args.precision, args.optimizer, compiled=True, orthogonal=orthogonal)

    def measure() -> Measured:
        step()  # caches are cold from the other's turn
        began = time.perf_counter()
        for _ in range(3):
            step()
        return {"tokens/s": 3 * BATCH * config.context_length / (time.perf_counter() - began)}

    return measure


def opening(args: argparse.Namespace) -> Measured:
    """Open a model in this process, write, and tell the time and the memory."""
    from engine import opened
    from quire.inference.settings import SamplingSettings

    began = time.perf_counter()
    language = opened(args.folder, args.threads)
    after = time.perf_counter() - began
    peak = memory("VmHWM")
    language.engine.submit("quire", SamplingSettings(temperature=0, max_tokens=8, ignore_eos=True)).result()
    return {
        "s until open": after,
        "MB, peak of opening": peak,
        "s until 8 tokens": time.perf_counter() - began,
        "MB that are its own": memory("RssAnon") + memory("RssShmem"),  # compiled steps keep their copy in the latter
        "MB of files": memory("RssFile"),
    }


def memory(name: str) -> float:
    """Return a figure of this process's memory on Linux, in MB."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    sys.exit(f"the system tells no {name}")


def work(args: argparse.Namespace) -> None:
    """Measure each time a line comes."""
    import quire

    if not Path(quire.__file__).is_relative_to(args.checkouts[0].resolve()):
        sys.exit(f"{quire.__file__} was imported, not the quire of {args.checkouts[0]}")
    measure = {"writing": writing, "training": training}.get(args.what, lambda args: lambda: opening(args))(args)
    if args.what != "opening":
        measure()  # compile, and warm up
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


class Version(Answering):
    """The process that measures a checkout."""

    def __init__(self, checkout: Path, args: argparse.Namespace, folder: Path) -> None:
        given = ["--what", args.what, "--model", args.model, "--threads", str(args.threads), "--texts", str(args.texts)]
        given += ["--cache", args.cache, "--optimizer", args.optimizer, "--precision", args.precision]
        given += ["--temperature", str(args.temperature)]
        command = [sys.executable, __file__, str(checkout), str(checkout), "--folder", str(folder), *given]
        environment = {**os.environ, "PYTHONPATH": str((checkout / "src").resolve())}
        log = "-".join(checkout.resolve().parts[1:])  # both may have the same name
        super().__init__(command, environment, folder / f"{log}.log")

    def __enter__(self) -> Version:
        self.answer()  # it is ready
        return self

    def measure(self) -> Measured:
        """Return one round's figures."""
        time.sleep(SETTLE)
        measured: Measured = self.answer_to("")
        return measured


def compare(args: argparse.Namespace, folder: Path) -> list[tuple[Measured, Measured]]:
    """Return the figures of each round, those of the first version and of the second."""
    before, after = args.checkouts
    if args.what == "opening":
        rounds = []
        for _ in range(args.rounds):
            with Version(before, args, folder) as version:
                figures = version.measure()
            with Version(after, args, folder) as version:
                rounds.append((figures, version.measure()))
        return rounds
    with Version(before, args, folder) as first, Version(after, args, folder) as second:
        return [(first.measure(), second.measure()) for _ in range(args.rounds)]


def show(args: argparse.Namespace, rounds: Sequence[tuple[Measured, Measured]]) -> None:
    """Print medians and the median of the ratios."""
    old, new = (checkout.resolve().name for checkout in args.checkouts)
    print(f"{'':24}{old:>16}{new:>16}{'ratio':>8}")
    for name in rounds[0][0]:
        before, after = ([pair[side][name] for pair in rounds] for side in (0, 1))
        ratio = statistics.median(b / a for a, b in zip(before, after, strict=True))
        print(f"{name:24}{statistics.median(before):>16,.3f}{statistics.median(after):>16,.3f}{ratio:>8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs=2, type=Path, metavar="CHECKOUT", help="the one before, then the one after")
    parser.add_argument("--what", choices=("writing", "training", "opening"), required=True)
    parser.add_argument("--model", default="7M", help="7M, 42M, 134M; to train, 3M or 10M (default: 7M)")
    parser.add_argument("--texts", type=int, default=16, help="that are written at once")
    parser.add_argument("--temperature", type=float, default=0.0, help="of what is written (default: 0, greedy)")
    parser.add_argument("--cache", choices=("float32", "float16"), default="float32")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        work(args)
        return
    for checkout in args.checkouts:
        if not (checkout / "src" / "quire").is_dir():
            parser.error(f"{checkout} is no checkout of quire: it has no src/quire")
    from decode import SHAPES, random_model
    from quire.interop.huggingface import save_model_folder
    from training_speed import SHAPES as TRAINED

    shapes = TRAINED if args.what == "training" else SHAPES
    for name in ("texts", "threads", "rounds"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)}: at least 1")
    if args.model not in shapes:
        parser.error(f"--model {args.model}: {args.what} has {', '.join(shapes)}")
    with tempfile.TemporaryDirectory(prefix="quire-versions-") as scratch:
        folder = Path(scratch)
        if args.what != "training":
            save_model_folder(folder, *random_model(SHAPES[args.model]))
        try:
            rounds = compare(args, folder)
        except AnswerError as error:
            sys.exit(f"a checkout could not be measured: {error}")
    print(f"{args.what}, {args.model}, {args.rounds} rounds in turn, {args.threads} threads")
    show(args, rounds)


if __name__ == "__main__":
    main()
