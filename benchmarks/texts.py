#!/usr/bin/env python3
"""How good is the text that quire reads from files of any kind, beside reference texts?

    benchmarks/texts.py FOLDER [--set KEY=VALUE ...] [--only PATTERN] [--json-out FILE]

FOLDER holds files with their texts in reading order beside them, NAME.truth.txt or NAME.truth.md for NAME with any
extension (NAME.EXT.truth.md for NAME.EXT). The scores are those of benchmarks/truths.py, a row for each file and one
of all, weighed by the length of the truths. `--set main_content=true` and the like are the settings of reading.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from quire.documents.document import Document
from quire.documents.read import DroppedFile, read_file
from quire.documents.settings import ReadSettings
from quire.errors import QuireError
from quire.settings import build, with_assignments
from truths import scores, truths_in


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="files with their truths")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of reading")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="files whose names match, such as '*.html'")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    try:
        settings = build(ReadSettings, with_assignments({}, args.set), where="--set")
    except QuireError as error:
        parser.error(str(error))
    wanted = truths_in(args.folder, args.only)
    started = time.process_time()
    texts = {path: text_of(path, settings) for path in wanted}
    seconds = time.process_time() - started
    results: dict[str, Any] = {path.name: scores({path: wanted[path]}, texts) for path in wanted}
    results["all"] = scores(wanted, texts)
    print(f"{'':<36}{'word_order':>12}{'word_f1':>10}{'cer':>10}")
    for name, row in results.items():
        print(f"{name:<36}{row['word_order']:12.4f}{row['word_f1']:10.4f}{row['cer']:10.4f}")
    print(f"{len(wanted)} files in {seconds:.1f} s of processor time")
    if args.json_out is not None:
        args.json_out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def text_of(path: Path, settings: ReadSettings) -> str:
    """Return everything that quire keeps of a file; a file that gives nothing scores as empty, and is told."""
    try:
        parts = read_file(path, path.name, settings)
        return "\n\n".join(part.text for part in parts if isinstance(part, Document))
    except (DroppedFile, QuireError) as error:
        print(f"{path.name}: {error}")
        return ""


if __name__ == "__main__":
    main()
