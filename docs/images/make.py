"""Draws docs/images: from the metrics of real runs, and for the chapters from what quire.scratch computes.

python docs/images/make.py                            draw every picture again
python docs/images/make.py attention                  draw those of one module in docs/images/learn
python docs/images/make.py --check                    say which committed pictures are not what would be drawn
python docs/images/make.py --take NAME RUN [NAME RUN] first take the metrics of runs: NAME is library (`make demo`)
                                                      or shakespeare (benchmarks/shakespeare.py)

Matplotlib sets letters and margins a little differently from one release to another, so pictures are compared only with
the release that draws them: the newest in constraints.txt.

A module in docs/images/learn that has `draw(folder)` draws the pictures of one chapter into a folder and returns them.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

RUNS = {"library": "loss", "shakespeare": "bits-per-byte-over-time"}  # which picture of each the pages show
PICTURES = (".svg", ".png")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
DRAWN_NAME = re.compile(r"\b[a-z]?[0-9a-f]{10,12}\b")  # Matplotlib names markers and cuts after their coordinates
SEEN = 0.01  # in points; sums are rounded differently by different processors


def draw_run(name: str, folder: Path) -> list[Path]:
    """Draw the pictures of a run that the pages show, from the metrics in docs/images/runs."""
    from quire.training.plots import draw

    with tempfile.TemporaryDirectory() as drawn:
        found = [picture for picture in draw(HERE / "runs" / name, Path(drawn)) if picture.stem == RUNS[name]]
        return [Path(shutil.copyfile(picture, folder / f"{name}-{picture.name}")) for picture in found]


def chapters() -> dict[str, Callable[[Path], list[Path]]]:
    """Return the `draw` of each module in docs/images/learn that has one."""
    modules = {file.stem: importlib.import_module(f"learn.{file.stem}") for file in sorted(HERE.glob("learn/*.py"))}
    return {name: module.draw for name, module in modules.items() if hasattr(module, "draw")}


def drawn(folder: Path, only: Sequence[str] = ()) -> list[str]:
    """Draw the pictures into a folder that is laid out like docs/images; return their paths there."""
    (folder / "learn").mkdir(exist_ok=True)
    files = [] if only else [file for name in RUNS for file in draw_run(name, folder)]
    for name, draw in chapters().items():
        if not only or name in only:
            files += draw(folder / "learn")
    return [file.relative_to(folder).as_posix() for file in files]


def releases() -> tuple[str, str]:
    """Return the release of Matplotlib that draws the committed pictures, and the one that is here."""
    import matplotlib

    constraints = (HERE.parent.parent / "constraints.txt").read_text("utf-8")
    pinned = re.findall(r"^matplotlib==([\d.]+)", constraints, re.MULTILINE)
    return max(pinned, key=lambda release: [int(part) for part in release.split(".")]), matplotlib.__version__


def same(one: str, other: str) -> bool:
    """Return whether two SVGs are the same drawing, up to what nobody can see."""
    if one == other:
        return True
    one, other = DRAWN_NAME.sub("name", one), DRAWN_NAME.sub("name", other)
    if NUMBER.split(one) != NUMBER.split(other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(abs(float(a) - float(b)) <= SEEN for a, b in pairs)


def faults(folder: Path, names: Sequence[str]) -> list[str]:
    """Return what is wrong with the committed pictures, given those just drawn into a folder."""
    found = []
    for name in names:
        committed = HERE / name
        # Fonts are rasterised a little differently from one machine to another: only the SVG is compared.
        comparable = name.endswith(".svg") and committed.exists() and len(set(releases())) == 1
        stale = comparable and not same(committed.read_text("utf-8"), (folder / name).read_text("utf-8"))
        if stale or not committed.exists():
            found.append(f"{name}: not what would be drawn; run python docs/images/make.py")
    on_disk = {file.relative_to(HERE).as_posix() for file in HERE.rglob("*") if file.suffix in PICTURES}
    found += [f"{name}: nothing draws it" for name in sorted(on_disk - set(names))]
    pages = "\n".join(
        page.read_text("utf-8") for page in [*HERE.parent.rglob("*.md"), *HERE.parent.parent.glob("*.md")]
    )
    # A PNG beside an SVG of the same run is for those who cannot show the SVG.
    found += [
        f"{name}: on no page"
        for name in sorted(on_disk)
        if name.endswith(".svg") and f"images/{name}" not in pages and f"images/{name[:-4]}.png" not in pages
    ]
    return found


def take(pairs: Sequence[str]) -> None:
    """Copy the metrics of runs to docs/images/runs."""
    from quire.training.metrics import metrics_path

    for name, run in zip(pairs[::2], pairs[1::2], strict=True):
        target = metrics_path(HERE / "runs" / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(metrics_path(Path(run)), target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="of docs/images/learn; all and the runs if none is named")
    parser.add_argument("--take", nargs="+", default=[], metavar="NAME RUN")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if unknown := sorted(set(args.modules) - set(chapters())):
        parser.error(f"no module of docs/images/learn draws as {', '.join(unknown)}; there are {', '.join(chapters())}")
    take(args.take)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = drawn(folder, args.modules)
        if args.check:
            found = faults(folder, names)
            pinned, here = releases()
            if pinned != here:
                print(f"Matplotlib {here} is here, {pinned} drew the pictures: not compared")
            for fault in found:
                print(fault, file=sys.stderr)
            return 1 if found else 0
        for picture in names:
            shutil.copyfile(folder / picture, HERE / picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
