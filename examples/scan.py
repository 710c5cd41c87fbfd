"""Makes a printed page look as if an office scanner had seen it: a little turned, unevenly lit, grainy."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pypdfium2
from PIL import Image, ImageFilter
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

POINTS_PER_INCH = 72


@dataclass(frozen=True)
class Scanner:
    """What a scanner does to a page.

    `dpi` dots an inch; `angle` degrees that the first page is turned (later pages a little differently); `grain`
    the standard deviation of the noise in grey levels; `shadow` how much darker the side of the spine is (0 to 1);
    `paper` the colour of the paper; `specks` dust and holes a page.
    """

    dpi: int
    angle: float
    grain: float = 4.0
    shadow: float = 0.25
    paper: tuple[int, int, int] = (236, 236, 236)
    specks: int = 60


def render(pdf: bytes, dpi: int) -> list[Image.Image]:
    """Return each page of `pdf` as a greyscale picture."""
    with pypdfium2.PdfDocument(pdf) as document:
        return [page.render(scale=dpi / POINTS_PER_INCH, grayscale=True).to_pil().convert("L") for page in document]


def scan(pdf: bytes, scanner: Scanner, seed: int) -> list[Image.Image]:
    """Return the pages of `pdf` as colour pictures of scans; the same `seed` gives the same pictures."""
    return [_scan(page, scanner, seed + index, index) for index, page in enumerate(render(pdf, scanner.dpi))]


def _scan(page: Image.Image, scanner: Scanner, seed: int, index: int) -> Image.Image:
    random = np.random.default_rng(seed)
    angle = scanner.angle * (1.0, -0.6, 0.8)[index % 3]
    page = page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.5))
    ink = 1 - np.asarray(page, np.float64) / 255  # (height, width), 1 is black
    height, width = ink.shape
    for _ in range(scanner.specks):
        y, x = int(random.integers(2, height - 2)), int(random.integers(2, width - 2))
        ink[y : y + int(random.integers(1, 3)), x : x + int(random.integers(1, 3))] = random.uniform(0.3, 0.9)
    across = np.linspace(0, 1, width)[None, :]
    down = np.linspace(0, 1, height)[:, None]
    # Light falls off smoothly over the page and quickly in the fold, which lies on alternating sides.
    from_spine = across if index % 2 == 0 else 1 - across
    light = 1 - 0.06 * down - 0.04 * (across - 0.5) ** 2 - scanner.shadow * np.exp(-from_spine * 14)
    grey = light * (1 - 0.82 * ink) + random.normal(0, scanner.grain / 255, ink.shape)
    colour = grey[:, :, None] * np.array(scanner.paper)[None, None, :]
    return Image.fromarray(np.clip(np.rint(colour), 0, 255).astype(np.uint8))


def to_png(page: Image.Image) -> bytes:
    """Return a page as a 16-level grey PNG, as a scanner set to "small file" writes it."""
    levels = np.asarray(page.convert("L")) >> 4
    stream = io.BytesIO()
    Image.fromarray(levels * 17).save(stream, "PNG", optimize=True, dpi=(150, 150))
    return stream.getvalue()


def to_jpeg(page: Image.Image, dpi: int, quality: int = 62) -> bytes:
    """Return a page as a JPEG."""
    stream = io.BytesIO()
    page.save(stream, "JPEG", quality=quality, dpi=(dpi, dpi), optimize=True)
    return stream.getvalue()


def to_tiff(pages: list[Image.Image], dpi: int, threshold: int = 140) -> bytes:
    """Return the pages as one TIFF with a bit a dot, packed as a fax machine does (group 4)."""
    bits = [page.convert("L").point(lambda grey: 255 * (grey > threshold), mode="1") for page in pages]
    stream = io.BytesIO()
    bits[0].save(stream, "TIFF", save_all=True, append_images=bits[1:], compression="group4", dpi=(dpi, dpi))
    return stream.getvalue()


def to_image_pdf(pages: list[Image.Image], dpi: int) -> bytes:
    """Return the pages as a PDF of pictures, with no letter of text in it."""
    stream = io.BytesIO()
    canvas = Canvas(stream, invariant=1)
    for page in pages:
        width, height = (side * POINTS_PER_INCH / dpi for side in page.size)
        canvas.setPageSize((width, height))
        canvas.drawImage(ImageReader(io.BytesIO(to_jpeg(page.convert("L"), dpi, 55))), 0, 0, width, height)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()
