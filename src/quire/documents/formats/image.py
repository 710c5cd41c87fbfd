"""Pictures of pages: PNG, JPEG, TIFF with its pages, WebP, BMP, GIF; their text is recognised."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from quire.documents.document import DroppedFile, LeftOut, Part
from quire.documents.formats.pages import Page, document_of, pages_left_out, recognised_page
from quire.documents.formats.reader import SourceFile
from quire.documents.ocr import is_blank, recognise, shrink
from quire.documents.sandbox import page_done
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

if TYPE_CHECKING:
    from PIL import Image

    from quire.documents.ocr import Picture

# Formats whose frames are pages; those of an animation show the same thing again and again, so the first is read.
_PAGED = frozenset(("image/tiff",))

# Resolutions outside of these are the defaults of cameras and drawing programs, not of a scanner.
_CREDIBLE_DPI = (100.0, 2400.0)

# Without a credible resolution the long side is taken for that of a sheet of A4 or US letter.
_SHEET_INCHES = 11.4

_STRIP_PIXELS = 1 << 22  # made grey at once


def read_image(file: SourceFile, settings: ReadSettings) -> list[Part]:
    """Return the recognised text of each page of `file`, and the account of frames and pages that gave none.

    Raises:
        DroppedFile: "no-text" or "unsure-ocr" where nothing is recognised, "not-recognised" where recognition is off;
            "too-large" by pixels or pages.
        ReadError: the picture is broken or cut short.
    """
    if not settings.ocr:
        raise DroppedFile("not-recognised", "a picture, and recognition of text is off")
    pages: list[Page] = []
    left_out: list[Part] = []
    try:
        for picture, dpi, others in _frames(file, settings):
            pages.append(_read_page(picture, dpi, settings))
            if others:
                why = f"the first of {others + 1:,} frames is read: those of an animation show the same again"
                left_out.append(LeftOut(file.named("(other frames)"), 0, "dropped", "animation", why))
    except ReadError as error:
        if not any(page.text for page in pages):
            raise
        why = f"from page {len(pages) + 1} on: {error.what}"
        left_out.append(LeftOut(file.named("(the rest)"), 0, "failed", "damaged", why))
    return [document_of(file, pages), *pages_left_out(file, pages), *left_out]


def _read_page(picture: Picture, dpi: float, settings: ReadSettings) -> Page:
    if is_blank(picture):
        return Page("")
    page = recognised_page(recognise(shrink(picture, dpi, settings), settings))
    page_done()
    return page


def _frames(file: SourceFile, settings: ReadSettings) -> Iterator[tuple[Picture, float, int]]:
    """Yield each page as grey dots, upright by its EXIF tag, its dots per inch, and how many frames are skipped."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes below the limit checked here
        try:
            with Image.open(io.BytesIO(file.data)) as image:
                frames = getattr(image, "n_frames", 1)
                count = frames if file.media_type in _PAGED else 1
                if settings.exceeded("max_pages", count):
                    raise DroppedFile("too-large", f"{count:,} pages, more than max_pages = {settings.max_pages:,}")
                for number in range(count):
                    image.seek(number)
                    if settings.exceeded("max_pixels", image.width * image.height):
                        size = f"{image.width:,} x {image.height:,} pixels"
                        raise DroppedFile("too-large", f"{size}, more than max_pixels = {settings.max_pixels:,}")
                    dpi = _dpi(image)
                    yield _grey(ImageOps.exif_transpose(image)), dpi, frames - count
        except Image.DecompressionBombError:  # at twice its own limit, which is above any max_pixels
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            why = f"more than {most:,} pixels, which nothing here opens, and max_pixels = {settings.max_pixels:,}"
            raise DroppedFile("too-large", why) from None
        except UnidentifiedImageError as error:  # its own words hold an address in memory
            raise ReadError("a broken picture: its header cannot be understood", where=file.where) from error
        except (
            OSError,
            ValueError,
            TypeError,
            SyntaxError,
            EOFError,
            OverflowError,
            LookupError,
            struct.error,
        ) as error:
            # What Pillow's readers raise on broken pictures.
            raise ReadError(f"a broken picture: {error}", where=file.where) from error


def _dpi(image: Image.Image) -> float:
    stated = image.info.get("dpi", (0, 0))
    try:
        dpi = float(max(stated))
    except (TypeError, ValueError):
        dpi = 0.0
    low, high = _CREDIBLE_DPI
    return dpi if low <= dpi <= high else max(image.width, image.height) / _SHEET_INCHES


def _grey(image: Image.Image) -> Picture:
    """Return `image` in 8-bit grey, what is transparent as white paper; of what it needs besides, a strip at a time."""
    import numpy as np

    image.load()
    transparent = image.has_transparency_data
    rows = max(1, _STRIP_PIXELS // image.width)
    tops = range(0, image.height, rows)
    strips = (image.crop((0, top, image.width, min(top + rows, image.height))) for top in tops)
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: stretch what is there
        low, high = _extremes(image, tops)
        factor = 255 / (high - low) if high > low else 0.0
        parts = ((np.asarray(strip, dtype=np.float64) - low) * factor for strip in strips)
        greys = (part.astype(np.uint8) if factor else np.full(part.shape, 255, dtype=np.uint8) for part in parts)
    else:
        greys = (np.asarray(_on_paper(strip) if transparent else strip.convert("L")) for strip in strips)
    grey = np.empty((image.height, image.width), dtype=np.uint8)
    for top, part in zip(tops, greys, strict=True):
        grey[top : top + rows] = part
    return grey


def _extremes(image: Image.Image, tops: range) -> tuple[float, float]:
    import numpy as np

    low, high = float("inf"), -float("inf")
    for top in tops:
        strip = np.asarray(image.crop((0, top, image.width, min(top + tops.step, image.height))))
        low, high = min(low, float(strip.min())), max(high, float(strip.max()))
    return low, high


def _on_paper(strip: Image.Image) -> Image.Image:
    from PIL import Image

    strip = strip.convert("RGBA")
    paper = Image.new("RGBA", strip.size, "white")
    paper.alpha_composite(strip)
    return paper.convert("L")
