"""Source code: every character kept, with its language and the licence it states."""

from __future__ import annotations

import re
from dataclasses import replace

from quire.documents.document import Document
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.text import read_text
from quire.documents.settings import ReadSettings

# https://spdx.github.io/spdx-spec/v2.3/using-SPDX-short-identifiers-in-source-files/
_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([^\r\n]+)")
_CLOSINGS = ("*/", "-->", "--}}", "#}", "*)", "-}", '"""', '"', "'")


def read_code(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return the code of `file` exactly as it stands: indentation, blank lines and line ends are its grammar.

    Raises:
        DroppedFile: "binary", or "empty" where there is only white space.
    """
    return [replace(document, license=_stated_license(document.text)) for document in read_text(file, settings)]


def _stated_license(text: str) -> str | None:
    match = _SPDX.search(text[:5000])
    if match is None:
        return None
    stated = match[1].rstrip(" \t")
    closing = next((sign for sign in _CLOSINGS if stated.endswith(sign)), "")
    return stated.removesuffix(closing).rstrip(" \t") or None
