"""Draws docs/images from the metrics of real runs.

python docs/images/make.py                            draw again from the metrics that lie in docs/images/runs
python docs/images/make.py --check                    say whether the committed pictures are what would be drawn
python docs/images/make.py --take NAME RUN [NAME RUN] first take the metrics of runs: NAME is library (`make demo`)
                                                      or shakespeare (benchmarks/shakespeare.py)
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from quire.training.metrics import metrics_path
from quire.training.plots import draw

HERE = Path(__file__).resolve().parent
RUNS = ("library", "shakespeare")
SHOWN = ("loss", "bits-per-byte-over-time", "overview")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", nargs="+", default=[], metavar="NAME RUN")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    for name, run in zip(args.take[::2], args.take[1::2], strict=True):
        target = metrics_path(HERE / "runs" / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(metrics_path(Path(run)), target)
    stale = []
    for name in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            for picture in draw(HERE / "runs" / name, Path(folder)):
                if picture.stem not in SHOWN:
                    continue
                committed = HERE / f"{name}-{picture.name}"
                # Fonts are rasterised a little differently from one machine to another: only the SVG is compared.
                if args.check and picture.suffix == ".svg":
                    if not committed.exists() or committed.read_bytes() != picture.read_bytes():
                        stale.append(committed.name)
                elif not args.check:
                    shutil.copyfile(picture, committed)
    if stale:
        print(f"not what would be drawn: {', '.join(stale)}; run python docs/images/make.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
