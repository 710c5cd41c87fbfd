"""Draws formulas as inline SVG outlines with Matplotlib's mathtext: no script and no server is needed to read."""

from __future__ import annotations

import html
import re
from typing import Any

import matplotlib
from docutils import nodes
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import text_to_path
from sphinx.application import Sphinx
from sphinx.util import logging

SIZE = 100.0
ENLARGED = 1.12  # STIX letters are smaller than those of the sans-serif text around them
LETTERS = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C", Outline.CLOSEPOLY: "Z"}
# Common short names that mathtext knows by another.
SYNONYMS = {r"\ge": r"\geq", r"\le": r"\leq", r"\ne": r"\neq", r"\lVert": r"\Vert", r"\rVert": r"\Vert"}

logger = logging.getLogger(__name__)


def draw(latex: str) -> str:
    """Return one line of LaTeX as an `<svg>` as high as the text around it, in the colour of that text.

    Raises:
        ValueError: mathtext does not know a command in it.
    """
    for name, known in SYNONYMS.items():
        latex = re.sub(re.escape(name) + r"(?![A-Za-z])", lambda _, known=known: known, latex)
    with matplotlib.rc_context({"mathtext.fontset": "stix"}):
        points, codes = text_to_path.get_text_path(FontProperties(size=SIZE), f"${latex}$", ismath=True)
    outline = Outline(points, codes)
    box = outline.get_extents()
    # text_to_path draws in its own unit of FONT_SCALE to the em.
    em = text_to_path.FONT_SCALE / ENLARGED
    steps = []
    for vertices, code in outline.iter_segments(simplify=False, curves=True):
        where = " ".join(f"{value:.1f}" for value in vertices) if code != Outline.CLOSEPOLY else ""
        steps.append(LETTERS[code] + where)
    margin = em * 0.04
    left, width = box.x0 - margin, box.width + 2 * margin
    top, height = -box.y1 - margin, box.height + 2 * margin
    drop = top + height  # below the baseline
    return (
        f'<svg class="formula" role="img" aria-label="{html.escape(latex, quote=True)}" '
        f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}" '
        f'style="width:{width / em:.3f}em;height:{height / em:.3f}em;vertical-align:{-drop / em:.3f}em">'
        f'<path transform="scale(1,-1)" fill="currentColor" d="{"".join(steps)}"/></svg>'
    )


def _drawn(latex: str, node: nodes.Node) -> str:
    try:
        return draw(" ".join(latex.split()))
    except ValueError as error:
        logger.warning("this formula cannot be drawn: %s\n%s", latex, error, location=node)
        return f"<code>{html.escape(latex)}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_drawn(node.astext(), node))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    text = re.sub(r"\\(begin|end)\{(aligned|align\*?|split|gathered)\}", "", node.astext())
    text = re.sub(r"\\frac(?![A-Za-z])", lambda _: r"\dfrac", text)  # fractions of full size, as TeX sets them here
    lines = [line.replace("&", "") for line in re.split(r"\\\\", text) if line.strip()]
    drawn = "".join(f"<div>{_drawn(line, node)}</div>" for line in lines)
    translator.body.append(f'<div class="formula-block">{drawn}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathtext", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    app.config.html_math_renderer = "mathtext"
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
