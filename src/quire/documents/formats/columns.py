"""Which column of a table, or field of records, holds the text: told, or guessed by a stated rule."""

from __future__ import annotations

from collections.abc import Sequence

from quire.documents.document import DroppedFile
from quire.documents.formats.encodings import decode

NAMES = ("text", "content", "body", "article", "document", "passage", "story", "abstract", "markdown", "transcript")
"""Columns of these names are taken, whatever their length; the first of this list goes first."""

SAMPLE_ROWS = 200
"""Rows that are looked at; more of them tell no more about a table that was written by one program."""

SAMPLE_CELLS = 200_000
"""Cells that are looked at, however many columns there are."""

MAX_COLUMNS = 10_000
"""A wider table is a matrix of numbers, and no column of it is looked at."""

PROSE_LETTERS = 40
"""Letters from which on a cell can be a passage: the longest names and addresses stay below."""

_LOOKED_AT = 2000  # characters of a cell
_PARAMETER_LENGTH = 60


def text_column(rows: Sequence[Sequence[str | None]], names: Sequence[str], told: str | None = None) -> int | None:
    """Return the number of the column that holds the text, counted from 0, or None where none clearly does.

    The column that is `told` goes first, if there is one of that name. Then the first of `NAMES` that has letters in
    half of the rows. Then the one column that holds prose in half of the rows: cells of 40 letters or more in six
    words or more, seven in ten characters of them letters and spaces (or 20 characters of a script written without
    spaces). Of several such columns, the one that holds twice the text of each other.

    Args:
        rows: the first rows, without the names; rows may be shorter than others.
        names: of the columns.
        told: the setting.
    """
    lowered = [name.strip().lower() for name in names]
    if told is not None:
        for known, wanted in ((list(names), told), (lowered, told.strip().lower())):
            if wanted in known:
                return known.index(wanted)
    if len(names) > MAX_COLUMNS:
        return None
    rows = rows[: min(SAMPLE_ROWS, max(1, SAMPLE_CELLS // max(1, len(names))))]
    for name in NAMES:
        if name in lowered:
            column = lowered.index(name)
            if 2 * sum(_has_letters(cell) for cell in _cells(rows, column)) >= max(1, len(rows)):
                return column
    lengths = sorted(((length, column) for column, length in prose_columns(rows, len(names)).items()), reverse=True)
    if not lengths or (len(lengths) > 1 and lengths[0][0] < 2 * lengths[1][0]):
        return None
    return lengths[0][1]


def prose_columns(rows: Sequence[Sequence[str | None]], width: int) -> dict[int, int]:
    """Return the columns, of `width`, that hold prose in half of the rows, and how many characters of it."""
    lengths = {}
    for column in range(width):
        prose = [len(cell) for cell in _cells(rows, column) if is_prose(cell)]
        if prose and 2 * len(prose) >= len(rows):
            lengths[column] = sum(prose)
    return lengths


def is_prose(cell: str) -> bool:
    """Return whether a cell reads like a passage: see `text_column`."""
    cell = cell[:_LOOKED_AT]
    letters = sum(map(str.isalpha, cell))
    words = len(cell.split())
    if sum(character >= "\u2e80" for character in cell) >= PROSE_LETTERS // 2:  # Chinese, Japanese, Korean
        return True
    return letters >= PROSE_LETTERS and words > 5 and letters + words >= 0.7 * len(cell)


def text_of(data: bytes) -> str:
    """Return the text of a cell of bytes, decoded as that of a file is; "" where the bytes are no text."""
    try:
        return decode(data).text
    except DroppedFile:
        return ""


def with_column(media_type: str, name: str) -> str:
    """Return the media type with the column that was taken as a parameter, so that the account says it."""
    printable = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in name)[:_PARAMETER_LENGTH]
    return f'{media_type}; column="{printable}"'


def _cells(rows: Sequence[Sequence[str | None]], column: int) -> list[str]:
    return [row[column] or "" for row in rows if column < len(row)]


def _has_letters(cell: str) -> bool:
    return any(map(str.isalpha, cell[:_LOOKED_AT]))
