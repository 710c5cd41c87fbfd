"""Sets a small subset of Markdown as PDF, HTML or plain text: headings, paragraphs, lists, code blocks."""

from __future__ import annotations

import html
import io
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY, TA_LEFT
from reportlab.lib.pagesizes import A4, A5, B5
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, NextPageTemplate, PageTemplate, Paragraph, Preformatted

ITEM = re.compile(r"(-|\d+\.) +(.*)")


@dataclass(frozen=True)
class Block:
    """One block of a document: kind is "heading", "paragraph", "item" or "code"; level and marker where they apply."""

    kind: str
    text: str
    level: int = 0
    marker: str = ""


@dataclass(frozen=True)
class Look:
    """How a PDF looks: its faces (regular, bold, italic, monospaced), size in points, columns and paper."""

    faces: tuple[str, str, str, str]
    size: float
    columns: int = 1
    paper: tuple[float, float] = A4
    justify: bool = True
    running_head: str = ""
    numbered: bool = True


TIMES = ("Times-Roman", "Times-Bold", "Times-Italic", "Courier")
HELVETICA = ("Helvetica", "Helvetica-Bold", "Helvetica-Oblique", "Courier")
COURIER = ("Courier", "Courier-Bold", "Courier-Oblique", "Courier")
# STIX and DejaVu have the letters of formulas; both come with matplotlib under free licences.
STIX = ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "DejaVuSansMono")
DEJAVU = ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSansMono")

HANDBOOK = Look(STIX, 11, running_head="A Handbook of Small Language Models")
JOURNAL = Look(TIMES, 9.6, columns=2, paper=B5, running_head="Folded Sheets: Occasional Papers")
BULLETIN = Look(HELVETICA, 8.8, columns=2, paper=B5, running_head="Bulletin of the Reading Room")
TYPEWRITER = Look(COURIER, 9.6, paper=A5, justify=False, numbered=False)
LEAFLET = Look(DEJAVU, 8.8, paper=A5, running_head="The Evening School Leaflets")
REPORT = Look(TIMES, 10.5, paper=A5, running_head="Reading Room Report")
SHEET = Look(HELVETICA, 9.4, paper=A5, justify=False, numbered=False)


def parse(markdown: str) -> list[Block]:
    """Return the blocks of `markdown` in order; lines of one paragraph or item are joined by a space."""
    blocks: list[Block] = []
    lines = iter(markdown.splitlines())
    gathered: list[str] = []

    def flush() -> None:
        if gathered:
            text = " ".join(part.strip() for part in gathered)
            item = ITEM.match(text)
            blocks.append(Block("item", item[2], marker=item[1]) if item else Block("paragraph", text))
            gathered.clear()

    for line in lines:
        if line.startswith("```"):
            flush()
            code = []
            for inner in lines:
                if inner.startswith("```"):
                    break
                code.append(inner)
            blocks.append(Block("code", "\n".join(code)))
        elif line.startswith("#"):
            flush()
            marks, text = line.split(" ", 1)
            blocks.append(Block("heading", text.strip(), level=len(marks)))
        elif not line.strip():
            flush()
        else:
            if ITEM.match(line):
                flush()
            gathered.append(line)
    flush()
    return blocks


def bare(text: str) -> str:
    """Return `text` without its inline marks (bold, italic, code)."""
    text = re.sub(r"\*\*(.+?)\*\*", r"\1", text)
    text = re.sub(r"(?<!\*)\*(?!\s)(.+?)\*", r"\1", text)
    return re.sub(r"`(.+?)`", r"\1", text)


def to_text(blocks: list[Block], width: int = 78) -> str:
    """Return the blocks as plain text, wrapped at `width` characters, with headings underlined."""
    parts = []
    for block in blocks:
        if block.kind == "heading":
            parts.append(f"{bare(block.text)}\n{('=' if block.level == 1 else '-') * len(bare(block.text))}")
        elif block.kind == "code":
            parts.append(textwrap.indent(block.text, "    "))
        else:
            lead = f"  {'*' if block.marker == '-' else block.marker} " if block.kind == "item" else ""
            wrapped = textwrap.wrap(bare(block.text), width, initial_indent=lead, subsequent_indent=" " * len(lead))
            parts.append("\n".join(wrapped))
    return "\n\n".join(parts) + "\n"


def _inline(text: str, bold: str, italic: str, code: str) -> str:
    """Return `text` escaped for XML, its marks replaced by the tag pairs `bold`, `italic`, `code` ("<b>|</b>")."""
    text = html.escape(text, quote=False)
    for pattern, pair in ((r"\*\*(.+?)\*\*", bold), (r"(?<!\*)\*(?!\s)(.+?)\*", italic), (r"`(.+?)`", code)):
        before, after = pair.split("|")
        text = re.sub(pattern, rf"{before}\1{after}", text)
    return text


def to_html(blocks: list[Block]) -> str:
    """Return the blocks as one HTML page with the navigation and footer that web pages have around their text."""
    title = next(bare(block.text) for block in blocks if block.kind == "heading")
    body = []
    for block in blocks:
        text = _inline(block.text, "<strong>|</strong>", "<em>|</em>", "<code>|</code>")
        if block.kind == "heading":
            body.append(f"<h{block.level}>{text}</h{block.level}>")
        elif block.kind == "code":
            body.append(f"<pre>{html.escape(block.text)}</pre>")
        else:
            body.append(f"<p>{text}</p>")
    article = "\n".join(body)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{html.escape(title)}</title>
<style>body {{ font: 1rem/1.5 serif; max-width: 40rem; margin: 2rem auto; }} nav a {{ margin-right: 1rem; }}</style>
<script>document.documentElement.className = "js";</script>
</head>
<body>
<nav><a href="index.html">Home</a><a href="handbook.html">Handbook</a><a href="letters.html">Letters</a></nav>
<main><article>
{article}
</article></main>
<footer><p>Evening school, room 4. <a href="index.html">Back to the top</a></p></footer>
</body>
</html>
"""


def _register(face: str) -> None:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")
    if path.exists() and face not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(face, path))


def _flowables(blocks: list[Block], look: Look) -> list[Flowable]:
    regular, bold, italic, mono = look.faces
    leading = look.size * 1.32
    align = TA_JUSTIFY if look.justify else TA_LEFT
    base = ParagraphStyle("text", fontName=regular, fontSize=look.size, leading=leading, spaceAfter=leading * 0.5)
    text_style = ParagraphStyle("body", base, alignment=align)
    item_style = ParagraphStyle("item", text_style, leftIndent=look.size * 1.8, spaceAfter=leading * 0.3)
    title_style = ParagraphStyle(
        "title",
        base,
        fontName=bold,
        fontSize=look.size * 1.75,
        leading=look.size * 2.15,
        alignment=TA_CENTER if look.columns > 1 else TA_LEFT,
        spaceAfter=leading,
    )
    head_style = ParagraphStyle(
        "head", base, fontName=bold, fontSize=look.size * 1.15, spaceBefore=leading * 0.6, keepWithNext=1
    )
    # A line of code must fit the column: 62 characters of a monospaced face 0.6 em wide.
    code_size = look.size * (0.8 if look.columns == 1 else 0.72)
    code_style = ParagraphStyle(
        "code", fontName=mono, fontSize=code_size, leading=code_size * 1.3, leftIndent=8, spaceAfter=leading * 0.7
    )
    tags = (f'<font name="{bold}">|</font>', f'<font name="{italic}">|</font>', f'<font name="{mono}">|</font>')
    flowables: list[Flowable] = []
    for block in blocks:
        if block.kind == "code":
            flowables.append(Preformatted(block.text, code_style))
            continue
        text = _inline(block.text, *tags)
        if block.kind == "heading":
            flowables.append(Paragraph(text, title_style if block.level == 1 else head_style))
        elif block.kind == "item":
            mark = "•" if block.marker == "-" else block.marker
            flowables.append(Paragraph(text, item_style, bulletText=mark))
        else:
            flowables.append(Paragraph(text, text_style))
    return flowables


def to_pdf(blocks: list[Block], look: Look, first_page: int = 1) -> bytes:
    """Return the blocks as a PDF that is the same to the byte each time, its pages numbered from `first_page`."""
    for face in look.faces:
        _register(face)
    width, height = look.paper
    margin = 56 if look.paper == A4 else 44
    gap = 20
    flowables = _flowables(blocks, look)
    title = next((bare(block.text) for block in blocks if block.kind == "heading"), "")

    def decorate(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont(look.faces[2], look.size * 0.85)
        page = document.page + first_page - 1
        if look.running_head:
            canvas.drawString(margin, height - margin + 16, look.running_head if page % 2 else title)
            canvas.setLineWidth(0.4)
            canvas.line(margin, height - margin + 10, width - margin, height - margin + 10)
        if look.numbered:
            canvas.drawCentredString(width / 2, margin - 24, str(page))

    column = (width - 2 * margin - gap * (look.columns - 1)) / look.columns
    lefts = [margin + index * (column + gap) for index in range(look.columns)]
    tall = height - 2 * margin
    title_height = 0.0
    first_frames = []
    if look.columns > 1:
        _, needed = flowables[0].wrap(width - 2 * margin, tall)
        title_height = needed + 14
        first_frames.append(Frame(margin, height - margin - title_height, width - 2 * margin, title_height, 0, 0, 0, 0))
    first_frames += [Frame(left, margin, column, tall - title_height, 0, 0, 0, 0) for left in lefts]
    later_frames = [Frame(left, margin, column, tall, 0, 0, 0, 0) for left in lefts]

    stream = io.BytesIO()
    document = BaseDocTemplate(
        stream,
        pagesize=look.paper,
        title=title,
        author="The evening school",
        invariant=1,
        pageCompression=1,
        pageTemplates=[
            PageTemplate("first", first_frames, onPage=decorate),
            PageTemplate("later", later_frames, onPage=decorate),
        ],
    )
    document.build([NextPageTemplate("later"), *flowables])
    return stream.getvalue()
