"""What does compiling cost, from nothing and from the cache, and when is it earned back?

    python benchmarks/compiling.py [--sizes 0.9M 3M 10M] [--precision float32] [--json-out FILE]

For each size three processes train the same model on the same tokens, one after the other: the first with an empty
cache and without torch's headers, translated, which all shapes share; the second with an empty cache; the third with
the cache of the second. Each takes the step of training (forward, backward, clipping, optimizer) nine times. What the
first of them takes longer than the median of the others is compiling. Eager steps are timed in the third process. A run
earns compiling back after seconds / (1 - 1 / gain).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quire.files import write_text
from quire.training.compilation import Forecast

STEPS = 9
# vocabulary, width, blocks, heads, context, windows
SHAPES = {
    "0.9M": (512, 128, 4, 4, 128, 16),
    "3M": (2048, 192, 6, 6, 256, 16),
    "10M": (4096, 320, 7, 5, 256, 32),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--json-out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--child", choices=("cold", "warm"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.sizes[0], args.precision, eager=args.child == "warm")))
        return
    rows = []
    print("size   from nothing   empty cache   from the cache   gain   earned back after: empty, cache")
    for size in args.sizes:
        with tempfile.TemporaryDirectory(prefix="quire-compiling-") as folder:
            nothing = child(size, args.precision, "cold", Path(folder) / "a", Path(folder))
            cold = child(size, args.precision, "cold", Path(folder) / "b", Path(folder))
            warm = child(size, args.precision, "warm", Path(folder) / "b", Path(folder))
        row = {
            "size": size,
            "from_nothing": nothing["compiling"],
            "cold": cold["compiling"],
            "warm": warm["compiling"],
            "gain": warm["eager"] / warm["compiled"],
        }
        rows.append(row)
        empty, cached = (Forecast(row[kind], row["gain"], "").earned_back_after for kind in ("cold", "warm"))
        print(
            f"{size:<6} {row['from_nothing']:>10.1f} s {row['cold']:>11.1f} s {row['warm']:>14.1f} s"
            f" {row['gain']:>6.2f}   " + (f"{empty:.0f} s, {cached:.0f} s" if row["gain"] > 1 else "never"),
            flush=True,
        )
    if args.json_out:
        write_text(args.json_out, json.dumps(rows, indent=1) + "\n")


def child(size: str, precision: str, kind: str, cache: Path, temporary: Path) -> dict[str, float]:
    """Run `measure` in a process of its own, with a cache folder of its own."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "TMPDIR": str(temporary)}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    command = [sys.executable, __file__, "--child", kind, "--sizes", size, "--precision", precision]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure(size: str, precision: str, *, eager: bool) -> dict[str, float]:
    """Return the seconds of compiling and of a compiled step, and of one that is not where `eager` says so."""
    import torch

    from quire.model.config import ModelConfig
    from quire.model.transformer import Transformer
    from quire.training.compilation import keep_compiled
    from quire.training.compiled import compile_loss
    from quire.training.determinism import deterministic_kernels
    from quire.training.optimizer import Optimizer, OptimizerSettings
    from quire.training.pace import plain_step
    from quire.training.precision import MixedPrecision

    if problem := keep_compiled():
        raise SystemExit(problem)
    vocabulary, width, blocks, heads, context, rows = SHAPES[size]
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=vocabulary, hidden_size=width, num_layers=blocks, num_heads=heads, context_length=context
    )
    model = Transformer(config)
    optimizer = Optimizer(model, OptimizerSettings())
    mixed = MixedPrecision(precision, "cpu")
    tokens = torch.randint(vocabulary, (rows, context))

    def step_seconds(loss_of) -> float:  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        with deterministic_kernels(torch.device("cpu"), wanted=True):
            plain_step(loss_of, model, optimizer, mixed, tokens)
        return time.perf_counter() - began

    before = [step_seconds(model.loss) for _ in range(STEPS)] if eager else [0.0, 0.0]
    compiled = compile_loss(model, sys.exit)
    times = [step_seconds(compiled) for _ in range(STEPS)]
    usual = statistics.median(times[1:])
    return {"compiling": times[0] - usual, "compiled": usual, "eager": statistics.median(before[1:])}


if __name__ == "__main__":
    main()
