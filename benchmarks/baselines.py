"""What does a model of a few hundred kilobytes learn that a compressor and a count of letters do not give?

    python benchmarks/baselines.py --book BOOK.txt --minutes 10 --out FOLDER

Three corpora: the documentation of quire, one text as long as a book, and modules of Python's standard library. On each
`quire train` runs for the minutes given, as a process of its own and with nothing set. Then the very bytes that the
model was validated on are measured by `xz -9e` and by n-grams, both given all bytes that it was trained on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
# Modules that every Python from 3.10 to 3.14 has as one file: in 3.11 together 0.8 MB.
MODULES = (
    "argparse",
    "ast",
    "bdb",
    "calendar",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "dis",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "pickle",
    "random",
    "shlex",
    "statistics",
    "tempfile",
    "textwrap",
    "tokenize",
)


def gather(name: str, book: Path | None, folder: Path) -> None:
    """Write the files of a corpus into `folder`."""
    folder.mkdir(parents=True)
    if name == "documentation":
        docs = REPOSITORY / "docs"
        pages = [page for page in sorted(docs.rglob("*.md")) if not page.relative_to(docs).parts[0].startswith("_")]
        for page in [REPOSITORY / "README.md", *pages]:
            target = folder / page.relative_to(REPOSITORY)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, target)
    elif name == "book":
        assert book is not None
        shutil.copyfile(book, folder / "book.txt")
    else:
        library = Path(sysconfig.get_path("stdlib"))
        for module in MODULES:
            shutil.copyfile(library / f"{module}.py", folder / f"{module}.py")


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train on one corpus and measure its validation text in the other ways."""
    from quire.evaluation.baselines import compare_dataset
    from quire.model.config import ModelConfig
    from quire.model.size import count_parameters
    from quire.tokens.dataset import TokenDataset
    from quire.training.run_folder import tokens_folder

    source, run = args.out / "sources" / name, args.out / "runs" / name
    gather(name, args.book, source)
    words = ["train", source, "--minutes", args.minutes, "--out", run, "--corpus", args.out / "corpora" / name]
    words += [word for value in args.set for word in ("--set", value)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "quire", *map(str, words), "--json"],
        stdout=subprocess.PIPE,
        stderr=None if args.verbose else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"quire train {source} failed: {done.stderr or ''}")
    seconds = time.monotonic() - began
    trained = json.loads(done.stdout)
    began = time.monotonic()
    measured = compare_dataset(TokenDataset.open(tokens_folder(run)), most_train=None, most_validation=None)
    return {
        "corpus": name,
        "bits_per_byte": trained["bits_per_byte"],
        "parameters": count_parameters(ModelConfig(**trained["config"]["model"])),
        "vocab_size": trained["config"]["model"]["vocab_size"],
        "steps": trained["steps"],
        "training_seconds": round(trained["training_seconds"], 1),
        "seconds": round(seconds, 1),
        "baseline_seconds": round(time.monotonic() - began, 1),
        **dataclasses.asdict(measured),
    }


def show(results: list[dict[str, Any]]) -> None:
    """Print the table, as Markdown."""
    order = results[0]["order"]
    print(
        f"| corpus | training bytes | validation bytes | xz -9e | {order}-grams of bytes | quire | parameters | steps |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for one in results:
        print(
            f"| {one['corpus']} | {one['train_bytes']:,} | {one['validation_bytes']:,} | {one['xz']:.3f} "
            f"| {one['ngram']:.3f} | **{one['bits_per_byte']:.3f}** | {one['parameters']:,} | {one['steps']:,} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", type=Path, help="a text as long as a book; without it there are two corpora")
    parser.add_argument("--minutes", type=float, default=10.0, help="training time for each")
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="fix a setting of the plans")
    parser.add_argument("--only", choices=["documentation", "book", "library"], help="one corpus")
    parser.add_argument("--json-out", type=Path, help="also write the results here")
    parser.add_argument("--verbose", action="store_true", help="show the training")
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} is there already")
    if args.book is not None and not args.book.is_file():
        parser.error(f"{args.book} is no file")
    if args.only == "book" and args.book is None:
        parser.error("--only book needs --book")
    names = [args.only] if args.only else ["documentation", *(["book"] if args.book else []), "library"]
    results = []
    for name in names:
        results.append(measure(name, args))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    show(results)
    if args.json_out:
        from quire.files import write_text

        write_text(args.json_out, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
