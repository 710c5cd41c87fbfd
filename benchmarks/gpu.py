#!/usr/bin/env python3
"""Which share of a GPU training reaches, and what each choice is worth.

    benchmarks/gpu.py [--model 124M 10M] [--seconds 240] [--profile] [--json-out FILE]

Whole training steps (forward, backward, clipping, optimizer) of a model of 124M parameters in windows of 1,024 tokens,
and of a small one of 10M in windows of 256, on random tokens. First the products of bfloat16 matrices of 8192 x 8192,
in the same process: the share (model FLOPs utilisation, MFU) is of that measured rate, and of the data sheet's where
the card is known. FLOPs are those of the model's matrix products, three times the forward pass; the optimizer's own
count for nothing. Beside quire, where it is installed, transformers' Qwen3 of the same shape: fused AdamW, bfloat16
autocast. Each contender is compiled and warmed up first; then all are timed in turn, round after round, and medians
are taken. What does not fit, or fails, is told and left out; after `--seconds` no further contender is prepared.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quire.files import write_text
from quire.model.config import ModelConfig
from quire.model.size import count_flops, count_parameters
from quire.model.transformer import Transformer
from quire.training.compiled import compile_loss
from quire.training.determinism import deterministic_kernels
from quire.training.gpus import GPUS
from quire.training.graphed import Passes
from quire.training.optimizer import Optimizer, OptimizerSettings
from quire.training.precision import MixedPrecision

PRODUCT = 8192
ROUNDS = 5
STEP_SECONDS = 1.0  # of steps in one round


@dataclass(frozen=True)
class Shape:
    """A model, and the windows of a step and of a pass."""

    config: ModelConfig
    batch: int
    micro: int


SHAPES = {
    "124M": Shape(
        ModelConfig(vocab_size=50_304, hidden_size=768, num_layers=12, num_heads=12, context_length=1024), 128, 32
    ),
    "10M": Shape(ModelConfig(vocab_size=512, hidden_size=384, num_layers=6, num_heads=6, context_length=256), 64, 64),
}


@dataclass(frozen=True)
class Contender:
    """What is timed. Attributes: name; `step` takes one whole training step."""

    name: str
    step: Callable[[], None]


def product_rate() -> float:
    """Return the FLOP/s of bfloat16 matrix products: the median of three series of 20."""
    a, b = (torch.randn(PRODUCT, PRODUCT, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    rates = []
    for _ in range(4):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(20):
            torch.mm(a, b)
        torch.cuda.synchronize()
        rates.append(20 * 2 * PRODUCT**3 / (time.perf_counter() - began))
    return statistics.median(rates[1:])  # the first one also sets the library up


def batches(shape: Shape) -> list[torch.Tensor]:
    """Return the micro-batches (b, T + 1) of one step."""
    length = shape.config.context_length + 1
    tokens = torch.randint(shape.config.vocab_size, (shape.batch, length), device="cuda")
    return list(tokens.split(shape.micro))


def quire_step(shape: Shape, kind: str, *, compiled: bool, exact: bool, graphs: bool = False) -> Callable[[], None]:
    """Return a training step of quire's parts, as the trainer puts them together."""
    torch.manual_seed(0)
    model = Transformer(shape.config).cuda()
    optimizer = Optimizer(model, OptimizerSettings(kind=kind, orthogonal_precision="bfloat16"))
    mixed = MixedPrecision("bfloat16", "cuda")
    failed: list[str] = []
    loss_of = compile_loss(model, failed.append) if compiled else model.loss
    passes = Passes(loss_of, list(model.parameters()), mixed, graphs=graphs, note=failed.append)
    parts = batches(shape)
    targets = shape.batch * shape.config.context_length

    def step() -> None:
        with deterministic_kernels(torch.device("cuda"), wanted=exact):
            total = torch.zeros((), device="cuda")
            for part in parts:
                total += passes.run(part[:, :-1].contiguous(), part[:, 1:].contiguous(), targets)
            mixed.unscale(optimizer.parts)
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if not torch.stack((total, norm)).isfinite().all().item():  # the trainer, too, waits for both
                raise RuntimeError("the loss or the gradient is not finite")
            optimizer.step()
            passes.zero_gradients()
        if failed:
            raise RuntimeError(failed[0])

    return step


def peer_step(shape: Shape, *, compiled: bool) -> Callable[[], None]:
    """Return a training step of transformers' Qwen3 with fused AdamW, as its Trainer takes it."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    c = shape.config
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=c.vocab_size,
            hidden_size=c.hidden_size,
            intermediate_size=c.intermediate_size,
            num_hidden_layers=c.num_layers,
            num_attention_heads=c.num_heads,
            num_key_value_heads=c.num_kv_heads,
            head_dim=c.head_dim,
            max_position_embeddings=c.context_length,
            tie_word_embeddings=c.tie_embeddings,
            use_cache=False,
            attn_implementation="sdpa",
        )
    ).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    forward = torch.compile(model, dynamic=False) if compiled else model
    parts = [part[:, :-1].contiguous() for part in batches(shape)]

    def step() -> None:
        for part in parts:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = forward(input_ids=part, labels=part).loss
            (loss / len(parts)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def contenders(name: str) -> dict[str, Callable[[], Callable[[], None]]]:
    """Return what is compared for one shape: name -> maker of a step, the most wanted first."""
    shape = SHAPES[name]
    found: dict[str, Callable[[], Callable[[], None]]] = {
        "quire compiled, Muon": lambda: quire_step(shape, "muon", compiled=True, exact=True),
        "quire compiled, graphs, Muon": lambda: quire_step(shape, "muon", compiled=True, exact=True, graphs=True),
        "quire compiled, Muon, any kernels": lambda: quire_step(shape, "muon", compiled=True, exact=False),
        "quire compiled, AdamW": lambda: quire_step(shape, "adamw", compiled=True, exact=True),
        "quire eager, graphs, Muon": lambda: quire_step(shape, "muon", compiled=False, exact=True, graphs=True),
        "quire eager, Muon": lambda: quire_step(shape, "muon", compiled=False, exact=True),
    }
    try:
        import transformers  # noqa: F401
    except ImportError:
        print("transformers is not installed: left out")
    else:
        found["transformers compiled, AdamW"] = lambda: peer_step(shape, compiled=True)
        found["transformers eager, AdamW"] = lambda: peer_step(shape, compiled=False)
    return found


def timed(step: Callable[[], None], count: int) -> float:
    """Return the seconds of one of `count` steps."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(count):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / count


def measure(name: str, rate: float, until: float) -> list[dict[str, Any]]:
    """Prepare the contenders of one shape, time them in turn, and print a row for each."""
    shape = SHAPES[name]
    steps: dict[str, Callable[[], None]] = {}
    about: dict[str, dict[str, Any]] = {}
    for label, make in contenders(name).items():
        if time.perf_counter() > until:
            print(f"{label}: no time left", flush=True)
            continue
        torch.cuda.reset_peak_memory_stats()
        held, began = torch.cuda.memory_allocated(), time.perf_counter()
        try:
            step = make()
            step()
            torch.cuda.synchronize()
            first = time.perf_counter() - began
            step()
            steps[label] = step
            about[label] = {
                "first_step_seconds": round(first, 1),
                "memory_gb": round((torch.cuda.max_memory_allocated() - held) / 1e9, 2),
            }
            print(f"{label}: ready after {first:.0f} s", flush=True)
        except Exception as error:  # a contender that fails is told; the others go on
            print(f"{label}: failed: {type(error).__name__}: {str(error)[:300]}", flush=True)
        gc.collect()
        torch.cuda.empty_cache()
    seconds: dict[str, list[float]] = {label: [] for label in steps}
    for _ in range(ROUNDS):
        for label, step in steps.items():
            count = max(2, int(STEP_SECONDS / timed(step, 1)))
            seconds[label].append(timed(step, count))
    flops = count_flops(shape.config, shape.config.context_length, training=True)
    tokens = shape.batch * shape.config.context_length
    sheet = sheet_rate()
    rows = []
    size = count_parameters(shape.config)
    print(f"\n{name}: {size:,} parameters, {tokens:,} tokens a step, {shape.micro} windows a pass")
    for label, times in seconds.items():
        speed = tokens / statistics.median(times)
        row = {
            "model": name,
            "contender": label,
            "tokens_per_second": round(speed),
            "step_ms": round(1000 * statistics.median(times), 2),
            "share_of_measured": round(speed * flops / rate, 4),
            "share_of_data_sheet": round(speed * flops / sheet, 4) if sheet else None,
            **about[label],
        }
        rows.append(row)
        print(
            f"{label:<40} {row['tokens_per_second']:>10,} tokens/s {row['step_ms']:>9} ms "
            f"{row['share_of_measured']:>7.1%} {row['share_of_data_sheet'] or 0:>7.1%} {row['memory_gb']:>6} GB",
            flush=True,
        )
    if "--profile" in sys.argv and steps:
        profile(next(iter(steps.values())))
    return rows


def profile(step: Callable[[], None]) -> None:
    """Print the kernels that take most of the GPU's time in two steps."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiling

    with profiling(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        step()
        step()
        torch.cuda.synchronize()
    events = sorted(found.key_averages(), key=lambda e: -e.self_device_time_total)
    whole = sum(e.self_device_time_total for e in events)
    print(f"kernels of two steps: {whole / 1000:.1f} ms")
    for event in events[:25]:
        share = event.self_device_time_total / whole
        print(f"  {share:6.1%} {event.self_device_time_total / 1000:9.2f} ms {event.count:>6}  {event.key[:90]}")


def sheet_rate() -> float | None:
    """Return the FLOP/s of dense bfloat16 products on this card's data sheet, where it is known."""
    name = torch.cuda.get_device_name()
    found = [gpu for key, gpu in GPUS.items() if key.split("-")[0].upper() in name.upper().replace(" ", "-").split("-")]
    return float(found[0].flops) if found else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="*", choices=sorted(SHAPES), default=["124M", "10M"])
    parser.add_argument("--seconds", type=float, default=240.0, help="after these no further contender is prepared")
    parser.add_argument("--profile", action="store_true", help="also print the kernels of the first contender")
    parser.add_argument("--json-out", type=Path, help="write the results there")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA GPU is here: nothing to measure")
    until = time.perf_counter() + args.seconds
    rate = product_rate()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; bfloat16 products {rate / 1e12:.0f} TFLOP/s")
    rows = []
    for name in args.model:
        rows += measure(name, rate, until)
        gc.collect()
        torch.cuda.empty_cache()
    if args.json_out:
        card = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "bfloat16_flops": rate}
        write_text(args.json_out, json.dumps({**card, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
