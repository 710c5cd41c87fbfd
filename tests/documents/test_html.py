from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.scores import word_f1
from quire.documents.document import Document, DroppedFile
from quire.documents.formats.webpage import flatten
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings

PAGE = """<!doctype html><html><head><title>T</title><style>p {{ color: red }}</style>{head}</head>
<body><!-- hidden --><h1>Heading</h1><p>First   &amp; <b>bold</b> – words.</p><script>var x = 1</script>
<ul><li>one</li><li>two</li></ul></body></html>"""


def read(page: bytes | str, **chosen: bool) -> str:
    data = page if isinstance(page, bytes) else page.encode()
    (document,) = read_bytes(data, "a.html", ReadSettings(**{"main_content": True, **chosen}))
    assert isinstance(document, Document)
    (span,) = document.pages
    assert (span.start, span.end) == (0, len(document.text))
    return document.text


def test_the_text_a_reader_sees_block_by_block() -> None:
    assert read(PAGE.format(head="")) == "# Heading\n\nFirst & bold – words.\n\n- one\n- two"


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "utf-16-le", "iso-8859-2", "koi8-r"])
def test_the_stated_encoding_is_used(encoding: str) -> None:
    words = "Привет" if encoding == "koi8-r" else "Grüße"
    page = PAGE.format(head=f'<meta http-equiv="Content-Type" content="text/html; charset={encoding}">')
    data = page.replace("–", "-").replace("Heading", words).encode(encoding)
    assert read(data).startswith(f"# {words}\n")


@given(st.text(st.sampled_from("ab <>&\n\t`\"'\\{}é"), min_size=1).filter(lambda code: bool(code.strip())))
def test_code_keeps_every_character_of_every_line(code: str) -> None:
    escaped = code.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = read(f"<p>Before</p><pre><code>\n{escaped}</code></pre><p>after</p>")
    before, fenced = text.split("\n\n", 1)
    fenced = fenced.removesuffix("\n\nafter")
    fence = fenced.split("\n", 1)[0]
    assert before == "Before"
    assert set(fence) == {"`"}
    assert fenced == f"{fence}\n{code.strip(chr(10)).rstrip()}\n{fence}"
    assert fence not in code


def test_menus_side_bars_feet_and_forms_are_left_out_by_choice() -> None:
    page = (
        "<nav>Home About</nav><div class='site-sidebar'>Popular posts</div><div id='cookieConsent'>We use cookies</div>"
        f"<article><h1>News</h1><p>{'What happened today. ' * 20}</p><button>Share</button>"
        "<div role='note'>A note.</div></article><div role='contentinfo'>Imprint</div><footer>© 2024</footer>"
    )
    text = read(page)
    assert text.startswith("# News\n\nWhat happened")
    assert text.endswith("A note.")
    whole = read(page, main_content=False)
    for word in ("Home", "Popular", "cookies", "Share", "Imprint", "2024"):
        assert word not in text
        assert word in whole


def test_the_main_element_is_the_page_if_it_holds_enough_of_it() -> None:
    beside = f"<div>{'Unrelated words. ' * 10}</div>"
    assert read(f"{beside}<main><p>{'The matter itself. ' * 20}</p></main>").startswith("The matter")
    assert "Unrelated" in read(f"{beside * 30}<main><p>Loading</p></main>")


def test_what_holds_most_of_the_text_is_never_thrown_away() -> None:
    words = "Everything is in here. " * 20
    assert words.strip() in read(f"<div class='menu'><p>{words}</p></div><p>x</p>")
    assert words.strip() in read(f"<div class='nav'>{words}</div><div class='sidebar'>{words}</div>")


def test_hidden_elements_and_scripts_are_not_text() -> None:
    page = (
        "<p>shown<span hidden>a</span><span style='display: none'>b</span><span aria-hidden=true>c</span></p>"
        "<template><p>d</p></template><svg><text>e</text></svg><select><option>f</select><noscript><p>g</p></noscript>"
    )
    assert read(page) == "shown\n\ng"
    assert read("<div id=app style='display:none'><p>shown by a script</p></div><p>x") == "shown by a script\n\nx"


def test_lists_in_lists() -> None:
    page = "<ol start=3><li>c<ul><li>deep<p>more</p></li></ul></li><li value=9>i</li><li></li></ol><li>stray"
    assert read(page) == "3. c\n  - deep\n    more\n9. i\n- stray"


def test_tables_with_spans_and_tables_inside() -> None:
    page = (
        "<table><caption>Values</caption><thead><tr><th>a<th colspan=2>bc</thead><tr><td rowspan=2>down<td>1<td>2"
        "<tr><td>3<td><table><tr><td>x<td>y</table><tr><td colspan=3>end</table>"
    )
    assert read(page) == "Values\n\n| a | bc | bc |\n| down | 1 | 2 |\n| down | 3 | | x | y | |\n| end |"


def test_tables_of_layout_are_blocks() -> None:
    words = "A long passage of a page from before style sheets. " * 30
    assert read(f"<table><tr><td>Left<td><h2>Top</h2><p>{words}</p></table>") == (f"Left\n\n## Top\n\n{words.strip()}")
    assert read("<table role=presentation><tr><td>one<td>two</table>") == "one\n\ntwo"
    assert read("<table><tr><td>one<tr><td>two</table>") == "one\n\ntwo"


def test_a_table_of_blocks_is_one_of_layout() -> None:
    page = "<h1>Old page</h1><p>First words.</p><p>Second words.</p><ul><li>one<li>two</ul>"
    blocks = "# Old page\n\nFirst words.\n\nSecond words.\n\n- one\n- two"
    assert read(f"<table><tr><td>Menu</td><td>{page}</td></tr></table>") == f"Menu\n\n{blocks}"
    inner = "<table><tr><td>iris<td>10 cm<tr><td>lily<td>60 cm</table>"
    assert read(f"<table><tr><td>Menu<td>{inner}</table>") == "Menu\n\n| iris | 10 cm |\n| lily | 60 cm |"
    long = "Words of a passage that goes on. " * 5
    assert "|" not in read(f"<table><tr><td>Menu<td><p>{long}</p><p>{long}</p></table>")


@pytest.mark.parametrize(
    "cell", ["<p>{}</p>", "<div><p>{}</p></div>", "<h4>{}</h4>", "<ul><li>{}</ul>", "<pre>{}</pre>"]
)
def test_a_table_of_values_in_blocks_is_one_of_data(cell: str) -> None:
    plant, depth, iris, ten = (cell.format(value) for value in ("plant", "depth", "iris", "10"))
    table = read(f"<table><tr><td>{plant}<td>{depth}<tr><td>{iris}<td>{ten}</table>")
    assert table.replace("#### ", "").replace("- ", "") == "| plant | depth |\n| iris | 10 |"


def test_a_table_of_data_may_have_some_cells_of_blocks() -> None:
    row = "<tr><td><p>Ada</p><td><p>Pond street 3</p><p>London</p></tr>"
    assert read(f"<table>{row}{row}</table>") == "| Ada | Pond street 3 London |\n| Ada | Pond street 3 London |"
    listed = "<tr><td>Reeds<td><ul><li>tall<li>green</ul>"
    assert read(f"<table><tr><th>plant<th>looks{listed}</table>") == "| plant | looks |\n| Reeds | - tall - green |"


def test_code_in_tables_keeps_its_lines_without_their_numbers() -> None:
    code = "def f(x):\n    if x:\n        return 1"
    for numbers in ("1\n2\n3", "\n  9\n 10\n 11\n"):
        cells = f"<td class=linenos><pre>{numbers}</pre></td><td class=code><pre><span></span>{code}\n</pre></td>"
        assert read(f"<table class=highlighttable><tr>{cells}</tr></table>") == f"```\n{code}\n```"
    other = f"<tr><th>old<th>new<tr><td><pre>1\n3\n5</pre><td><pre>{code}</pre>"
    assert read(f"<table>{other}</table>") == f"old\n\nnew\n\n```\n1\n3\n5\n```\n\n```\n{code}\n```"


def test_code_keeps_its_lines_where_style_or_class_says_so() -> None:
    for how in ("style='color: red; white-space:pre-wrap'", "class='hljs whitespace-pre'", "class=pre"):
        assert read(f"<p>See <code {how}>a\n  b</code> there.") == "See\n\n```\na\n  b\n```\n\nthere."
        assert read(f"<p>See <code {how}>a b</code> there.") == "See a b there."
    assert read("<p>See <code class=preview style='white-space: normal'>a\n  b</code>.") == "See a b."


def test_exponents_formulas_quotations_and_breaks() -> None:
    page = (
        "<p>10<sup>6</sup> m<sup>−2</sup>, the 1<sup>st</sup>, H<sub>2</sub>O, see<sup><a href='#n'>[1]</a></sup></p>"
        "<p>He said <q>no</q>.<br>Then <ruby>漢<rp>(</rp><rt>kan</rt></ruby> left.</p>"
        "<p><math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x^2</annotation></semantics></math>"
        "<script type='math/tex'>y_1</script></p>"
    )
    assert read(page) == "10^6 m^−2, the 1st, H2O, see[1]\n\nHe said “no”.\nThen 漢 left.\n\n$x^2$$y_1$"


def test_links_by_choice() -> None:
    page = "<p>See <a href='/a b'> this </a>, <a href='javascript:x()'>that</a>, <a href='#top'>top</a>, <a>none</a>."
    assert read(page) == "See [this](/a b) , that, top, none."
    assert read(page, links=False) == "See this , that, top, none."
    assert "[top](#top)" in read(page, main_content=False)


@given(st.recursive(st.just("x"), lambda inner: st.lists(inner, max_size=4).map(lambda c: f"<div>{''.join(c)}</div>")))
def test_the_flat_list_is_the_tree(page: str) -> None:
    from resiliparse.parse.html import HTMLTree

    flat = flatten(HTMLTree.parse(f"<body>{page}</body>").body)
    for index, end in enumerate(flat.ends):
        assert index < end <= len(flat.tags)
        inside = [other for other in range(index + 1, end) if flat.ends[other] > end]
        assert not inside
        assert flat.sizes[index] == sum(len(text) for text in flat.texts[index:end])
    assert flat.tags[0] == "body"
    assert flat.ends[0] == len(flat.tags)
    assert flat.sizes[0] == page.count("x")


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 30_000 + "words",
        "<table><tr><td>" * 3_000 + "words",
        "<ul><li>" * 20_000 + "words",
        "<p><sup>" * 20_000 + "words",
        "<a href=x>" * 20_000 + "words",
        "<b><i>" * 3_000 + "words",
        "<code class=pre>" * 20_000 + "words",
        "words" + "&" * 1_000_000,
        "words" + "<!--" * 200_000,
    ],
)
def test_pages_that_were_made_to_be_slow(page: str) -> None:
    began = time.perf_counter()
    assert "words" in read(page, main_content=False)
    assert time.perf_counter() - began < 8


def test_nothing_to_see() -> None:
    for page in ("<p> </p>", "<body>", "<script>x</script>", "<frameset><frame src=x></frameset>"):
        with pytest.raises(DroppedFile, match="no visible text"):
            read(page)


def test_real_pages(shared_data: Path) -> None:
    scores = {
        path.name: word_f1(path.with_name(f"{path.name}.truth.md").read_text("utf-8"), read(path.read_bytes()))
        for path in sorted((shared_data / "office").glob("*.html"))
    }
    whole = shared_data / "office" / "wiki_duck.html"
    truth = whole.with_name(f"{whole.name}.truth.md").read_text("utf-8")
    # Its truth has all menus, and where each link leads: all of the page is compared with it.
    scores[whole.name] = word_f1(truth, read(whole.read_bytes(), main_content=False))
    assert len(scores) >= 4
    assert all(score >= 0.96 for score in scores.values()), scores


def test_as_it_stands_a_page_keeps_all_that_a_reader_sees():
    (document,) = read_bytes(
        b"<nav>Home</nav><main><p>Words.</p></main><footer>Imprint</footer>", "a.html", ReadSettings()
    )
    assert document.text.split() == ["Home", "Words.", "Imprint"]
