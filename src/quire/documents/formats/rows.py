"""Rows of a database as a file: what a query gave, written out so that it can be read, hashed and read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from quire.documents.document import Document, DroppedFile, LeftOut, Part, Span
from quire.documents.formats.columns import OTHERS, with_column, without_text
from quire.documents.formats.lines import Lines
from quire.documents.formats.reader import SourceFile
from quire.documents.sandbox import page_done
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

MEDIA_TYPE = "application/sql"
HEADER = b'{"quire rows": 1, '
"""What such a file begins with."""

_ROWS_A_PAGE = 1000


def write_rows(
    path: Path, columns: Sequence[str], width: int, rows: Iterable[tuple[str, str]], others: str | None = None
) -> int:
    """Write rows into a file that `read_rows` reads; return its bytes.

    Args:
        path: the file; replaced.
        columns: names of those that the text is of.
        width: how many columns there are to choose from.
        rows: the key and the text of each; no two keys are the same.
        others: the sentence about columns that are not of the text, if there are any.
    """
    with open(path, "w", encoding="ascii", newline="\n") as file:
        head = json.dumps({"quire rows": 1, "columns": list(columns), "width": width, "others": others})
        file.write(head + "\n")
        for key, text in rows:
            file.write(json.dumps([key, text]) + "\n")
        return file.tell()


def read_rows(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield a document for each row of `file` with text; its member is the key of the row.

    Raises:
        DroppedFile: "no-text" where no column holds any, or there are no rows.
        ReadError: it was not written by `write_rows`.
    """
    lines = iter(Lines(file, settings))
    media_type = ""
    keys: set[bytes] = set()
    blank = number = 0
    for number, line in enumerate(lines):
        if line.text is None:
            name, size = file.named(f"(row {number})"), line.end - line.start
            yield LeftOut(name, size, "dropped", "too-large", "a row of more than max_file_bytes")
            continue
        try:
            row = json.loads(line.text, parse_int=float)
            if number == 0:
                columns = [str(name) for name in row["columns"]]
                if not columns:
                    raise DroppedFile(
                        "no-text", f"no column of text among {row['width']:.0f}; column=NAME can name one"
                    )
                media_type = with_column(file.media_type, ", ".join(columns))
                others = row.get("others")
                if others is not None:
                    yield LeftOut(file.named("(other columns)"), 0, "dropped", OTHERS, str(others))
                continue
            key, text = (str(value) for value in row)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ReadError("not rows that quire wrote", where=file.where) from None
        if number % _ROWS_A_PAGE == 0:
            page_done()
        digest = hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()
        if digest in keys:
            raise ReadError(f"two rows have the key {key}", where=file.where)
        keys.add(digest)
        if not text.strip():
            blank += 1
            continue
        data = text.encode("utf-8", "replace")
        sha256 = hashlib.sha256(data).hexdigest()
        span = (Span(0, len(text)),)
        yield Document(text, file.source, media_type, sha256, file.named(key), span, size=len(data))
    if media_type and number == 0:
        raise DroppedFile("no-text", "a table without rows")
    if blank:
        yield LeftOut(file.named("(rows without text)"), 0, "dropped", "empty", without_text(blank))
