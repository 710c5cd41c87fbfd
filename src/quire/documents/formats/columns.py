"""Which columns of a table, or fields of records, hold the text: told, or guessed by a stated rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from quire.documents.document import DroppedFile, LeftOut, counted
from quire.documents.formats.encodings import decode

NAMES = ("text", "content", "body", "article", "document", "passage", "story", "abstract", "markdown", "transcript")
"""A column of such a name is the text where no other holds more letters; the first of this list goes first."""

PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
)
"""Columns of such two names are a question and what was answered, and neither is text without the other."""

BETWEEN = ("input", "context")
"""Columns that say more to the question of a pair; they stand between it and the answer."""

SAMPLE_ROWS = 200
"""Rows that are looked at; more of them tell no more about a table that was written by one program."""

SAMPLE_CELLS = 200_000
"""Cells that are looked at, however many columns there are."""

MAX_COLUMNS = 10_000
"""A wider table is a matrix of numbers, and no column of it is looked at."""

PROSE_LETTERS = 40
"""Letters from which on a cell can be a passage: the longest names and addresses stay below."""

WORD_LETTERS = 20
"""Characters of a word, in the mean of a cell, up to which it is one of words: addresses of pages, keys and paths are
above."""

OTHERS_NAMED = 10
"""Columns that are not of the text and are told by name."""

Rows = Sequence[Sequence[str | None]]

_LOOKED_AT = 2000  # characters of a cell
_PARAMETER_LENGTH = 60
_LETTER = re.compile(r"[^\W\d_]")


def text_columns(rows: Rows, names: Sequence[str], told: str | None = None) -> list[int]:
    """Return the numbers of the columns that hold the text, counted from 0 and in the order of the text; [] for none.

    The column that is `told` goes first, if there is one of that name. Then the first of `NAMES` that has letters in
    half of the rows, unless another column holds more letters in cells of words: seven in ten characters letters and
    spaces, words of 20 characters at most in the mean. Then every column that holds prose in half of the rows: cells of
    40 letters or more in six words or more, seven in ten characters of them letters and spaces (or 20 characters of a
    script written without spaces); and beside such ones the column of `NAMES`, if half of its cells have two words.
    The columns of a pair (see `PAIRS`) go before those of prose, if half of the rows have words of both.

    Args:
        rows: the first rows, without the names; rows may be shorter than others.
        names: of the columns.
        told: the setting.
    """
    lowered = [name.strip().lower() for name in names]
    if told is not None:
        for known, wanted in ((list(names), told), (lowered, told.strip().lower())):
            if wanted in known:
                return [known.index(wanted)]
    if len(names) > MAX_COLUMNS:
        return []
    rows = rows[: min(SAMPLE_ROWS, max(1, SAMPLE_CELLS // max(1, len(names))))]
    named = _named(rows, lowered)
    pair = _pair(rows, lowered)
    if named is not None and not _outweighed(rows, named, len(names), pair):
        return [named]
    prose = _prose_columns(rows, len(names))
    if prose and named is not None and _in_half(rows, named, lambda cell: len(cell.split()) > 1):
        prose.append(named)
    return pair + sorted(set(prose) - set(pair))


def joined(cells: Iterable[str | None]) -> str:
    """Return the text of a row: its cells that are not blank, with a blank line between two."""
    return "\n\n".join(cell for cell in cells if cell and not cell.isspace())


def without_text(count: int, noun: str = "row", where: str = "") -> str:
    """Return the sentence about rows that have no text: "1 row has no text there"."""
    return f"{counted(count, noun)} {'has' if count == 1 else 'have'} no text{where}"


class OtherColumns:
    """Counts what stands in columns that are not of the text, so that the account can say it.

    Only cells with letters count: numbers and dates are no text.
    """

    def __init__(self) -> None:
        self._characters: dict[str, int] = {}
        self._bytes = 0

    def add(self, name: str, cell: str) -> None:
        """Count one cell of the column `name`."""
        if _has_letters(cell):
            self._characters[name] = self._characters.get(name, 0) + len(cell)
            self._bytes += len(cell) if cell.isascii() else len(cell.encode("utf-8", "replace"))

    def left_out(self, member: str, what: str = "columns") -> Iterator[LeftOut]:
        """Yield what the account is told of them, if there are any."""
        if self._characters:
            detail = others_detail(sum(self._characters.values()), list(self._characters), what)
            yield LeftOut(member, self._bytes, "dropped", OTHERS, detail)


OTHERS = "other-columns"
"""The rule by which columns and fields are left out that are not of the text."""


def others_detail(characters: int, names: Sequence[str], what: str = "columns", where: str = "") -> str:
    """Return the sentence about columns that are not of the text."""
    said = ", ".join(_printable(name) for name in names[:OTHERS_NAMED])
    if len(names) > OTHERS_NAMED:
        said += f" and {len(names) - OTHERS_NAMED:,} more"
    return f"{counted(characters, 'character')}{where} in {what} that are not taken: {said}"


def others_in_sample(rows: Rows, names: Sequence[str], taken: Sequence[int]) -> tuple[int, list[str]]:
    """Return how many characters the columns that are not taken hold in these rows, and the names of those columns."""
    counted: dict[str, int] = {}
    for row in rows:
        for number, (name, cell) in enumerate(zip(names, row, strict=False)):
            if cell and number not in taken and _has_letters(cell):
                counted[name] = counted.get(name, 0) + len(cell)
    return sum(counted.values()), [name for name in names if name in counted]


def _named(rows: Rows, lowered: Sequence[str]) -> int | None:
    for name in NAMES:
        if name in lowered:
            column = lowered.index(name)
            if _in_half(rows, column, lambda cell: _has_letters(cell[:_LOOKED_AT])):
                return column
    return None


def _pair(rows: Rows, lowered: Sequence[str]) -> list[int]:
    """Return the columns of a question, what says more to it, and its answer; [] where there are none."""
    for pair in PAIRS:
        if all(name in lowered for name in pair):
            question, answer = map(lowered.index, pair)
            whole = [row for row in rows if max(question, answer) < len(row) and row[question] and row[answer]]
            if 2 * sum(_has_letters(str(row[question])[:_LOOKED_AT]) for row in whole) >= max(1, len(rows)):
                return [question, *(lowered.index(name) for name in BETWEEN if name in lowered), answer]
    return []


def _outweighed(rows: Rows, named: int, width: int, pair: Sequence[int]) -> bool:
    """Whether another column, or a pair, holds more letters; what stands in the one named may be code, and no words."""
    most = sum(map(_letters, _cells(rows, named)))
    if sum(_letters(cell) for column in pair for cell in _cells(rows, column)) > most:
        return True
    others = (column for column in range(width) if column != named)
    return any(sum(_letters(cell) for cell in _cells(rows, column) if _is_words(cell)) > most for column in others)


def _prose_columns(rows: Rows, width: int) -> list[int]:
    return [column for column in range(width) if _in_half(rows, column, is_prose)]


def _in_half(rows: Rows, column: int, holds: Callable[[str], object]) -> bool:
    """Whether something holds of half of the rows, and of one at least."""
    return 2 * sum(bool(holds(cell)) for cell in _cells(rows, column)) >= max(1, len(rows))


def _has_letters(cell: str) -> bool:
    """Whether a cell has a letter; what the expression finds may also be a numeral such as a raised two."""
    return any(match[0].isalpha() for match in _LETTER.finditer(cell))


def _letters(cell: str) -> int:
    """Return how many letters a cell has, in a long one by its beginning."""
    head = cell[:_LOOKED_AT]
    return sum(map(str.isalpha, head)) * len(cell) // max(1, len(head))


def _is_words(cell: str) -> bool:
    head = cell[:_LOOKED_AT]
    words = len(head.split())
    few = len(head) <= WORD_LETTERS * words and _letters(head) + words >= 0.7 * len(head)
    return few or is_prose(cell)


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
    return f'{media_type}; column="{_printable(name)}"'


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else "_" for c in name)[:_PARAMETER_LENGTH]


def _cells(rows: Rows, column: int) -> list[str]:
    return [row[column] or "" for row in rows if column < len(row)]
