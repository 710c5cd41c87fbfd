"""How long does the choice of one token take, in NumPy and compiled?

    python benchmarks/draw.py [--rounds 7]

Rows of scores from a normal distribution, whose width says how sure the model is: of 1 is nearly flat, of 3 is about
what a trained model gives. Both ways draw from the same rows by the same random numbers, in turn; medians, and the
median of the ratios. They must draw the same tokens, or there are no numbers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np

from quire.inference.native.drawing import Drawing
from quire.inference.row import Draw, Row, choose_in_row
from quire.inference.settings import SamplingSettings
from quire.inference.state import SamplingState

VOCABULARIES = (512, 4096, 32_000)
WIDTHS = (1.0, 3.0, 6.0)
SETTINGS = {
    "default": SamplingSettings(),
    "top_p 1": SamplingSettings(top_p=1.0),
    "top_k 40": SamplingSettings(top_p=1.0, top_k=40),
    "greedy": SamplingSettings(temperature=0.0),
}
TIMES = 200


def drawn(row: Row, chosen: SamplingSettings, drawing: Draw | None) -> tuple[list[int], float]:
    """Choose from a row a few times; return the tokens, and the microseconds of one choice."""
    state = SamplingState(chosen, [], seed=0, sample=0, end_of_text=0)
    began = time.perf_counter()
    with np.errstate(over="ignore"):
        tokens = [choose_in_row(row, int(row.argmax()), state, drawing).token for _ in range(TIMES)]
    return tokens, 1e6 * (time.perf_counter() - began) / TIMES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    numbers = np.random.default_rng(0)
    print(f"{'vocabulary':>10}{'width':>7}  {'settings':10}{'NumPy, µs':>11}{'compiled, µs':>14}{'times':>7}")
    for size in VOCABULARIES:
        compiled = Drawing(size)
        for width in WIDTHS:
            row = (numbers.standard_normal(size) * width).astype(np.float32)
            for name, chosen in SETTINGS.items():
                ways: list[Draw | None] = [None, compiled]
                if drawn(row, chosen, None)[0] != drawn(row, chosen, compiled)[0]:
                    sys.exit(f"vocabulary {size}, width {width}, {name}: other tokens are drawn")
                found = [[drawn(row, chosen, way)[1] for way in ways] for _ in range(args.rounds)]
                plain, fast = (statistics.median(pair[side] for pair in found) for side in (0, 1))
                ratio = statistics.median(pair[0] / pair[1] for pair in found)
                print(f"{size:>10,}{width:>7}  {name:10}{plain:>11.1f}{fast:>14.1f}{ratio:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
