"""Text in pictures of pages: found, turned upright, recognised and put in reading order, all offline."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from quire.documents.layout import Box, in_reading_order
from quire.documents.settings import ReadSettings
from quire.errors import QuireError

if TYPE_CHECKING:
    import numpy.typing as npt

    Picture = npt.NDArray[Any]  # (height, width) of uint8, 0 black to 255 white

MAX_SIDE = 3000
"""Dots that the long side of a page has at most in recognition; an A3 page at 150 dots per inch has 2,480."""

# On pages of more than a million dots, lines are found on a picture so much smaller than that they are read from. Over
# the 14 test scans: character errors 0.22 % at 1, 0.21 % at 0.8, 0.22 % at 2/3 and at 0.55; processor seconds a page
# 5.1, 4.1, 3.7 and 3.2. Over 17 drawn pages of the test PDFs words were as many (F1 0.8122 and 0.8116) except on one
# with a table in small print (0.962 and 0.952): where lines are lower than this many dots, they are found again at 1.
_DETECTION_SCALE = 2 / 3
_LARGE = 1_000_000
_SMALL_PRINT = 25.0

# The longest lines of a page tell which way up it is: if they are less sure than this, they are read the other way up
# too. Over the 14 test scans, eight of them were 0.988 to 0.996 sure at their mean, and upside down 0.532 to 0.727.
_SURELY_UPRIGHT = 0.9
_SAMPLE_LINES = 8

# Of 30 pictures without text, 8 gave a letter or two, 0.56 to 0.79 sure: the rim of a cup, a star on a uniform.
# A sheet with less than this on it has text only if recognition is sure of it.
_MIN_LETTERS = 4
_SURE = 0.9


@dataclass(frozen=True, slots=True)
class Line:
    """One recognised piece of a line: its text, how sure recognition is (0 to 1), and where it stands."""

    text: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Recognised:
    """The text of a page picture in reading order.

    Args:
        text: "" where there is none that is sure enough.
        confidences: of each piece that was recognised, 0 to 1; none where `text` is "".
        unsure: whether there is no text because what was recognised is less sure than `ocr_min_confidence`.
    """

    text: str
    confidences: tuple[float, ...]
    unsure: bool = False


def recognise(picture: Picture, settings: ReadSettings) -> Recognised:
    """Return the text in `picture`, a page of about `settings.ocr_dpi` dots per inch, whichever way up it is."""
    engine = _engine(settings.ocr_threads)
    found = engine.detect(picture)
    if found.mostly_tall():
        # Pieces that are taller than wide come out of detection turned once already.
        turns = 1 if engine.prefers_as_is(found) else 3  # quarter turns counter-clockwise that bring the page upright
        found = engine.detect(_turned(picture, turns))
    elif not engine.prefers_as_is(found):
        found = engine.detect(_turned(picture, 2))
    lines = [line for line in engine.read(found) if line.text.strip()]
    kept = [line for line in lines if line.confidence >= settings.ocr_min_confidence]
    if _letters(kept) < _MIN_LETTERS:
        kept = [line for line in kept if line.confidence >= _SURE]
    rows = in_reading_order([line.box for line in kept])
    text = "\n".join(" ".join(kept[i].text.strip() for i in row) for row in rows)
    confidences = tuple(line.confidence for line in (lines if kept else ()))
    return Recognised(text, confidences, unsure=not kept and _letters(lines) >= _MIN_LETTERS)


def _letters(lines: Sequence[Line]) -> int:
    return sum(character.isalnum() for line in lines for character in line.text)


def is_blank(picture: Picture) -> bool:
    """Return whether `picture` is of one shade all over, so that nothing can stand on it."""
    return bool(picture.min() == picture.max())


def shrink(picture: Picture, dpi: float, settings: ReadSettings) -> Picture:
    """Return `picture`, of `dpi` dots per inch, at `settings.ocr_dpi`, or less where that passes `MAX_SIDE`.

    Averaging a 300-dpi black-and-white scan down to 150-dpi grey took its character errors from 3.0 % to 0.3 %.
    """
    import cv2

    scale = min(settings.ocr_dpi / dpi, MAX_SIDE / max(picture.shape))
    if scale >= 1:
        return picture
    height, width = picture.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return shrunk


def _turned(picture: Picture, quarter_turns: int) -> Picture:
    import numpy as np

    return np.ascontiguousarray(np.rot90(picture, quarter_turns))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


@dataclass(frozen=True, slots=True)
class _Detected:
    """Where text stands on a picture, and the pieces cut out upright."""

    quads: Any  # (pieces, 4, 2): corners clockwise from the top left
    crops: list[Any]  # each (height, width, 3)
    pieces: dict[int, tuple[str, float]] = field(default_factory=dict)  # texts and confidences of those read so far

    def in_small_print(self) -> bool:
        return bool(self.crops) and median(min(_width(quad), _height(quad)) for quad in self.quads) < _SMALL_PRINT

    def mostly_tall(self) -> bool:
        if not self.crops:
            return False
        tall = sum(1 for quad in self.quads if _height(quad) > 1.5 * _width(quad))
        return tall * 2 > len(self.crops)


def _width(quad: Any) -> float:
    return math.dist(quad[0], quad[1])


def _height(quad: Any) -> float:
    return math.dist(quad[0], quad[3])


def _straightened(quads: Any) -> list[Box]:
    """Return the rectangles of `quads` after turning the page back by the slope of its lines."""
    slopes = [math.atan2(q[1][1] - q[0][1], q[1][0] - q[0][0]) for q in quads if _width(q) > 5 * _height(q)]
    angle = median(slopes) if slopes else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    boxes = []
    for quad in quads:
        xs = [float(x) * cos + float(y) * sin for x, y in quad]
        ys = [float(y) * cos - float(x) * sin for x, y in quad]
        boxes.append(Box((xs[0] + xs[3]) / 2, (ys[0] + ys[1]) / 2, (xs[1] + xs[2]) / 2, (ys[2] + ys[3]) / 2))
    return boxes


class _Engine:
    """rapidocr's detector and recogniser, without its classifier of upside-down lines, which errs on short ones."""

    def __init__(self, threads: int) -> None:
        import rapidocr

        models = Path(rapidocr.__file__).parent / "models"
        # Named files are opened and never looked for elsewhere: rapidocr downloads only what it has to choose itself.
        detector, recogniser = models / "PP-OCRv6_det_small.onnx", models / "PP-OCRv6_rec_small.onnx"
        for model in (detector, recogniser):
            if not model.is_file():
                hint = "Install rapidocr 3.10 or newer again: its wheel carries it"
                raise QuireError("a model that recognition needs is missing", where=model, hint=hint)
        self._rapidocr = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.text_score": 0.0,
                "Det.model_path": str(detector),
                # Never enlarge: down to 60 dots per inch nothing was won by it, and a strip of 100 x 5000 would become
                # 27 million dots by the default of 736 on the short side.
                "Det.limit_side_len": 32,
                "Rec.model_path": str(recogniser),
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def detect(self, picture: Picture) -> _Detected:
        if picture.size <= _LARGE:
            return self._detect(picture, 1.0)
        found = self._detect(picture, _DETECTION_SCALE)
        return self._detect(picture, 1.0) if found.in_small_print() else found

    def _detect(self, picture: Picture, scale: float) -> _Detected:
        import cv2
        import numpy as np
        from rapidocr.main import RapidOCRError

        height, width = picture.shape
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = picture if scale == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        done: dict[str, dict[str, float]] = {}  # what was done to the picture: strips are padded to a sheet
        try:
            _, found = self._rapidocr.detect_and_crop(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), done)
        except RapidOCRError:  # how it says that there is no text
            return _Detected(np.empty((0, 4, 2)), [])
        quads = found.boxes - np.array([done["padding_1"]["left"], done["padding_1"]["top"]])
        quads = (quads * np.array([width / size[0], height / size[1]])).astype(np.float32)
        crops = self._rapidocr.crop_text_regions(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), quads)
        return _Detected(quads, crops)

    def read(self, found: _Detected) -> list[Line]:
        pieces = self._pieces(found, range(len(found.crops)))
        boxes = _straightened(found.quads)
        return [Line(text, score, box) for (text, score), box in zip(pieces, boxes, strict=True)]

    def prefers_as_is(self, found: _Detected) -> bool:
        """Whether the longest of the pieces read well as they are, or at least better than upside down."""
        by_length = sorted(range(len(found.crops)), key=lambda i: found.crops[i].shape[1], reverse=True)
        longest = by_length[:_SAMPLE_LINES]
        as_is = _mean([score for _, score in self._pieces(found, longest)])
        if not longest or as_is >= _SURELY_UPRIGHT:
            return True
        return as_is >= _mean([score for _, score in self._texts([found.crops[i][::-1, ::-1] for i in longest])])

    def _pieces(self, found: _Detected, which: Sequence[int]) -> list[tuple[str, float]]:
        """Return the texts of some of the pieces; none is recognised twice."""
        new = [i for i in which if i not in found.pieces]
        if new:
            found.pieces.update(zip(new, self._texts([found.crops[i] for i in new]), strict=True))
        return [found.pieces[i] for i in which]

    def _texts(self, crops: list[Any]) -> list[tuple[str, float]]:
        read: Any = self._rapidocr.recognize_txt(crops)
        return [(text, float(score)) for text, score in zip(read.txts, read.scores, strict=True)]


@functools.lru_cache(maxsize=1)
def _engine(threads: int) -> _Engine:
    return _Engine(threads)
