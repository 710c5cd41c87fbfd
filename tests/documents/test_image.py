from __future__ import annotations

import io
import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.pictures import page_picture, picture_bytes, two_column_picture
from quire.documents.document import Document, LeftOut
from quire.documents.formats import image as image_format
from quire.documents.read import DroppedFile, read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
LINES = ["Letters made of dots", "are letters again."]
TEXT = "\n".join(LINES)
PICTURE = page_picture(LINES, inches=(3.0, 1.0))


def read(data: bytes, settings: ReadSettings = DEFAULT, name: str = "scan") -> Document:
    (document,) = read_bytes(data, name, settings)
    assert isinstance(document, Document)
    return document


@pytest.mark.parametrize(
    ("form", "mode", "media_type"),
    [
        ("PNG", "RGBA", "image/png"),
        ("JPEG", "CMYK", "image/jpeg"),
        ("TIFF", "1", "image/tiff"),
        ("WEBP", "RGB", "image/webp"),
        ("BMP", "RGB", "image/bmp"),
        ("GIF", "P", "image/gif"),
    ],
)
def test_every_format_whatever_its_name(form: str, mode: str, media_type: str) -> None:
    document = read(picture_bytes(PICTURE.convert(mode), form))
    assert (document.text, document.media_type) == (TEXT, media_type)
    assert document.ocr_confidence is not None
    assert document.ocr_confidence > 0.9


def test_sixteen_bits_of_grey_are_stretched() -> None:
    deep = Image.fromarray(np.asarray(PICTURE).astype(np.uint16) * 40)
    assert read(picture_bytes(deep, "PNG")).text == TEXT


def test_what_is_transparent_is_paper() -> None:
    ink = Image.new("LA", PICTURE.size, (0, 0))  # black everywhere, and where there are no letters, clear
    ink.putalpha(PICTURE.point(lambda value: 255 - value))
    assert read(picture_bytes(ink, "PNG")).text == TEXT


def test_the_pages_of_a_tiff_are_pages() -> None:
    white = Image.new("L", PICTURE.size, 255)
    other = page_picture(["Another page."], inches=(3.0, 1.0))
    document = read(picture_bytes(PICTURE, "TIFF", save_all=True, append_images=[white, other]))
    assert [(span.page, document.text[span.start : span.end]) for span in document.pages] == [
        (1, TEXT),
        (3, "Another page."),
    ]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_read_and_the_account_says_so(form: str) -> None:
    later = [page_picture([f"Frame {number}"], inches=(3.0, 1.0)) for number in (2, 3)]
    data = picture_bytes(PICTURE, form, save_all=True, append_images=later)
    document, left_out = read_bytes(data, "a", DEFAULT)
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert document.text == TEXT
    assert (left_out.member, left_out.outcome, left_out.rule) == ("(other frames)", "dropped", "animation")
    assert left_out.detail.startswith("the first of 3 frames is read")


def test_pages_before_a_broken_one_are_kept() -> None:
    pages = picture_bytes(PICTURE, "TIFF", save_all=True, append_images=[PICTURE], compression="tiff_lzw")
    broken = bytearray(pages)
    with Image.open(io.BytesIO(pages)) as image:
        image.seek(1)
        for start, length in zip(image.tag_v2[273], image.tag_v2[279], strict=True):  # StripOffsets, StripByteCounts
            broken[start : start + length] = bytes(length)
    document, left_out = read_bytes(bytes(broken), "a.tif", DEFAULT)
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert document.text == TEXT
    assert (left_out.member, left_out.outcome, left_out.rule) == ("(the rest)", "failed", "damaged")
    assert left_out.detail.startswith("from page 2 on: a broken picture")


@pytest.mark.parametrize("name", ["IMG_0001.HEIC", "IMG_0001.jpg", "IMG_0001"])
def test_pictures_of_phones_are_left_out_and_it_is_said_what_to_do(name: str) -> None:
    data = bytes.fromhex("00000024") + b"ftypheic" + bytes(4) + b"mif1MiHBmiafheic" + bytes(100)
    with pytest.raises(DroppedFile, match="unsupported: save it as PNG, JPEG or TIFF"):
        read(data, name=name)


def test_what_is_said_of_a_broken_header_is_always_the_same() -> None:
    data = b"II*\0" + bytes(100)
    with pytest.raises(ReadError) as raised:
        read(data)
    assert raised.value.what == "a broken picture: its header cannot be understood"


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turned_pages_come_out_upright(quarter_turns: int) -> None:
    page = page_picture(
        [*LINES, "Whichever way the sheet", "was put on the glass,", "it reads the same."], inches=(3.0, 1.8)
    )
    upright = read(picture_bytes(page, "PNG")).text
    turned = page.rotate(90 * quarter_turns, expand=True)
    turned.info["dpi"] = page.info["dpi"]
    assert read(picture_bytes(turned, "PNG")).text == upright
    assert upright.startswith(TEXT)


def test_the_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    data = picture_bytes(PICTURE.rotate(180), "JPEG", exif=exif, quality=95)
    assert read(data).text == TEXT


def test_columns_are_read_before_rows() -> None:
    left = ["This column is the", "first of two, and it", "goes on for a while", "before it ends here."]
    right = ["The second column", "follows, and never", "in the middle of the", "first one's lines."]
    text = read(picture_bytes(two_column_picture(left, right, "A title over both of the columns"), "PNG")).text
    assert text == "\n\n".join(["A title over both of the columns", "\n".join(left), "\n".join(right)])


def test_a_slope_does_not_mix_columns() -> None:
    left = ["This column is the", "first of two, and it", "goes on for a while", "before it ends here."]
    right = ["The second column", "follows, and never", "in the middle of the", "first one's lines."]
    page = two_column_picture(left, right, "A title over both of the columns")
    sloping = page.rotate(1.5, resample=Image.Resampling.BICUBIC, fillcolor=255)
    sloping.info["dpi"] = page.info["dpi"]
    assert read(picture_bytes(sloping, "PNG")).text.split() == [
        "A",
        *["title", "over", "both", "of", "the", "columns"],
        *" ".join(left + right).split(),
    ]


def test_an_empty_sheet_is_no_text() -> None:
    with pytest.raises(DroppedFile, match="no-text: no text on 1 page"):
        read(picture_bytes(Image.new("L", (900, 600), 255), "PNG"))


def test_frames_without_text_are_named_and_empty_sheets_are_not() -> None:
    photo, sheet = Image.linear_gradient("L"), Image.new("L", (300, 200), 255)
    data = picture_bytes(photo, "TIFF", save_all=True, append_images=[PICTURE, sheet, photo, photo])
    document, *left = read_bytes(data, "a.tif", DEFAULT)
    assert [span.page for span in document.pages] == [2]
    assert [(part.member, part.outcome, part.rule) for part in left] == [
        ("page 1", "dropped", "no-text"),
        ("pages 4-5", "dropped", "no-text"),
    ]


def test_why_a_picture_has_no_text_is_told() -> None:
    data = picture_bytes(PICTURE, "PNG")
    with pytest.raises(DroppedFile, match=r"unsure-ocr: no text on 1 page: .*ocr_min_confidence"):
        read(data, ReadSettings(ocr_min_confidence=1.0))
    with pytest.raises(DroppedFile, match="not-recognised: a picture, and recognition of text is off"):
        read(data, ReadSettings(ocr=False))


def test_pictures_past_the_limits_are_dropped() -> None:
    data = picture_bytes(PICTURE, "TIFF", save_all=True, append_images=[PICTURE])
    with pytest.raises(DroppedFile, match="too-large: 600 x 200 pixels, more than max_pixels = 119,999"):
        read(data, ReadSettings(max_pixels=119_999))
    with pytest.raises(DroppedFile, match="too-large: 2 pages, more than max_pages = 1"):
        read(data, ReadSettings(max_pages=1))


def test_a_strip_of_any_shape_is_read_without_blowing_up() -> None:
    strip = Image.new("L", (6000, 50), 255)  # enlarged to 736 dots on its short side, it would have 65 million
    words = page_picture(["A line on a strip of paper"], dpi=150, inches=(3.0, 0.6)).crop((0, 35, 450, 85))
    for x in range(0, 6000, 500):
        strip.paste(words, (x, 0))
    strip.info["dpi"] = (150, 150)
    assert "line on a strip" in read(picture_bytes(strip, "PNG")).text


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "GIF"])
def test_a_broken_picture_is_an_error_that_names_it(form: str) -> None:
    data = picture_bytes(PICTURE, form)
    with pytest.raises(ReadError, match=r"folder/a\.x: a broken picture"):
        read(data[: len(data) // 3], name="folder/a.x")


def test_recognition_is_silent_and_never_asks_the_network(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from quire.documents import ocr

    def refuse(*_: object) -> None:
        raise AssertionError("something asked the network")

    ocr._engine.cache_clear()  # so that the models are loaded in here
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert read(picture_bytes(PICTURE, "PNG")).text == TEXT
    with pytest.raises(DroppedFile):
        read(picture_bytes(Image.new("L", (900, 600), 255), "PNG"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["c015", "phototest"])
def test_real_scans_are_read_with_few_errors(shared_data: Path, name: str) -> None:
    from rapidfuzz.distance import Levenshtein

    truth = (shared_data / "scans" / f"{name}.truth.txt").read_text("utf-8").split()
    (document,) = read_file(shared_data / "scans" / f"{name}.tif", name, DEFAULT)
    errors = Levenshtein.distance(" ".join(truth), " ".join(document.text.replace("-\n", "").split()))
    assert errors < 0.03 * len(" ".join(truth))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I", "F", "I;16"])
def test_a_picture_is_the_same_grey_in_strips_and_at_once(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dots = np.random.default_rng(3).integers(0, 256, (37, 91, 4), dtype=np.uint8)
    picture = Image.fromarray(dots, "RGBA")
    if mode == "I;16":
        picture = Image.fromarray(dots[..., 0].astype(np.uint16) * 200)
    elif mode in ("I", "F"):
        picture = picture.convert("L").convert(mode)
    else:
        picture = picture.convert(mode)
    whole = image_format._grey(picture)
    monkeypatch.setattr(image_format, "_STRIP_PIXELS", 500)
    assert np.array_equal(image_format._grey(picture), whole)


def test_grey_of_many_bits_takes_little_more_memory_than_the_picture() -> None:
    # A picture of 101 x 1,114,155 pixels took more than 2 GB.
    picture = Image.new("F", (101, 200_000))
    picture.putpixel((5, 5), 1.0)
    tracemalloc.start()
    try:
        grey = image_format._grey(picture)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert grey.max() == 255
    assert peak < 8 * grey.size
