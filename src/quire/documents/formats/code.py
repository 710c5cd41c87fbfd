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
_CLOSINGS = ("*/", "-->", "--}}", "#}", "*)", "-}", '"""', '"', "'")


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
    match = _SPDX.search(head) if _TAG in head else None
    if match is None:
        return None
    stated = match[1].rstrip(" \t")
    closing = next((sign for sign in _CLOSINGS if stated.endswith(sign)), "")
    return stated.removesuffix(closing).rstrip(" \t") or None
