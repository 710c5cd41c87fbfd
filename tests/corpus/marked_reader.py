"""A reader for the tests: the first word of a file says how reading it is to end; each call leaves a line in a log."""

import ctypes
import hashlib
import os

from quire.documents.document import Document, DroppedFile, Span
from quire.errors import PasswordError, ReadError


def read(path, source, settings):
    data = path.read_bytes()
    if log := os.environ.get("MARKED_READER_LOG"):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{source}\n")
    text = data.decode("utf-8")
    word, _, rest = text.partition(" ")
    if word == "crash":
        ctypes.string_at(0)
    elif word == "hang":
        while True:
            pass
    elif word == "drop":
        raise DroppedFile("binary", "it says so")
    elif word == "damaged":
        raise ReadError("the cross-reference table is broken", where=path)
    elif word == "locked":
        raise PasswordError("it needs a password", where=source)
    elif word == "bug":
        raise KeyError(rest)
    elif word == "blank":
        text = " \n"
    elif word == "surrogate":
        text = "half \ud83d a character"
    elif word == "change":
        path.write_text("text, another one")
    sha256 = hashlib.sha256(data).hexdigest()
    if word == "archive":
        members = enumerate(rest.split("|"))
        return [Document(part, source, "text/plain", sha256, member=f"{number}.txt") for number, part in members]
    span = Span(0, len(text), page=1, byte_start=0, byte_end=len(data))
    return [Document(text, source, "text/x-test", sha256, pages=(span,), language="Test", ocr_confidence=0.5)]
