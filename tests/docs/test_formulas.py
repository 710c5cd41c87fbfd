"""Formulas are drawn by KaTeX while the pages are built, and one that cannot be drawn is named."""

import io
import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinxcontrib import katex

DOCS = Path(__file__).resolve().parents[2] / "docs"


def build(folder, markdown):
    """Return the body of a page and the warnings of building it."""
    source = folder / "source"
    source.mkdir()
    (source / "index.md").write_text(markdown, "utf-8")
    (source / "conf.py").write_text(
        'extensions = ["myst_parser", "formulas"]\nmyst_enable_extensions = ["dollarmath"]\n', "utf-8"
    )
    warnings = io.StringIO()
    app = Sphinx(source, source, folder / "html", folder / "trees", "html", status=None, warning=warnings)
    app.build()
    return (folder / "html" / "index.html").read_text("utf-8"), warnings.getvalue()


def test_formulas_are_drawn_in_the_page_without_a_script(tmp_path):
    page, warnings = build(
        tmp_path, "# T\n\nA $z = x^2$ and\n\n$$\n\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix} \\approx W\n$$\n"
    )
    assert warnings == ""
    assert page.count('class="katex-html"') == 2
    assert page.count('class="katex-display"') == 1
    assert "katex.min.css" in page
    assert not re.search(r"<script[^>]*katex", page)


def test_a_formula_that_cannot_be_drawn_is_named_with_its_page_and_line(tmp_path):
    page, warnings = build(tmp_path, "# T\n\nGood $x$.\n\nBad $\\nosuchcommand x < 1$.\n")
    assert "index.md:5: WARNING: this formula cannot be drawn: \\nosuchcommand x < 1" in warnings
    assert page.count('class="katex-html"') == 1
    assert "<code>\\nosuchcommand x &lt; 1</code>" in page


def test_what_katex_would_draw_and_latex_would_not_is_refused(tmp_path):
    _, warnings = build(tmp_path, "# T\n\nA $größe$.\n")
    assert "cannot be drawn" in warnings


def test_a_node_that_is_gone_ends_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(katex, "RENDER_TIMEOUT", 0.5)
    build(tmp_path, "# T\n\nA $z = x^2$.\n")
    server = katex.KaTeXServer.katex_server
    server.process.kill()
    server.process.wait()
    (tmp_path / "again").mkdir()
    try:
        with pytest.raises(ExtensionError, match="Node, which draws the formulas"):
            build(tmp_path / "again", "# T\n\nA $z = x^2$ and $y$.\n")
    finally:
        katex.KaTeXServer.katex_server = None


def test_style_and_fonts_are_those_of_the_katex_that_draws():
    folder = DOCS / "_static" / "katex"
    style = (folder / "katex.min.css").read_text("utf-8")
    assert f'content:"{katex.katex_version}"' in style
    fonts = set(re.findall(r"url\(([^)]*)\)", style))
    assert fonts == {f"fonts/{font.name}" for font in folder.glob("fonts/*")}
    assert len(fonts) == 20
    assert "MIT" in (folder / "LICENSE").read_text("utf-8")
