"""How much memory a training step needs: as predicted from the shapes, and as measured.

    python benchmarks/training_memory.py                    # the three sizes, activation checkpointing, vocabularies
    python benchmarks/training_memory.py --compile          # the same steps compiled
    python benchmarks/training_memory.py --out memory.json

Each case runs in a process of its own, from whose start the system counts the peak of its resident memory. A step is
the whole of it: forward, backward, clipping, and the optimizer's update. Times are of the processor, all its threads
together, so that other work on the machine does not count.

Three tables: prediction beside measurement at three sizes; activation checkpointing off and on; and the loss over a
vocabulary of 512 and 32,768 tokens with all logits held, in chunks of rows, and by
`torch.nn.functional.linear_cross_entropy` where this torch has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

STEPS = 4
# name: width, blocks, vocabulary, context, windows
SIZES = {
    "0.5M": (96, 4, 512, 128, 16),
    "3M": (192, 6, 1024, 256, 16),
    "10M": (320, 8, 2048, 256, 32),
}
LOSSES = {"V=512": (512, 2048), "V=32,768": (32_768, 2048)}
LOSS_WIDTH = 256
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true", help="compile the model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_case(json.loads(args.case))))
        return
    tables = {
        "prediction": [
            case(args, "step", size=size, precision=precision, checkpointing=False)
            for size in SIZES
            for precision in ("float32", "bfloat16")
        ],
        "checkpointing": [
            case(args, "step", size=size, precision="float32", checkpointing=on)
            for size in SIZES
            for on in (False, True)
        ],
        "loss": [
            case(args, "loss", vocabulary=name, how=how) for name in LOSSES for how in ("whole", "chunks", "torch")
        ],
    }
    show(tables)
    if args.out:
        args.out.write_text(json.dumps(tables, indent=1) + "\n")


def case(args: argparse.Namespace, kind: str, **values: Any) -> dict[str, Any]:
    """Measure one case in a process of its own."""
    given = {"kind": kind, "threads": args.threads, "compile": args.compile, **values}
    command = [sys.executable, __file__, "--case", json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{given}: {done.stderr.strip().splitlines()[-1]}")
    return {**values, **json.loads(done.stdout.splitlines()[-1])}


def run_case(given: dict[str, Any]) -> dict[str, Any]:
    import torch

    torch.set_num_threads(given["threads"])
    return (step_case if given["kind"] == "step" else loss_case)(given)


def step_case(given: dict[str, Any]) -> dict[str, Any]:
    import torch

    from quire.model.config import ModelConfig
    from quire.model.size import count_parameters
    from quire.model.transformer import Transformer
    from quire.training.compiled import compile_loss
    from quire.training.memory import give_back_large_pieces, peak_memory, predict_memory
    from quire.training.optimizer import Optimizer, OptimizerSettings
    from quire.training.pace import plain_step
    from quire.training.precision import MixedPrecision

    width, blocks, vocabulary, context, rows = SIZES[given["size"]]
    config = ModelConfig(
        vocab_size=vocabulary, hidden_size=width, num_layers=blocks, num_heads=width // 32, context_length=context
    )
    import torch._dynamo  # the optimizer's first step would load it, which is the process and not the step

    before = peak_memory("cpu")
    model = Transformer(config)
    model.activation_checkpointing = given["checkpointing"]
    if given["checkpointing"]:
        give_back_large_pieces()  # as the trainer does
    loss_of = compile_loss(model, sys.exit) if given["compile"] else model.loss
    optimizer = Optimizer(model, OptimizerSettings())
    mixed = MixedPrecision(given["precision"], "cpu")
    tokens = torch.randint(vocabulary, (rows, context))

    def step() -> None:
        plain_step(loss_of, model, optimizer, mixed, tokens)

    seconds = [timed(step) for _ in range(STEPS)]
    predicted = predict_memory(
        config,
        rows,
        device="cpu",
        precision=given["precision"],
        optimizer="muon",
        checkpointing=given["checkpointing"],
        compiled=given["compile"],
        process=before,
    )
    return {
        "parameters": count_parameters(config),
        "tokens": rows * context,
        "before": before,
        "predicted": predicted,
        "peak": peak_memory("cpu"),
        "seconds": min(seconds[1:]),
    }


def loss_case(given: dict[str, Any]) -> dict[str, Any]:
    import torch
    import torch.nn.functional as F

    from quire.model.loss import rows_at_once, summed_cross_entropy
    from quire.training.memory import peak_memory

    vocabulary, rows = LOSSES[given["vocabulary"]]
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(vocabulary, LOSS_WIDTH) / LOSS_WIDTH**0.5)
    hidden = torch.randn(rows, LOSS_WIDTH, requires_grad=True)
    targets = torch.randint(vocabulary, (rows,))

    def loss() -> torch.Tensor:
        if given["how"] == "torch":
            if not hasattr(F, "linear_cross_entropy"):
                raise SystemExit("this torch has no linear_cross_entropy")
            options = torch.nn.LinearCrossEntropyOptions()
            return F.linear_cross_entropy(hidden, weight, targets, reduction="sum", options=options)
        # At a vocabulary of 512 all rows are held by default; here they are cut all the same.
        cut = min(rows_at_once(rows, vocabulary, "cpu"), rows // 4)
        return summed_cross_entropy(hidden, weight, targets, rows=rows if given["how"] == "whole" else cut)

    def step() -> float:
        hidden.grad = weight.grad = None
        value = loss()
        (value / rows).backward()
        return float(value.detach())

    before = peak_memory("cpu")
    seconds = [timed(step) for _ in range(STEPS)]
    return {"before": before, "peak": peak_memory("cpu"), "seconds": min(seconds[1:]), "loss": step()}


def timed(step: Any) -> float:
    import time

    began = time.process_time()
    step()
    return time.process_time() - began


def show(tables: dict[str, list[dict[str, Any]]]) -> None:
    print("| size | parameters | tokens a pass | precision | predicted MiB | peak MiB | peak / predicted |")
    print("|---|---|---|---|---|---|---|")
    for row in tables["prediction"]:
        print(
            f"| {row['size']} | {row['parameters']:,} | {row['tokens']:,} | {row['precision']} "
            f"| {row['predicted'] / MIB:,.0f} | {row['peak'] / MIB:,.0f} | {row['peak'] / row['predicted']:.2f} |"
        )
    print("\n| size | checkpointing | MiB beside the process | predicted MiB | processor seconds a step |")
    print("|---|---|---|---|---|")
    for row in tables["checkpointing"]:
        print(
            f"| {row['size']} | {'on' if row['checkpointing'] else 'off'} | {(row['peak'] - row['before']) / MIB:,.0f} "
            f"| {row['predicted'] / MIB:,.0f} | {row['seconds']:.3f} |"
        )
    print("\n| vocabulary | logits | MiB beside the process | processor seconds | loss |")
    print("|---|---|---|---|---|")
    for row in tables["loss"]:
        print(
            f"| {row['vocabulary']} | {row['how']} | {(row['peak'] - row['before']) / MIB:,.0f} "
            f"| {row['seconds']:.3f} | {row['loss']:.3f} |"
        )


if __name__ == "__main__":
    main()
