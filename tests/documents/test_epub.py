from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.office import epub
from fixtures.pictures import page_picture, picture_bytes
from fixtures.scores import word_f1
from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

ENCRYPTION = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData><EncryptionMethod '
    'Algorithm="{}"/></EncryptedData></encryption>'
)


def read(data: bytes, **chosen: bool) -> list[str]:
    """The text of each chapter that has any."""
    document = next(iter(read_bytes(data, "a.epub", ReadSettings(**chosen))))
    assert isinstance(document, Document)
    return [document.text[span.start : span.end] for span in document.pages]


def test_chapters_in_the_order_of_the_spine() -> None:
    chapters = {"z.xhtml": "<h1>One</h1><p>Begin.</p>", "a.xhtml": "<p/>", "m%20n.xhtml": "<p>End.</p>"}
    data = epub(chapters, extra={"OEBPS/m n.xhtml": "<html><body><p>The end.</p></body></html>"})
    document = next(iter(read_bytes(data, "a.epub", ReadSettings())))
    assert isinstance(document, Document)
    assert document.text == "# One\n\nBegin.\n\nThe end."
    assert [span.page for span in document.pages] == [1, 3]


def test_the_table_of_contents_and_repeated_chapters_stand_once() -> None:
    manifest = '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="scripted nav"/>'
    extra = {"OEBPS/nav.xhtml": "<html><body><nav><ol><li>One</li></ol></nav></body></html>"}
    spine = '<itemref idref="nav"/><itemref idref="c0"/><itemref idref="missing"/>'
    assert read(epub({"one.xhtml": "<p>Once.</p>"}, manifest=manifest, spine=spine, extra=extra)) == ["Once."]


def test_markup_of_xhtml_that_means_another_thing_in_html() -> None:
    body = "<a id='here'/><p>First<br/>line<span class='x'/> goes on</p><div/><script src='x.js'/><p>Second</p>"
    assert read(epub({"one.xhtml": body})) == ["First\nline goes on\n\nSecond"]


def test_the_whole_chapter_is_kept_whatever_it_is_called() -> None:
    body = '<section class="footer"><aside>Beside</aside><p>A short chapter.</p></section><nav>On the way</nav>'
    assert read(epub({"one.xhtml": body})) == ["Beside\n\nA short chapter.\n\nOn the way"]


def test_encoding_of_a_chapter() -> None:
    old = "<?xml version='1.0' encoding='iso-8859-2'?><html><body><p>Zażółć</p></body></html>".encode("iso-8859-2")
    assert read(epub({"one.xhtml": ""}, extra={"OEBPS/one.xhtml": old})) == ["Zażółć"]


def test_locked_books_and_garbled_fonts() -> None:
    drm = ENCRYPTION.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc")
    with pytest.raises(PasswordError, match="digital rights management"):
        read(epub({"one.xhtml": "<p>x</p>"}, extra={"META-INF/encryption.xml": drm}))
    fonts = ENCRYPTION.format("http://www.idpf.org/2008/embedding")
    assert read(epub({"one.xhtml": "<p>x</p>"}, extra={"META-INF/encryption.xml": fonts})) == ["x"]


def test_what_is_missing_is_named() -> None:
    data = epub(
        {"one.xhtml": "<p>One.</p>"},
        manifest='<item id="m" href="no.xhtml" media-type="text/html"/>',
        spine='<itemref idref="m"/>',
    )
    document, left_out = read_bytes(data, "a.epub", ReadSettings())
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert (left_out.member, left_out.outcome) == ("OEBPS/no.xhtml", "failed")
    with pytest.raises(ReadError, match="no list of its parts"):
        read(epub({}, extra={"OEBPS/book.opf": "<other/>"}))
    with pytest.raises(DroppedFile, match="no text"):
        read(epub({"one.xhtml": "<p/>"}))
    with pytest.raises(DroppedFile, match="max_pages = 1"):
        list(read_bytes(epub({"a.xhtml": "a", "b.xhtml": "b"}), "a.epub", ReadSettings(max_pages=1)))


def test_pictures_of_a_book() -> None:
    picture = picture_bytes(page_picture(["On a plate"]), "PNG")
    manifest = '<item id="p" href="i/plate.png" media-type="image/png"/>'
    data = epub({"one.xhtml": "<p>One.</p>"}, manifest=manifest, extra={"OEBPS/i/plate.png": picture})
    _, left_out = read_bytes(data, "a.epub", ReadSettings())
    assert isinstance(left_out, LeftOut)
    assert left_out.size == len(picture)
    _, plate = read_bytes(data, "a.epub", ReadSettings(embedded_pictures=True))
    assert isinstance(plate, Document)
    assert (plate.text, plate.member) == ("On a plate", "OEBPS/i/plate.png")


def test_a_picture_that_a_book_names_twice_is_read_once() -> None:
    picture = picture_bytes(page_picture(["On a plate"]), "PNG")
    item = '<item id="p" href="i/plate.png" media-type="image/png"/>'
    data = epub({"one.xhtml": "<p>One.</p>"}, manifest=3 * item, extra={"OEBPS/i/plate.png": picture})
    parts = list(read_bytes(data, "a.epub", ReadSettings(embedded_pictures=True)))
    assert [part.member for part in parts] == [None, "OEBPS/i/plate.png"]


def test_a_real_book(shared_data: Path) -> None:
    book = shared_data / "office" / "epub_purvis_poetry.epub"
    truth = book.with_name(f"{book.name}.truth.md").read_text("utf-8")
    assert word_f1(truth, "\n".join(read(book.read_bytes()))) >= 0.99
