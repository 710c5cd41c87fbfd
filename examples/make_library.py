"""Makes examples/library, a folder such as a user would have, from the documents in examples/sources.

Each source document takes exactly one form, since a page that is there twice would lie on both sides of the split into
training and validation text. Besides, some of quire's own source and its documentation are copied in as code and notes:
a snapshot, taken whenever this runs, that `--check` does not look at (it would be stale after every commit).

    python examples/make_library.py           # make the library and take the snapshot
    python examples/make_library.py --check   # say whether the committed library is what this script makes
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pypdfium2
from PIL import Image, ImageSequence

from scan import Scanner, render, scan, to_image_pdf, to_jpeg, to_png, to_tiff
from typeset import (
    BULLETIN,
    HANDBOOK,
    JOURNAL,
    LEAFLET,
    REPORT,
    SHEET,
    TYPEWRITER,
    Look,
    parse,
    to_html,
    to_pdf,
    to_text,
)

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
SOURCES = HERE / "sources"
LIBRARY = HERE / "library"

Form = Callable[[str, int], list[bytes]]  # (Markdown, seed) -> one or several files


def pdf(look: Look, first_page: int = 1) -> Form:
    return lambda markdown, seed: [to_pdf(parse(markdown), look, first_page)]


def scanned_png(markdown: str, seed: int) -> list[bytes]:
    scanner = Scanner(dpi=150, angle=0.7, grain=2.5)
    return [to_png(page) for page in scan(to_pdf(parse(markdown), TYPEWRITER), scanner, seed)]


def scanned_sheet(markdown: str, seed: int) -> list[bytes]:
    scanner = Scanner(dpi=150, angle=-1.1, grain=2.5, shadow=0.1, specks=120)
    return [to_png(page) for page in scan(to_pdf(parse(markdown), SHEET), scanner, seed)]


def scanned_jpeg(markdown: str, seed: int) -> list[bytes]:
    scanner = Scanner(dpi=170, angle=0.9, grain=5, shadow=0.35, paper=(240, 230, 206))
    return [to_jpeg(page, scanner.dpi) for page in scan(to_pdf(parse(markdown), TYPEWRITER), scanner, seed)]


def scanned_tiff(markdown: str, seed: int) -> list[bytes]:
    scanner = Scanner(dpi=200, angle=0.5, grain=9, shadow=0.2, specks=300)
    return [to_tiff(scan(to_pdf(parse(markdown), REPORT), scanner, seed), scanner.dpi)]


def scanned_pdf(markdown: str, seed: int) -> list[bytes]:
    scanner = Scanner(dpi=140, angle=-0.6, grain=4, shadow=0.3)
    return [to_image_pdf(scan(to_pdf(parse(markdown), LEAFLET), scanner, seed), scanner.dpi)]


def as_written(markdown: str, seed: int) -> list[bytes]:
    return [markdown.encode("utf-8")]


def text(encoding: str) -> Form:
    return lambda markdown, seed: [to_text(parse(markdown)).encode(encoding)]


def html(markdown: str, seed: int) -> list[bytes]:
    return [to_html(parse(markdown)).encode("utf-8")]


# Where each source goes, and in what form. A form that yields several files fills the {} of the name.
PLACES: dict[str, tuple[str, Form]] = {
    "what-is-a-neural-network": ("handbook/01-what-is-a-neural-network.pdf", pdf(HANDBOOK, 1)),
    "a-neuron-by-hand": ("handbook/02-a-neuron-by-hand.pdf", pdf(HANDBOOK, 3)),
    "backpropagation": ("handbook/03-backpropagation.pdf", pdf(HANDBOOK, 5)),
    "going-downhill": ("handbook/04-going-downhill.pdf", pdf(HANDBOOK, 7)),
    "tokens-and-byte-pairs": ("handbook/05-tokens-and-byte-pairs.pdf", pdf(HANDBOOK, 9)),
    "embeddings-and-positions": ("handbook/06-embeddings-and-positions.pdf", pdf(HANDBOOK, 11)),
    "attention-worked-out": ("handbook/07-attention-worked-out.pdf", pdf(HANDBOOK, 13)),
    "the-transformer-block": ("handbook/08-the-transformer-block.pdf", pdf(HANDBOOK, 15)),
    "many-epochs-over-one-shelf": ("papers/many-epochs-over-one-shelf.pdf", pdf(JOURNAL, 41)),
    "half-the-bits": ("papers/half-the-bits.pdf", pdf(JOURNAL, 43)),
    "a-short-history-of-the-quire": ("papers/a-short-history-of-the-quire.pdf", pdf(JOURNAL, 12)),
    "sheets-type-and-steam": ("papers/sheets-type-and-steam.pdf", pdf(JOURNAL, 14)),
    "how-a-pdf-stores-text": ("papers/how-a-pdf-stores-text.pdf", pdf(BULLETIN, 7)),
    "a-catalogue-of-catalogues": ("papers/a-catalogue-of-catalogues.pdf", pdf(BULLETIN, 9)),
    "letter-from-the-binder": ("scans/letter-from-the-binder.png", scanned_png),
    "problem-sheet": ("scans/problem-sheet.png", scanned_sheet),
    "diary-of-a-first-run": ("scans/diary-{}.jpg", scanned_jpeg),
    "how-a-machine-reads-a-page": ("scans/how-a-machine-reads-a-page.tif", scanned_tiff),
    "how-to-fold-and-sew-a-quire": ("scans/how-to-fold-and-sew-a-quire.pdf", scanned_pdf),
    "gradient-accumulation": ("notes/gradient-accumulation.md", as_written),
    "caches-and-dice": ("notes/caches-and-dice.md", as_written),
    "how-to-read-a-loss-curve": ("notes/how-to-read-a-loss-curve.md", as_written),
    "faq": ("notes/faq.md", as_written),
    "exercises-with-solutions": ("notes/exercises-with-solutions.md", as_written),
    "words-of-the-bindery": ("notes/words-of-the-bindery.md", as_written),
    "a-dialogue-in-the-bindery": ("texts/a-dialogue-in-the-bindery.txt", text("utf-8")),
    "checklist-before-a-long-run": ("texts/checklist-before-a-long-run.txt", text("utf-8")),
    "encodings-and-unicode": ("texts/encodings-and-unicode.txt", text("utf-8")),
    "two-letters-on-a-small-model": ("texts/two-letters-on-a-small-model.txt", text("utf-8")),
    "lettre-from-besancon": ("texts/lettre-from-besancon.txt", text("latin-1")),
    "glossary": ("web/glossary.html", html),
}

# Copied, not made: (folder of the repository, pattern, folder of the library). Three rooms of the source and not all of
# them: with the whole, 440 of 568 kB of text were Python.
SNAPSHOT = (
    ("src/quire/tokens", "*.py", "code/tokens"),
    ("src/quire/model", "*.py", "code/model"),
    ("src/quire/inference", "*.py", "code/inference"),
    ("docs", "*.md", "notes/quire"),
)


def make(out: Path) -> list[Path]:
    """Write every made document below `out`; return the paths, relative to `out`."""
    made = []
    for seed, (name, (place, form)) in enumerate(PLACES.items()):
        files = form((SOURCES / f"{name}.md").read_text("utf-8"), 1000 * seed)
        if len(files) > 1 and "{}" not in place:
            raise ValueError(f"{name} fills {len(files)} files, but {place} names one")
        for number, data in enumerate(files, 1):
            path = Path(place.format(number))
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(data)
            made.append(path)
    return made


def take_snapshot(out: Path) -> list[Path]:
    """Copy quire's source and documentation below `out`, in place of an older copy; return the paths."""
    copied = []
    for folder, pattern, place in SNAPSHOT:
        shutil.rmtree(out / place, ignore_errors=True)
        for path in sorted((REPOSITORY / folder).glob(pattern)):
            if path.stat().st_size > 0:
                target = Path(place, path.relative_to(REPOSITORY / folder))
                (out / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, out / target)
                copied.append(target)
    return copied


def snapshot_folders() -> list[str]:
    """Return the folders of the library that hold copies."""
    return [place for _, _, place in SNAPSHOT]


def _pictures(path: Path) -> list[Image.Image]:
    if path.suffix == ".pdf":
        return render(path.read_bytes(), 72)
    with Image.open(path) as image:
        return [frame.convert("L") for frame in ImageSequence.Iterator(image)]


def _texts(path: Path) -> list[str]:
    with pypdfium2.PdfDocument(path.read_bytes()) as document:
        return [page.get_textpage().get_text_bounded() for page in document]


# Mean difference in grey levels that another version of the renderer or of an image library may make. Two different
# scans of this library differ by 18 and more.
TOLERANCE = 4.0


def difference(ours: Path, theirs: Path) -> str | None:
    """Say in what two made files differ, or None where they are the same.

    Text, Markdown and HTML must agree to the byte. Compression differs between versions of libraries, so PDFs must
    agree in the text of every page and pictures, dot by dot, within a tolerance.
    """
    if ours.read_bytes() == theirs.read_bytes():
        return None
    if ours.suffix in {".md", ".txt", ".html"}:
        return "other bytes"
    if ours.suffix == ".pdf" and _texts(ours) != _texts(theirs):
        return "other text"
    ours_pages, theirs_pages = _pictures(ours), _pictures(theirs)
    if [page.size for page in ours_pages] != [page.size for page in theirs_pages]:
        return "other pages or sizes"
    for number, (left, right) in enumerate(zip(ours_pages, theirs_pages, strict=True), 1):
        mean = float(np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64)).mean())
        if mean > TOLERANCE:
            return f"page {number} looks different (by {mean:.1f} grey levels)"
    return None


def compare(library: Path, fresh: Path) -> list[str]:
    """Return a sentence for each way in which `library` differs from `fresh`, the made part of a library."""
    copies = tuple(f"{place}/" for place in snapshot_folders())
    made = {path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file()}
    present = {path.relative_to(library).as_posix() for path in library.rglob("*") if path.is_file()}
    strangers = [name for name in sorted(present - made) if not name.startswith(copies)]
    found = {name: difference(library / name, fresh / name) for name in sorted(made & present)}
    return [
        *(f"{name}: missing" for name in sorted(made - present)),
        *(f"{name}: not made by this script" for name in strangers),
        *(f"{name}: {what}" for name, what in found.items() if what),
    ]


def check(library: Path) -> list[str]:
    """Make the library anew in a temporary folder and compare."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        return compare(library, Path(folder))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the library is up to date")
    arguments = parser.parse_args()
    if arguments.check:
        problems = check(LIBRARY)
        print("\n".join(problems) or f"{LIBRARY.name}: {len(PLACES)} documents, as this script makes them")
        return 1 if problems else 0
    shutil.rmtree(LIBRARY, ignore_errors=True)
    made, copied = make(LIBRARY), take_snapshot(LIBRARY)
    size = sum((LIBRARY / path).stat().st_size for path in (*made, *copied))
    print(f"{len(made)} files made, {len(copied)} copied, {size / 1e6:.2f} MB in {LIBRARY}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
