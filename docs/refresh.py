"""Writes what really comes out of the blocks of a page into the page. Read the difference before you commit it.

python docs/refresh.py                    all pages
python docs/refresh.py docs/learn/x.md    one page
python docs/refresh.py --check PAGE...    change nothing, say what would change

The output of a ```python block stands in the ```text block after it, that of `$ quire learn …` below the command, that
of `<!-- computed: EXPRESSION -->` before `<!-- /computed -->`.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _checks.pages import PageError, pages, parts, replaced
from _checks.running import PageRun


def refreshed(page: Path) -> str:
    """Return the text of a page with what comes out of its parts now.

    Raises:
        PageError: a part cannot be executed as it is written, or shows an output and has none.
    """
    markdown = page.read_text("utf-8")
    outputs = []
    with PageRun(page.resolve()) as run:
        for part in parts(markdown):
            output = run.run(part)
            if part.kind == "python" and part.shown is not None and not output:
                raise PageError(f"line {part.line}: this block prints nothing, and a ```text block stands after it")
            outputs.append((part, output))
    return replaced(markdown, outputs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    failed = False
    for page in [page.resolve() for page in args.pages] or pages():
        try:
            text = refreshed(page)
        except Exception as error:  # whatever the code of a page raises; the other pages are still refreshed
            failed = True
            if not isinstance(error, PageError):
                traceback.print_exc()
            print(f"{page}: left as it is: {error}", file=sys.stderr)
            continue
        if text != page.read_text("utf-8"):
            print(f"{page}: {'would change' if args.check else 'refreshed'}")
            failed = failed or args.check
            if not args.check:
                page.write_text(text, "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
