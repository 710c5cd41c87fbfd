"""What a worker of benchmarks/fuzz.py does: reads one broken file and judges what came of it."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import re
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_mutations import broken
from fuzz_seeds import PASSWORD, seeds, tokens
from quire.documents.document import Document, DroppedFile, LeftOut, Part
from quire.documents.formats import image, pdf
from quire.documents.kinds import kind_of
from quire.documents.ocr import Recognised, recognise
from quire.documents.read import PIECEWISE, read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

SECONDS = 2.0  # of 145,000 cases one took 3.9 s, for a regular expression that backtracked; the next one 0.53 s
MEMORY_MB = 1000  # the most was 396 MB, for a picture of nearly max_pixels
TWICE = 8
"""One case in so many is read a second time."""

SETTINGS = (
    ReadSettings(ocr=False),
    ReadSettings(password=PASSWORD, hidden=True, notebook_outputs=True, embedded_pictures=True, main_content=True),
    ReadSettings(ocr=False, password="wrong", links=False, pdf_layout=False, text_column="body", text_field="text"),
    ReadSettings(
        **{"max_file_bytes": 4000, "max_unpacked_bytes": 3000, "max_ratio": 2, "max_members": 3},
        **{"max_depth": 1, "max_pages": 2, "max_pixels": 9000},
    ),
)


@dataclass(frozen=True)
class Case:
    """One reading. Its bytes are those of `data`, or else what `seed` and `number` make.

    Args:
        reader: whose seeds are broken.
        seed: of the run.
        number: of the case in the run.
        folder: where a file can be written.
        data: the bytes, where they are told.
    """

    reader: str
    seed: int
    number: int
    folder: str
    data: bytes | None = None

    def made(self) -> tuple[str, bytes, ReadSettings, bool]:
        """Return the name of the file, its bytes, the settings, and whether it is read from its place on disk."""
        chance = random.Random(f"{self.reader} {self.seed} {self.number}")
        name, sound = chance.choice(seeds(self.reader))
        other = chance.choice(seeds(self.reader))[1]
        settings = SETTINGS[1 if self.reader == "image" and chance.random() < 0.7 else chance.randrange(len(SETTINGS))]
        placed = self.reader in PIECEWISE and chance.random() < 0.5
        if self.data is not None:
            return name, self.data, settings, placed
        return name, broken(sound, other, tokens(self.reader), chance), settings, placed


@dataclass(frozen=True)
class Result:
    """What came of a case: "parts", "dropped", "failed" or "finding", and in what way it is one.

    Args:
        end: one of these.
        own: whether the reader that is fuzzed took the file, and no other one.
        seconds: of the processor.
        memory: bytes by which the process grew at most.
        kind: of the finding: the exception and where it was raised, or the broken promise.
        detail: the traceback.
        spent: seconds of the processor for all of the case: making it, reading it, reading it again.
    """

    end: str
    own: bool
    seconds: float = 0.0
    memory: int = 0
    kind: str = ""
    detail: str = ""
    spent: float = 0.0


def attempt(case: Case) -> Result:
    """Read one case and judge what came of it."""
    started = time.process_time()
    result = _judged(case)
    return dataclasses.replace(result, spent=time.process_time() - started)


def _judged(case: Case) -> Result:
    name, data, settings, placed = case.made()
    blind()
    try:
        own = kind_of(name, data).reader == case.reader
    except (DroppedFile, ReadError):
        own = False
    except Exception as error:
        return Result("finding", False, kind=_kind_of_error(error), detail=traceback.format_exc())
    reading = functools.partial(_parts, name, data, settings, Path(case.folder) if placed else None)
    before = _start_of_peak()
    started = time.process_time()
    try:
        end, parts = reading()
    except BaseException as error:
        return Result("finding", own, time.process_time() - started, 0, _kind_of_error(error), traceback.format_exc())
    seconds = time.process_time() - started
    memory = _peak() - before
    kind = ""
    if seconds > SECONDS:
        kind = f"more than {SECONDS:g} s"
    elif memory > MEMORY_MB * 1e6:
        kind = f"more than {MEMORY_MB} MB"
    elif end == "parts":
        kind = broken_promise(parts)
    if not kind and case.number % TWICE == 0 and reading() != (end, parts):
        kind = "another result at the second reading"
    return Result("finding" if kind else end, own, seconds, memory, kind)


def broken_promise(parts: Sequence[Part]) -> str:
    """Return which promise of documents/document.py the parts of a file break, "" if none."""
    if not parts:
        return "no part at all"
    left_out = [part for part in parts if isinstance(part, LeftOut)]
    documents = [part for part in parts if isinstance(part, Document)]
    names = Counter(part.member for part in left_out)
    if max(names.values(), default=0) > 1:
        return "two parts that are left out have the same name"
    if not names.keys().isdisjoint(document.member for document in documents):
        return "a member is kept and left out"
    for left in left_out:
        if left.outcome not in ("dropped", "failed") or not left.member or not left.rule or not left.detail:
            return "a part is left out without a name or a reason"
    for part in parts:
        if part.size is not None and part.size < 0:
            return "a size below 0"
    for document in documents:
        if not document.text.strip():
            return "a document without text"
        if not re.fullmatch("[0-9a-f]{64}", document.sha256):
            return "a document without a hash"
        if document.ocr_confidence is not None and not 0 <= document.ocr_confidence <= 1:
            return "a confidence that is none"
        end = 0
        for span in document.pages:
            if not end <= span.start <= span.end <= len(document.text):
                return "spans out of order or outside of the text"
            if span.byte_start is not None and not 0 <= span.byte_start <= (span.byte_end or 0):
                return "a span of bytes that ends before it begins"
            end = span.end
    return ""


@functools.cache
def blind() -> None:
    """Put what sees "(width x height)" in every picture in the place of recognition, and silence warnings."""
    warnings.simplefilter("ignore")

    def sees(picture: Any, _: ReadSettings) -> Recognised:
        assert picture.dtype == np.uint8
        assert picture.ndim == 2
        return Recognised(f"({picture.shape[1]} x {picture.shape[0]})", (0.99,))

    for module in (image, pdf):
        setattr(module, recognise.__name__, sees)


def _parts(name: str, data: bytes, settings: ReadSettings, folder: Path | None) -> tuple[str, list[Part]]:
    try:
        if folder is None:
            return "parts", list(read_bytes(data, name, settings))
        path = folder / f"{os.getpid()}"
        path.write_bytes(data)
        return "parts", list(read_file(path, name, settings))
    except DroppedFile:
        return "dropped", []
    except ReadError:
        return "failed", []


def _kind_of_error(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/quire/" in frame.filename]
    places = dict.fromkeys(f"{Path(frame.filename).name}:{frame.name}" for frame in (*ours[-1:], *frames[-1:]))
    return f"{type(error).__name__} in {', '.join(places)}"


def _start_of_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # proc(5): the peak is counted from now on
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    found = re.search(rf"{key}:\s*(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(found[1]) * 1024 if found else 0
