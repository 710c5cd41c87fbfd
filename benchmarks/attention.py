"""How fast is attention in training on a CPU, beside PyTorch's own kernel?

    python benchmarks/attention.py [--rounds 9] [--step]

Forward and backward pass of one layer in several shapes, in float32 and bfloat16, eager and compiled: PyTorch's
`scaled_dot_product_attention` and quire's `CausalAttention`, in turn, round after round; medians, and the median of the
rounds' ratios. With --step whole training steps in bfloat16, of the 3M shape of benchmarks/training_speed.py, with the
one and with the other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from quire.model import attention
from quire.model.attention import CausalAttention
from quire.training.machine import measure_machine
from training_speed import BATCH, SHAPES, quire_step

# Windows, heads, tokens of context, width of a head: of quire's plans from 0.5M to 10M parameters, and longer ones.
LAYERS = ((64, 4, 64, 32), (32, 4, 128, 32), (16, 6, 256, 32), (16, 5, 256, 64), (8, 8, 512, 64), (4, 8, 1024, 64))
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def pytorch_s(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def quire_s(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return CausalAttention.apply(q, k, v)


def in_turn(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round."""
    for run in ways.values():
        run()
        run()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(seconds: dict[str, list[float]]) -> float:
    """Return how many times faster the second way is than the first."""
    return statistics.median(first / second for first, second in zip(*seconds.values(), strict=True))


def measure_layer(shape: tuple[int, int, int, int], dtype: torch.dtype, *, compiled: bool, rounds: int) -> None:
    B, H, T, K = shape
    # As a model makes them: normed queries and keys head by head, values and gradients token by token.
    q, k = (torch.randn(B, H, T, K).to(dtype).requires_grad_() for _ in range(2))
    v = torch.randn(B, T, H, K).to(dtype).transpose(1, 2).requires_grad_()
    gradient = torch.randn(B, T, H, K).to(dtype).transpose(1, 2)

    def both_ways(attend: Attend) -> Callable[[], None]:
        torch._dynamo.reset()
        way = torch.compile(attend, dynamic=False) if compiled else attend

        def run() -> None:
            torch.autograd.grad(way(q, k, v), (q, k, v), gradient)

        run()
        return run

    seconds = in_turn({"PyTorch": both_ways(pytorch_s), "quire": both_ways(quire_s)}, rounds)
    kernel, ours = (1e3 * statistics.median(times) for times in seconds.values())
    how = "compiled" if compiled else "eager"
    print(f"{shape!s:20} {str(dtype)[6:]:9} {how:9} {kernel:8.1f} {ours:8.1f} {ratio(seconds):6.2f}", flush=True)


def measure_steps(rounds: int) -> None:
    config = SHAPES["3M"]
    for way in ("eager", "compiled"):
        ways = {}
        for name, longest in (("PyTorch", 0), ("quire", attention.LONGEST_KEPT)):
            inner = quire_step(config, "bfloat16", "muon", way == "compiled", "bfloat16")

            def step(inner: Callable[[], None] = inner, longest: int = longest) -> None:
                attention.LONGEST_KEPT = longest
                inner()

            step()
            ways[name] = step
        seconds = in_turn(ways, rounds)
        tokens = [BATCH * config.context_length / statistics.median(times) for times in seconds.values()]
        print(f"3M step, Muon, {way}: {tokens[0]:,.0f} and {tokens[1]:,.0f} tokens/s, {ratio(seconds):.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--step", action="store_true", help="whole training steps instead of layers")
    args = parser.parse_args()
    print(measure_machine("cpu").name)
    if args.step:
        measure_steps(args.rounds)
        return
    print("forward and backward pass, ms")
    print(f"{'windows, heads, T, K':20} {'format':9} {'':9} {'PyTorch':>8} {'quire':>8} {'ratio':>6}")
    for shape in LAYERS:
        for dtype in (torch.float32, torch.bfloat16):
            for compiled in (False, True):
                measure_layer(shape, dtype, compiled=compiled, rounds=args.rounds)


if __name__ == "__main__":
    main()
