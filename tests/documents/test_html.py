from __future__ import annotations

import pytest

from quire.documents.document import Document
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings

PAGE = """<!doctype html><html><head><title>T</title><style>p {{ color: red }}</style>{head}</head>
<body><!-- hidden --><h1>Heading</h1><p>First   &amp; <b>bold</b> – words.</p><script>var x = 1</script>
<ul><li>one</li><li>two</li></ul></body></html>"""


def read(data: bytes) -> Document:
    (document,) = read_bytes(data, "a.html", ReadSettings())
    return document


def test_the_text_a_reader_sees_block_by_block() -> None:
    document = read(PAGE.format(head="").encode())
    assert document.text.split("\n\n")[:2] == ["Heading", "First & bold – words."]
    assert "one" in document.text
    assert not {"var x", "hidden", "color", "<"} & {
        word for word in ("var x", "hidden", "color", "<") if word in document.text
    }
    (span,) = document.pages
    assert (span.start, span.end) == (0, len(document.text))


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "iso-8859-2", "koi8-r"])
def test_the_stated_encoding_is_used(encoding: str) -> None:
    words = "Привет" if encoding == "koi8-r" else "Grüße"
    page = PAGE.format(head=f'<meta http-equiv="Content-Type" content="text/html; charset={encoding}">')
    data = page.replace("–", "-").replace("Heading", words).encode(encoding)
    assert read(data).text.startswith(words)
