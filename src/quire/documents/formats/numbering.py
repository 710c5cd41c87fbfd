"""The numbers of lists and headings in Word files, which are not written there but counted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quire.documents.formats.ooxml import attribute_text
from quire.documents.formats.zipped import attribute, number

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

BULLET = "-"
LEVELS = 9
"""Levels of a list in Word (ECMA-376, part 1, 17.9.6)."""

_PLACE = re.compile(r"%([1-9])")
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


@dataclass
class _Level:
    form: str = "decimal"
    pattern: str = ""
    start: int = 1
    legal: bool = False
    restart: int | None = None


@dataclass
class _List:
    """A list as a file defines it, and how far it has been counted."""

    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts the numbered paragraphs of a document, in order.

    Args:
        root: the root of numbering.xml; None where the document has none.
    """

    def __init__(self, root: Element | None) -> None:
        self._lists: dict[str, _List] = {}
        if root is None:
            return
        abstract: dict[str, _List] = {}
        for definition in root.findall("abstractNum"):
            levels = dict(_level(level) for level in definition.findall("lvl"))
            abstract[attribute(definition, "abstractNumId") or ""] = _List(levels)
        for instance in root.findall("num"):
            chosen = abstract.get(attribute_text(instance.find("abstractNumId"), "val") or "")
            if chosen is None:
                continue
            overrides = instance.findall("lvlOverride")
            if overrides:  # a list of its own, that may begin again
                chosen = _List(dict(chosen.levels))
                for override in overrides:
                    self._override(chosen, override)
            self._lists[attribute(instance, "numId") or ""] = chosen

    def mark(self, identifier: str, level: int) -> str | None:
        """Count one more paragraph and return its mark: "-" for a bullet, "" for none, else such as "2.1."; None where
        there is no such list.
        """
        found = self._lists.get(identifier)
        if found is None or level not in found.levels:
            return None
        own = found.levels[level]
        counts = found.counts
        for above in range(level):  # a level that was never counted stands at its start
            if above in found.levels:
                counts.setdefault(above, found.levels[above].start)
        counts[level] = counts[level] + 1 if level in counts else own.start
        for below in range(level + 1, LEVELS):
            after = found.levels.get(below, _Level()).restart
            if after is None or (after != 0 and level < after):
                counts.pop(below, None)
        if own.form == "bullet":
            return BULLET
        if own.form == "none":
            return ""

        def place(match: re.Match[str]) -> str:
            wanted = int(match[1]) - 1
            form = "decimal" if own.legal else found.levels.get(wanted, own).form
            return written(counts.get(wanted, 1), form)

        return _PLACE.sub(place, own.pattern).strip()

    @staticmethod
    def _override(chosen: _List, override: Element) -> None:
        level = number(attribute(override, "ilvl"), 0)
        replaced = override.find("lvl")
        if replaced is not None:
            level, new = _level(replaced)
            chosen.levels[level] = new
        start = attribute_text(override.find("startOverride"), "val")
        if start is not None and level in chosen.levels:
            old = chosen.levels[level]
            chosen.levels[level] = _Level(old.form, old.pattern, number(start, 1), old.legal, old.restart)


def written(count: int, form: str) -> str:
    """Return a number as a list writes it: decimal, letters (a to z, then aa) or Roman numerals."""
    if form == "decimalZero":
        return f"{count:02d}"
    if form in ("lowerLetter", "upperLetter") and 0 < count <= 26 * 26:
        letters = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
        return letters if form == "lowerLetter" else letters.upper()
    if form in ("lowerRoman", "upperRoman") and 0 < count < 5000:
        numerals, rest = "", count
        for value, letters in _ROMAN:
            numerals += letters * (rest // value)
            rest %= value
        return numerals if form == "lowerRoman" else numerals.upper()
    return str(count)


def _level(level: Element) -> tuple[int, _Level]:
    restart = attribute_text(level.find("lvlRestart"), "val")
    return number(attribute(level, "ilvl"), 0), _Level(
        form=attribute_text(level.find("numFmt"), "val") or "decimal",
        pattern=attribute_text(level.find("lvlText"), "val") or "",
        start=number(attribute_text(level.find("start"), "val"), 1),
        legal=level.find("isLgl") is not None,
        restart=None if restart is None else number(restart, 0),
    )
