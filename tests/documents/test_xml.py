"""XML: all text in order, nothing from elsewhere, no bombs."""

from __future__ import annotations

import time
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.formats.normal_form import normal
from quire.documents.formats.xml import MAX_DEPTH
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
PROSE = "It rained all night and the street was a river"
WORD = st.text(
    st.characters(codec="utf-8", categories=["L", "Nd", "Sm"], exclude_characters="\x85"), min_size=1, max_size=8
)
NAME = st.sampled_from(["p", "div", "hi", "b", "x:y", "entry", "name", "pre", "li", "row"])
TREE = st.recursive(
    WORD, lambda inner: st.tuples(NAME, st.lists(inner | st.just(" ") | st.just("\n  "), max_size=5)), max_leaves=20
)


def read(content, name="a.xml"):
    return list(read_bytes(content if isinstance(content, bytes) else content.encode(), name, DEFAULT))


def text_of(body, name="a.xml"):
    document, *rest = read(f"<doc>{body}<p>{PROSE}</p></doc>", name)
    assert rest == []
    assert document.text.endswith(PROSE)
    return document.text.removesuffix(PROSE).rstrip("\n")


def written(tree):
    if isinstance(tree, str):
        return escape(tree)
    name, inner = tree
    return f"<{name}>{''.join(map(written, inner))}</{name}>"


def letters(tree):
    return tree if isinstance(tree, str) else "".join(map(letters, tree[1]))


@given(TREE)
def test_every_character_stands_there_in_order(tree):
    prose = f"{PROSE} " * 50
    (document,) = read(f"<doc xmlns:x='u'>{written(tree)}<p>{prose}</p></doc>")
    bare = "".join(document.text.replace("|", "").split())
    assert normal(bare) == normal("".join((letters(tree).replace("|", "") + prose).split()))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<p>One <hi>two</hi>\n   <any>three</any>.</p>", "One two three."),
        ("<p><b>One</b> <i>two</i></p>", "One two"),
        ("<s><w>The</w><c> </c><w>cat</w></s>", "The cat"),
        ("<p>one <p>two</p> three</p>", "one\n\ntwo\n\nthree"),
        ("<person><first>Ada</first><last>Byron</last></person>", "Ada\n\nByron"),
        ("<table><row><cell>a</cell><cell>b c</cell></row></table>", "| a | b c |"),
        ("<p>one<lb/>two<lb break='no'/>three</p>", "one\ntwothree"),
        ("<programlisting>def f():\n    return  1\n</programlisting>", "def f():\n    return  1"),
        ("<p><![CDATA[a < b & c]]> &#x41; &eacute;&nbsp;x &lt;</p>", "a < b & c A é x <"),
        ("<!-- no --><?no no?><script>no</script><p>yes</p>", "yes"),
    ],
)
def test_what_is_a_paragraph(body, text):
    assert text_of(body) == text


def test_entities_that_the_file_declares():
    (document,) = read(f'<!DOCTYPE d [<!ENTITY co "the company">]><d>&co; {PROSE}</d>')
    assert document.text == f"the company {PROSE}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "iso-8859-1", "shift_jis"])
def test_the_stated_encoding(encoding):
    words = "川の話" if encoding == "shift_jis" else "café à la crème"
    data = f'<?xml version="1.0" encoding="{encoding}"?>\n<d>{words} {PROSE}</d>'.encode(encoding)
    (document,) = read(data)
    assert document.text == f"{words} {PROSE}"


def test_feeds_hold_html():
    page = escape(f"<p>{PROSE}</p><p>more")
    item = f"<title>A &lt;b&gt;bold&lt;/b&gt; title</title><description>{page}</description>"
    encoded = f"<c:encoded xmlns:c='u'><![CDATA[<p>{PROSE}</p><ul><li>one</li></ul>]]></c:encoded>"
    (document,) = read(f"<rss><channel><item>{item}{encoded}</item></channel></rss>", "a.rss")
    assert "<" not in document.text
    assert document.text.count(PROSE) == 2
    assert document.text.startswith("A bold title\n\n")
    assert document.media_type == "application/rss+xml"


def test_data_and_settings_stay_as_they_stand():
    pom = "<project><groupId>org.example</groupId><version>1.0</version><name>thing</name></project>"
    (document,) = read(pom)
    assert (document.text, document.language) == (pom, "XML")
    assert read("<svg/>")[0].text == "<svg/>"


def test_a_page_is_read_as_a_page():
    (document,) = read(f"<html><head><style>x</style></head><body><p>{PROSE}</p></body></html>")
    assert document.text == PROSE


def test_what_breaks_off_keeps_what_came_before():
    document, left = read(f"<d><p>{PROSE}</p><p>more words</d>")
    assert document.text == f"{PROSE}\n\nmore words"
    assert isinstance(left, LeftOut)
    assert (left.outcome, left.rule) == ("failed", "damaged")
    assert "mismatched tag" in left.detail
    with pytest.raises(ReadError, match="not XML"):
        read("no markup at all")


def test_nothing_outside_is_opened(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    (document,) = read(f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]><d>{PROSE} &x;</d>')
    assert "secret" not in document.text
    (document,) = read(f'<!DOCTYPE d SYSTEM "{secret.as_uri()}"><d>{PROSE} &x;</d>')
    assert document.text == f"{PROSE} &x;"
    parameter = f'<!DOCTYPE d [<!ENTITY % x SYSTEM "{secret.as_uri()}"> %x;]><d>{PROSE}</d>'
    assert read(parameter)[0].text == PROSE


def laughs(levels):
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, levels))
    return f"<!DOCTYPE d [{entities}]><d>&a{levels - 1};</d>"


@pytest.mark.parametrize(
    ("bomb", "what"),
    [
        (laughs(12), "holds other entities"),
        (f'<!DOCTYPE d [<!ENTITY a "{"a" * 100_000}">]><d>{"&a;" * 100_000}</d>', "times its size"),
        ("<a>" * (MAX_DEPTH + 10), "nested deeper"),
        ("<a>" * 1_000_000 + "</a>" * 1_000_000, "nested deeper"),
    ],
    ids=["laughs", "quadratic", "deep", "very deep"],
)
def test_bombs_are_refused(bomb, what):
    began = time.monotonic()
    with pytest.raises(ReadError, match=what):
        read(bomb)
    assert time.monotonic() - began < 5


def test_a_million_elements_and_attributes():
    body = "<p a='1'>word and more words to read here</p>" * 100_000
    (document,) = read(f"<d>{body}</d>")
    assert document.text.count("word and") == 100_000
    attributes = " ".join(f"a{number}='x'" for number in range(100_000))
    assert read(f"<d {attributes}>{PROSE}</d>")[0].text == PROSE


def test_nul_bytes():
    with pytest.raises(DroppedFile, match="binary"):
        read(b"<d>\0</d>")


SEED = f"""<?xml version="1.0"?><!DOCTYPE d [<!ENTITY co "the company">]>
<d><p a="b">{PROSE} <hi>ü</hi> &co;</p><![CDATA[x]]><row><c>1</c></row><!-- c --><pre>  x
</pre></d>""".encode()


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=3)), max_size=8), st.integers(0, len(SEED)))
def test_broken_files_end_in_text_or_a_reason(changes, cut):
    data = bytearray(SEED)
    for place, new in changes:
        data[place : place + 1] = new
    try:
        parts = read(bytes(data[cut:]) or b" ")
    except (DroppedFile, ReadError):
        return
    assert all(part.text if isinstance(part, Document) else part.detail for part in parts)
