from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fixtures.pictures import page_picture
from quire.documents import ocr
from quire.documents.settings import ReadSettings

DEFAULT = ReadSettings()
LINES = [f"Line {number} of twelve lines on this sheet" for number in range(1, 13)]


def page(lines=LINES):
    return np.array(page_picture(lines, dpi=150, inches=(4.0, 3.5)))


@pytest.fixture
def counted(monkeypatch):
    """How often pages were searched for lines, and how many pieces were recognised."""
    counts = Counter()
    detect, texts = ocr._Engine.detect, ocr._Engine._texts

    def counting_detect(self, picture):
        counts["searched"] += 1
        return detect(self, picture)

    def counting_texts(self, crops):
        counts["recognised"] += len(crops)
        return texts(self, crops)

    monkeypatch.setattr(ocr._Engine, "detect", counting_detect)
    monkeypatch.setattr(ocr._Engine, "_texts", counting_texts)
    return counts


def test_an_upright_page_is_searched_once_and_each_line_recognised_once(counted):
    assert ocr.recognise(page(), DEFAULT).text.splitlines() == LINES
    assert counted == {"searched": 1, "recognised": len(LINES)}


def test_a_page_upside_down_is_found_out_by_its_longest_lines(counted):
    assert ocr.recognise(np.rot90(page(), 2), DEFAULT).text.splitlines() == LINES
    assert counted == {"searched": 2, "recognised": 2 * ocr._SAMPLE_LINES + len(LINES)}


@given(
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    st.floats(10, 2400),
    st.integers(72, 400),
)
def test_a_page_is_shrunk_to_the_resolution_and_never_enlarged(size, dpi, wanted):
    picture = np.zeros(size, np.uint8)
    small = ocr.shrink(picture, dpi, ReadSettings(ocr_dpi=wanted))
    scale = min(1.0, wanted / dpi, ocr.MAX_SIDE / max(size))
    assert small.shape == tuple(max(1, round(side * scale)) for side in size)


def test_black_and_white_becomes_grey_by_averaging():
    dots = np.kron(np.eye(2, dtype=np.uint8)[:, ::-1] * 255, np.ones((1, 1), np.uint8))  # a checkerboard of two
    small = ocr.shrink(np.tile(dots, (50, 50)), 300, DEFAULT)
    assert small.shape == (50, 50)
    assert np.all(np.abs(small.astype(int) - 128) <= 1)


def test_pictures_without_text_have_none():
    noise = np.random.default_rng(0).integers(0, 256, (300, 450)).astype(np.uint8)
    hills = (127 + 100 * np.outer(np.sin(np.arange(300) / 20), np.cos(np.arange(450) / 30))).astype(np.uint8)
    rings = Image.new("L", (450, 300), 200)
    for radius in range(20, 120, 25):
        ImageDraw.Draw(rings).ellipse((225 - radius, 150 - radius, 225 + radius, 150 + radius), outline=60, width=5)
    for picture in (noise, hills, np.array(rings)):
        assert ocr.recognise(picture, DEFAULT) == ocr.Recognised("", ())


def test_a_sheet_with_one_clear_number_has_text():
    assert ocr.recognise(np.array(page_picture(["42"], points=20)), DEFAULT).text == "42"
