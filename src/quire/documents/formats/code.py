"""Source code: every character kept, with its language and the licence it states."""

from __future__ import annotations

import re
from dataclasses import replace

from quire.documents.document import Document
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.text import read_verbatim
from quire.documents.settings import ReadSettings

# https://spdx.github.io/spdx-spec/v2.3/using-SPDX-short-identifiers-in-source-files/
_TAG = "SPDX-License-Identifier:"
_SPDX = re.compile(_TAG + r"[ \t]*([^\r\n]+)")

# A licence, perhaps one that a document beside the code defines, and what joins licences (SPDX 2.3, annex D).
_ID = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_TOKEN = re.compile(rf"[ \t]*(?:([()])|(AND|OR|WITH)(?![A-Za-z0-9.+-])|((?:DocumentRef-{_ID}:)?{_ID}\+?))")
_WORD = re.compile(r"[ \t]*\w")


def read_code(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return the code of `file` exactly as it stands: indentation, blank lines and line ends are its grammar.

    Raises:
        DroppedFile: "binary", or "empty" where there is only white space.
    """
    documents = read_verbatim(file, settings)
    stated = [_stated_license(document.text) for document in documents]
    return [
        document if license is None else replace(document, license=license)
        for document, license in zip(documents, stated, strict=True)
    ]


def _stated_license(text: str) -> str | None:
    head = text[:5000]
    if _TAG not in head:
        return None
    return next(filter(None, (_expression(match[1]) for match in _SPDX.finditer(head))), None)


def _expression(line: str) -> str | None:
    """Return the licence expression that `line` begins with, or None where it is none, or words go on behind it."""
    place = whole = opened = 0
    operand = False  # whether a licence or a closed bracket came last
    joined = ""  # the word before, or the kind of what came before
    while match := _TOKEN.match(line, place):
        bracket, operator, licence = match.groups()
        if bracket == "(":
            allowed, operand, opened = not operand and joined != "WITH", False, opened + 1
        elif bracket == ")":
            allowed, operand, opened = operand and opened > 0, True, opened - 1
        elif operator:
            allowed, operand = operand and (operator != "WITH" or joined == "licence"), False
        else:
            allowed, operand = not operand, True
        if not allowed:
            break
        joined = bracket or operator or ("exception" if joined == "WITH" else "licence" if licence else "")
        place = match.end()
        if operand and not opened:
            whole = place
    return line[:whole] if whole and not _WORD.match(line, whole) else None
