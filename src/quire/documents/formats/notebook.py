"""Jupyter notebooks: the cells in their order, code between fences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from quire.documents import languages
from quire.documents.document import Document, DroppedFile, Span
from quire.documents.formats.encodings import decode
from quire.documents.formats.normal_form import CODE_IN, normal
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

MEDIA_TYPE = "application/x-ipynb+json"
EXTENSION = ".ipynb"

_BACKTICKS = re.compile(r"^\s*(`{3,})", re.MULTILINE)
# https://www.ecma-international.org/publications-and-standards/standards/ecma-48/: control sequences, as of colours
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_LEVELS = (1, 2, 3, 4, 5, 6)
# What kernels call languages, where it is not the language's name in other letters.
_KERNELS = {"ir": "R", "c++": "C++", "c++17": "C++", "cpp": "C++", "ipython": "Python", "sagemath": "Python"}
_TEXT = "text/plain"


def read_notebook(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return the cells of a notebook, of format 3 or 4, as one text that reads as Markdown.

    Text stands as it was written; code stands, character for character, between fences that name the language of the
    kernel. With `notebook_outputs` the text that a cell printed, its result and its errors follow it.

    Raises:
        DroppedFile: "no-text" where no cell holds any.
        ReadError: it is not JSON, or no notebook.
    """
    text = decode(file.data).text
    try:
        # Only strings are wanted: as floats, numbers of a million digits take no time.
        notebook = json.loads(text, parse_int=float)
    except (ValueError, RecursionError) as error:
        what = "it is nested too deep" if isinstance(error, RecursionError) else f"it is not JSON: {error}"
        raise ReadError(f"not a notebook: {what}", where=file.where) from None
    cells = _cells(notebook)
    if cells is None:
        raise ReadError("not a notebook: it has no list of cells", where=file.where)
    language = _language(notebook, cells)
    fence_name = (language or "").lower().replace(" ", "-")
    pieces = [piece for cell in cells for piece in _pieces(cell, fence_name, settings.notebook_outputs)]
    if not pieces:
        raise DroppedFile("no-text", "a notebook without text in its cells")
    text = "\n\n".join(pieces)
    span = Span(0, len(text), byte_start=0, byte_end=len(file.data))
    return [Document(text, file.source, file.media_type, file.sha256, file.member, (span,), language)]


def _cells(notebook: Any) -> list[dict[str, Any]] | None:
    if not isinstance(notebook, dict):
        return None
    found: list[Any] = []
    lists = [notebook.get("cells")]
    sheets = notebook.get("worksheets")  # of format 3
    if isinstance(sheets, list):
        lists += [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
    if not any(isinstance(cells, list) for cells in lists):
        return None
    for cells in lists:
        found += cells if isinstance(cells, list) else []
    return [cell for cell in found if isinstance(cell, dict)]


def _pieces(cell: dict[str, Any], fence_name: str, with_outputs: bool) -> Iterator[str]:
    kind = cell.get("cell_type")
    source = _joined(cell.get("source", cell.get("input")))
    if kind == "code":
        if source.strip():
            yield _fenced(source, fence_name)
        outputs = cell.get("outputs")
        if with_outputs and isinstance(outputs, list):
            printed = "".join(_printed(output) for output in outputs if isinstance(output, dict))
            if printed.strip():
                yield _fenced(printed.strip("\n"), "")
    elif source.strip():
        level = cell.get("level")
        if kind == "heading":  # of format 3
            hashes = "#" * int(level) if level in _LEVELS else "#"
            source = f"{hashes} {source.strip()}"
        text = source.strip("\n")
        text = text if kind == "raw" else normal(text, CODE_IN["text/markdown"])  # of raw cells nobody knows the kind
        if text:
            yield text


def _fenced(code: str, name: str) -> str:
    longest = max((len(match) for match in _BACKTICKS.findall(code)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{name}\n{code}\n{fence}" if not code.endswith("\n") else f"{fence}{name}\n{code}{fence}"


def _printed(output: dict[str, Any]) -> str:
    kind = output.get("output_type")
    if kind in ("error", "pyerr"):
        trace = output.get("traceback")
        text = "\n".join(line for line in trace if isinstance(line, str)) if isinstance(trace, list) else ""
        text = text or f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
    else:
        data = output.get("data")
        text = _joined(data.get(_TEXT)) if isinstance(data, dict) else _joined(output.get("text"))
    text = _ANSI.sub("", text)
    return text if not text or text.endswith("\n") else text + "\n"


def _joined(source: Any) -> str:
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _language(notebook: dict[str, Any], cells: list[dict[str, Any]]) -> str | None:
    """Return the language of the code by the name that quire gives it; None where there is no code or it is unknown."""
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    if not code:
        return None
    metadata = notebook.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    stated = [
        _of(metadata.get("language_info"), "name"),
        _of(metadata.get("kernelspec"), "language"),
        _of(metadata, "language"),
        _of(code[0], "language"),
        _of(metadata.get("kernelspec"), "name"),
    ]
    known = {name.lower(): name for name in languages.MEDIA_TYPES}
    for name in filter(None, stated):
        lowered = name.lower()
        for key in (lowered, lowered.rstrip("0123456789.-")):
            if key in _KERNELS or key in known:
                return _KERNELS.get(key) or known[key]
    return None


def _of(values: Any, key: str) -> str:
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, str) else ""
