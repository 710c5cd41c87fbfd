"""Which share of this machine's float32 matrix-product rate does training reach?

    python benchmarks/training_speed.py [--sizes 3M 10M] [--profile] [--json-out FILE]

Products of 2048 x 2048 float32 matrices and whole training steps (forward, backward, clipping, optimizer) are timed
in turn, round after round, in one run; rates and shares are medians over the rounds. All in float32, and in the 16-bit
format whose products are the fastest here; Muon orthogonalizes in the format that the plan chooses. FLOPs are those of
the matrix products, three times the forward pass; the optimizer's own count for nothing. How others do in the same
shapes is the question of benchmarks/training_peers.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from quire.files import write_text
from quire.model.config import ModelConfig
from quire.model.size import count_flops, count_parameters
from quire.model.transformer import Transformer
from quire.training.compiled import compile_loss
from quire.training.determinism import deterministic_kernels
from quire.training.machine import measure_machine
from quire.training.optimizer import Optimizer, OptimizerSettings
from quire.training.pace import plain_step
from quire.training.plan import orthogonal_precision
from quire.training.precision import MixedPrecision

SHAPES = {
    "3M": ModelConfig(vocab_size=2048, hidden_size=192, num_layers=6, num_heads=6, context_length=256),
    "10M": ModelConfig(vocab_size=4096, hidden_size=320, num_layers=7, num_heads=5, context_length=256),
}
BATCH = 16
PRODUCT = 2048


def product_rate() -> float:
    """Return the GFLOP/s of a float32 matrix product."""
    a = torch.randn(PRODUCT, PRODUCT)
    began = time.perf_counter()
    for _ in range(3):
        a @ a
    return 3 * 2 * PRODUCT**3 / (time.perf_counter() - began) / 1e9


def quire_step(config: ModelConfig, precision: str, kind: str, compiled: bool, orthogonal: str) -> Callable[[], None]:
    torch.manual_seed(0)
    model = Transformer(config)
    optimizer = Optimizer(model, OptimizerSettings(kind=kind, orthogonal_precision=orthogonal))
    mixed = MixedPrecision(precision, "cpu")
    loss_of = compile_loss(model, sys.exit) if compiled else model.loss
    tokens = torch.randint(config.vocab_size, (BATCH, config.context_length))

    def step() -> None:
        with deterministic_kernels(torch.device("cpu"), wanted=True):  # as the trainer does, for exact resumption
            plain_step(loss_of, model, optimizer, mixed, tokens)

    return step


KINDS = {
    "products": ("aten::mm", "aten::addmm"),
    "products of many (attention, Muon)": ("aten::bmm", "aten::baddbmm"),
    "attention's kernel": ("flash_attention", "scaled_dot_product"),
    "compiled code between them": ("CompiledFxGraph",),
}
"""Kinds of what PyTorch's profiler names, by words in the names."""
PROFILED_STEPS = 3


def profile(name: str, step: Callable[[], None]) -> None:
    """Print where the time of a step goes: what PyTorch's profiler counts for operators without those they call."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiling

    step()
    with profiling(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(PROFILED_STEPS):
            step()
    spent = dict.fromkeys([*KINDS, "the rest"], 0.0)
    for event in found.key_averages():
        exact = (kind for kind, words in KINDS.items() if event.key in words)
        within = (kind for kind, words in KINDS.items() if any(word in event.key for word in words if "::" not in word))
        kind = next(exact, None) or next(within, "the rest")
        spent[kind] += event.self_cpu_time_total / 1e3 / PROFILED_STEPS
    whole = sum(spent.values())
    parts = ", ".join(f"{kind} {ms:.0f} ms ({ms / whole:.0%})" for kind, ms in spent.items() if ms > 0)
    print(f"{name}: {whole:.0f} ms: {parts}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(SHAPES), default=["3M"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--profile", action="store_true", help="also say where the time of each step goes")
    parser.add_argument("--json-out", type=Path)
    args = parser.parse_args()
    machine = measure_machine()
    print(machine.name)
    fast = max(machine.gflops, key=machine.gflops.__getitem__)
    rows = []
    for size in args.sizes:
        config = SHAPES[size]
        precisions = ["float32"] if fast == "float32" else ["float32", fast]
        steps = {}
        for precision, way in itertools.product(precisions, ("eager", "compiled") if machine.compiler else ("eager",)):
            compiled = way == "compiled"
            for kind, name in (("muon", "Muon"), ("adamw", "AdamW")):
                step = quire_step(config, precision, kind, compiled, orthogonal_precision(machine))
                steps[f"quire {way}, {precision}, {name}"] = step
        for step in steps.values():  # compile and warm up
            step()
            step()
        times: dict[str, list[float]] = {name: [] for name in steps}
        shares: dict[str, list[float]] = {name: [] for name in steps}
        rates = []
        flops = count_flops(config, config.context_length, training=True) * BATCH * config.context_length
        for _ in range(args.rounds):
            for name, step in steps.items():
                rate = product_rate()
                began = time.perf_counter()
                step()
                seconds = time.perf_counter() - began
                rate = (rate + product_rate()) / 2  # before and after, since the machine is shared
                rates.append(rate)
                times[name].append(seconds)
                shares[name].append(flops / seconds / 1e9 / rate)
        print(
            f"\n{size}: {count_parameters(config):,} parameters, batch {BATCH} x {config.context_length}; "
            f"float32 products {statistics.median(rates):.0f} GFLOP/s"
        )
        print(f"{'':42}{'tokens/s':>10}{'GFLOP/s':>10}{'share':>8}")
        for name in steps:
            seconds = statistics.median(times[name])
            row = {
                "model": size,
                "what": name,
                "tokens_per_second": BATCH * config.context_length / seconds,
                "gflops": flops / seconds / 1e9,
                "share_of_float32_products": statistics.median(shares[name]),
                "products_gflops": statistics.median(rates),
            }
            rows.append(row)
            print(f"{name:42}{row['tokens_per_second']:>10,.0f}{row['gflops']:>10.0f}{shares_text(row):>8}")
        if args.profile:
            for name, step in steps.items():
                profile(name, step)
    if args.json_out:
        write_text(args.json_out, json.dumps({"machine": machine.name, "rows": rows}, indent=1) + "\n")


def shares_text(row: dict[str, object]) -> str:
    return f"{row['share_of_float32_products']:.0%}"


if __name__ == "__main__":
    main()
