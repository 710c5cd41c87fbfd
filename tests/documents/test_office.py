"""What holds for every office file and book: limits, hostile bytes, broken parts, names."""

from __future__ import annotations

import io
import random
import struct
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.office import docx, odf, paragraph, pptx, samples, shape, xlsx, zipped
from fixtures.pictures import page_picture, picture_bytes
from quire.documents.document import Document, DroppedFile, LeftOut, Part
from quire.documents.formats import zipped as zipped_module
from quire.documents.formats.office import EXTENSIONS
from quire.documents.formats.zipped import parse_xml
from quire.documents.kinds import kind_of
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

DEFAULT = ReadSettings()
SAMPLES = samples()
ZIPPED = [name for name in SAMPLES if not name.endswith(".html")]
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
TOKENS = [
    b'"',
    b"<",
    b">",
    b"/",
    b"&#0;",
    b"&amp;",
    b"99999999999999999999",
    b"-1",
    b"]]>",
    b"<!--",
    b"\xff\xfe",
    b"w:p",
]


def read(data: bytes, name: str, chosen: ReadSettings = DEFAULT) -> list[Part]:
    return list(read_bytes(data, name, chosen))


def repacked(data: bytes, part: str, content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return zipped({**{name: archive.read(name) for name in archive.namelist()}, part: content})


def main_part(name: str) -> str:
    return {
        ".docx": "word/document.xml",
        ".pptx": "ppt/slides/slide1.xml",
        ".xlsx": "xl/worksheets/sheet1.xml",
        ".epub": "OEBPS/one.xhtml",
    }.get(name[1:], "content.xml")


def check(parts: list[Part]) -> None:
    """Whatever was read is well-formed."""
    assert parts
    for part in parts:
        if isinstance(part, Document):
            assert part.text.strip()
            ends = [0, *(position for span in part.pages for position in (span.start, span.end)), len(part.text)]
            assert ends == sorted(ends)


def survive(data: bytes, name: str) -> None:
    """A file may be read, dropped or refused; nothing else may happen."""
    try:
        parts = read(data, name)
    except (DroppedFile, ReadError):
        return
    check(parts)


def mutated(data: bytes, seed: int) -> bytes:
    """The bytes with a few of them changed, cut, doubled or replaced by what parsers stumble over."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(changed) + 1)
        kind = chance.randrange(5)
        length = chance.randint(1, 40)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = changed[place : place + length] * chance.randint(1, 30)
        elif kind == 3:
            changed[place : place + length] = chance.choice(TOKENS)
        else:
            other = chance.randrange(len(changed) + 1)
            changed[place : place + length] = changed[other : other + length]
    return bytes(changed)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**64))
def test_changed_bytes_end_in_text_or_a_reason(name: str, seed: int) -> None:
    survive(mutated(SAMPLES[name], seed), name)


@pytest.mark.parametrize("name", ZIPPED)
@settings(max_examples=60)
@given(seed=st.integers(0, 2**64))
def test_changed_parts_end_in_text_or_a_reason(name: str, seed: int) -> None:
    with zipfile.ZipFile(io.BytesIO(SAMPLES[name])) as archive:
        parts = archive.namelist()
        part = parts[seed % len(parts)]
        content = archive.read(part)
    survive(repacked(SAMPLES[name], part, mutated(content, seed)), name)


@pytest.mark.parametrize("name", ZIPPED)
def test_every_way_to_cut_a_file_short_is_an_error(name: str) -> None:
    data = SAMPLES[name]
    for length in range(1, len(data) - 22, 97):  # 22 bytes: the end of the directory, without a comment
        with pytest.raises(ReadError):
            read(data[:length], name)


@pytest.mark.parametrize("name", ZIPPED)
def test_a_missing_part_is_named_or_done_without(name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(SAMPLES[name])) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    for missing in parts:
        survive(zipped({part: content for part, content in parts.items() if part != missing}), name)


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx", "a.odt", "a.epub"])
def test_another_kind_of_content(name: str) -> None:
    with pytest.raises(ReadError):
        read(b"just words, no zip at all", name)
    with pytest.raises(ReadError):
        read(zipped({"readme.txt": "a plain archive"}), name)


def test_an_encrypted_file_is_told_from_an_old_one() -> None:
    with pytest.raises(PasswordError, match="encrypted with a password"):
        read(OLE + "EncryptedPackage".encode("utf-16-le") + bytes(100), "a.docx")
    with pytest.raises(ReadError, match=r"before 2007.*Save it in the newer format") as error:
        read(OLE + bytes(1000), "a.docx")
    assert not isinstance(error.value, PasswordError)
    manifest = '<m:manifest xmlns:m="urn:m"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    with pytest.raises(PasswordError, match="Save it without a password"):
        read(odf("text", "", extra={"META-INF/manifest.xml": manifest}), "a.odt")


@pytest.mark.parametrize(
    ("name", "advice"), [("a.doc", ".docx"), ("a.rtf", ".docx"), ("a.xls", ".xlsx"), ("a.PPT", ".pptx")]
)
def test_old_formats_say_what_to_do(name: str, advice: str) -> None:
    with pytest.raises(DroppedFile, match=f"save it as {advice}") as dropped:
        read(OLE, name)
    assert dropped.value.rule == "unsupported"


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_extension_has_the_reader_of_its_family(extension: str) -> None:
    reader, media_type = EXTENSIONS[extension]
    assert kind_of(f"A{extension.upper()}", b"<") == (reader, media_type, None)


@pytest.mark.parametrize("name", ZIPPED)
def test_the_content_tells_also_against_the_extension(name: str) -> None:
    for wrong in ("w.zip", "w.doc", "w.csv", "w.pdf", "w.mobi"):
        assert kind_of(wrong, SAMPLES[name]) == kind_of("download", SAMPLES[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, SAMPLES[name])
    for right in ("a.zip", "download"):
        assert kind_of(right, buffer.getvalue()).reader == "archive"


@pytest.mark.parametrize("name", ZIPPED)
def test_without_an_extension_the_content_tells(name: str) -> None:
    assert kind_of("download", SAMPLES[name]).reader == EXTENSIONS["." + name.split(".")[1]][0]
    assert kind_of("wrong.docx", SAMPLES[name]).reader == kind_of("download", SAMPLES[name]).reader
    assert [part for part in read(SAMPLES[name], "wrong.docx") if isinstance(part, Document)]


@pytest.mark.parametrize("name", ZIPPED)
def test_bombs_are_dropped_before_they_are_unpacked(name: str) -> None:
    zeros = bytes(30_000_000)
    bomb = repacked(SAMPLES[name], main_part(name), zeros)
    assert len(bomb) < 60_000
    began = time.perf_counter()
    with pytest.raises(DroppedFile) as dropped:
        read(bomb, name)
    assert dropped.value.rule == "zip-bomb"
    assert time.perf_counter() - began < 1
    with pytest.raises(DroppedFile, match="max_unpacked_bytes"):
        read(bomb, name, ReadSettings(max_unpacked_bytes=1_000_000))
    with pytest.raises(DroppedFile, match="max_members"):
        read(SAMPLES[name], name, ReadSettings(max_members=1))


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx", "a.odt"])
def test_a_directory_that_lies_about_sizes_gives_no_more_than_it_says(name: str) -> None:
    data = bytearray(repacked(SAMPLES[name], main_part(name), b"<a>" + b" " * 5_000_000 + b"</a>"))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = -1
        while (place := data.find(signature, place + 1)) >= 0:
            if struct.unpack_from("<I", data, place + offset)[0] > 1_000_000:
                struct.pack_into("<I", data, place + offset, 100)
    survive(bytes(data), name)


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(
        f'<!ENTITY lol{n} "{laugh * 10}">'
        for n, laugh in enumerate(["&lol;", *(f"&lol{n};" for n in range(1, 9))], start=1)
    )
    + "]><document>&lol9;</document>"
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><document>&e;</document>'


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.odt"])
@pytest.mark.parametrize("xml", [LAUGHS, OUTSIDE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(name: str, xml: str, encoding: str) -> None:
    data = repacked(SAMPLES[name], main_part(name), xml.replace(' version="1.0"', "").encode(encoding))
    if name == "a.xlsx":
        (broken,) = (part for part in read(data, name) if isinstance(part, LeftOut))
        assert broken.rule == "damaged"
        assert "entities" in broken.detail
    else:
        with pytest.raises(ReadError, match="entities"):
            read(data, name)


def test_entities_in_the_list_of_an_electronic_book_are_refused() -> None:
    with pytest.raises(ReadError, match="entities"):
        read(repacked(SAMPLES["a.epub"], "OEBPS/book.opf", LAUGHS.encode()), "a.epub")


def test_nothing_outside_is_loaded(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret words")
    xml = f'<!DOCTYPE html PUBLIC "x" "{secret.as_uri()}"><a><i xmlns="urn:x" href="{secret.as_uri()}"/>words</a>'
    root = parse_xml(xml.encode(), "a")
    assert "".join(root.itertext()) == "words"


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.odt", "a.epub", "a.html"])
def test_deep_nesting_is_no_harm(name: str) -> None:
    deep = b"<w>" * 60_000 + b"words" + b"</w>" * 60_000
    data = deep if name == "a.html" else repacked(SAMPLES[name], main_part(name), b"<html>" + deep + b"</html>")
    began = time.perf_counter()
    survive(data, name)
    assert time.perf_counter() - began < 5


def test_a_tree_of_too_much_xml_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped_module, "MAX_TREE_BYTES", 1000)
    with pytest.raises(DroppedFile, match="of XML, more than 1,000"):
        read(docx(paragraph("words " * 500)), "a.docx")


def test_what_a_file_repeats_by_reference_is_bounded() -> None:
    """One long string that every cell shows, and cells that span everything."""
    long = "x" * 20_000
    rows = "".join(f'<x:row r="{n}"><x:c t="s"><x:v>0</x:v></x:c></x:row>' for n in range(1, 2000))
    small = ReadSettings(max_file_bytes=1_000_000)
    parts = read(
        xlsx({"S": f"<x:sheetData>{rows}</x:sheetData>"}, strings=f"<x:si><x:t>{long}</x:t></x:si>"), "a.xlsx", small
    )
    (left_out,) = (part for part in parts if isinstance(part, LeftOut))
    assert (left_out.rule, left_out.outcome) == ("too-large", "dropped")
    assert sum(len(part.text) for part in parts if isinstance(part, Document)) <= 1_000_000
    cell = f'<w:tc><w:tcPr><w:gridSpan w:val="99999999"/></w:tcPr>{paragraph("v" * 100)}</w:tc>'
    with pytest.raises(DroppedFile, match="max_file_bytes"):
        read(docx(f"<w:tbl><w:tr>{cell * 2000}</w:tr></w:tbl>"), "a.docx", small)
    wide = '<table:table-cell table:number-columns-repeated="99999999"><text:p>v</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="99999999">{wide}</table:table-row>'
    (document,) = read(odf("spreadsheet", f'<table:table table:name="T">{row * 5}</table:table>'), "a.ods")
    assert len(document.text) < 10_000
    page = "<table>" + "<tr>" + "<td rowspan=99999 colspan=99999>word" * 3 + "<tr><td>x" * 3000
    (document,) = read(page.encode(), "a.html")
    assert len(document.text) < 500_000


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.odt"])
def test_pictures_are_counted_once_or_read_each(name: str) -> None:
    folder = {"a.docx": "word/media/", "a.pptx": "ppt/media/", "a.xlsx": "xl/media/", "a.odt": "Pictures/"}[name]
    large = picture_bytes(page_picture(["Words in a picture"]), "PNG")
    small = picture_bytes(page_picture(["x"]).resize((20, 20)), "PNG")
    pictures = {f"{folder}large.png": large, f"{folder}small.png": small, f"{folder}drawing.emf": b"\x01\0\0\0"}
    with zipfile.ZipFile(io.BytesIO(SAMPLES[name])) as archive:
        parts = {part: archive.read(part) for part in archive.namelist() if "media" not in part}
    data = zipped({**parts, **pictures})
    _, left_out = read(data, name)
    assert isinstance(left_out, LeftOut)
    assert (left_out.rule, left_out.size) == ("pictures", sum(map(len, pictures.values())))
    assert left_out.detail == "3 pictures inside of it, and embedded_pictures is off"
    document, *rest = read(data, name, ReadSettings(embedded_pictures=True))
    assert isinstance(document, Document)
    assert document.member is None
    by_name = {part.member: part for part in rest}
    assert set(by_name) == set(pictures)
    read_one = by_name[f"{folder}large.png"]
    assert isinstance(read_one, Document)
    assert read_one.text == "Words in a picture"
    assert (by_name[f"{folder}small.png"].rule, by_name[f"{folder}drawing.emf"].rule) == ("icon", "unsupported")


def test_a_file_of_pictures_alone() -> None:
    picture = picture_bytes(page_picture(["Scanned into a letter"]), "PNG")
    data = docx("", extra={"word/media/image1.png": picture})
    with pytest.raises(DroppedFile, match="no text in it but 1 picture, and embedded_pictures is off"):
        read(data, "a.docx")
    with pytest.raises(DroppedFile, match="no text in it but 1 picture, and recognition of text is off"):
        read(data, "a.docx", ReadSettings(embedded_pictures=True, ocr=False))
    (document,) = read(data, "a.docx", ReadSettings(embedded_pictures=True))
    assert isinstance(document, Document)
    assert (document.text, document.member) == ("Scanned into a letter", "word/media/image1.png")
    with pytest.raises(DroppedFile, match="no text"):
        read(docx(""), "a.docx")


def test_office_files_in_an_archive_are_members() -> None:
    parts = read(zipped(dict(SAMPLES)), "all.zip")
    documents = {part.member: part for part in parts if isinstance(part, Document)}
    assert set(documents) == set(SAMPLES)
    assert all(documents[name].size == len(data) for name, data in SAMPLES.items())
    assert [part.member for part in parts if isinstance(part, LeftOut)] == ["a.docx!(pictures)"]


def test_pictures_at_the_deepest_level_are_accounted_for() -> None:
    inner = zipped({"a.docx": SAMPLES["a.docx"]})
    chosen = ReadSettings(max_depth=1, embedded_pictures=True)
    document, left_out = read(inner, "one.zip", chosen)
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert left_out.rule == "too-deep"


def test_reading_twice_gives_the_same() -> None:
    for name, data in SAMPLES.items():
        assert read(data, name) == read(data, name)


def test_broken_slides_and_sheets_leave_the_others() -> None:
    data = repacked(pptx([shape("One"), shape("Two")]), "ppt/slides/slide1.xml", b"<broken")
    document, left_out = read(data, "a.pptx")
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert (document.text, [span.page for span in document.pages]) == ("Two", [2])
    assert (left_out.member, left_out.outcome, left_out.rule) == ("slide 1", "failed", "damaged")
    book = xlsx({"A": '<x:sheetData><x:row r="1"><x:c><x:v>1</x:v></x:c></x:row>', "B": "<x:sheetData/>"})
    document, left_out = read(book, "a.xlsx")
    assert isinstance(left_out, LeftOut)
    assert (left_out.member, left_out.outcome) == ("sheet A", "failed")
    assert "broken after 1 row" in left_out.detail


@pytest.mark.parametrize(
    ("name", "opening", "inner", "closing", "times"),
    [
        ("a.docx", "<w:sdt>", paragraph("x"), "</w:sdt>", 240),
        ("a.docx", "<w:tbl><w:tr><w:tc>", paragraph("x"), "</w:tc></w:tr></w:tbl>", 80),
        ("a.docx", "<w:p><w:r><w:txbxContent>", paragraph("x"), "</w:txbxContent></w:r></w:p>", 80),
        ("a.docx", "<w:p><m:oMath><m:sSup><m:e>", "<m:t>x</m:t>", "</m:e></m:sSup></m:oMath></w:p>", 60),
        ("a.pptx", "<p:grpSp>", shape("x"), "</p:grpSp>", 240),
        ("a.odt", "<text:list><text:list-item>", "<text:p>x</text:p>", "</text:list-item></text:list>", 120),
        ("a.odt", "<text:p><draw:frame><draw:text-box>", "x", "</draw:text-box></draw:frame></text:p>", 80),
    ],
)
def test_nesting_as_deep_as_the_parser_allows(name: str, opening: str, inner: str, closing: str, times: int) -> None:
    make = {"a.docx": docx, "a.pptx": lambda body: pptx([body]), "a.odt": lambda body: odf("text", body)}[name]
    survive(make(opening * times + inner + closing * times), name)


def test_a_prefix_that_is_declared_nowhere_is_no_part_of_a_name() -> None:
    with pytest.raises(ReadError, match="prefix m"):
        parse_xml(b"<m:a/>", "a.xml")
    # More than a hundred of them, and an attribute in a namespace that is: lxml forgets the error.
    many = b"<m:a>" + 60 * b"<m:b><m:c/></m:b>" + b"<m:c xml:space=''/></m:a>"
    assert {element.tag for element in parse_xml(many, "a.xml").iter()} == {"a", "b", "c"}


def test_a_picture_that_breaks_off_without_a_word_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = picture_bytes(page_picture(["Letters"]), "PNG")
    data = docx(paragraph("One."), extra={"word/media/p.png": picture})
    unpacked = zipfile.ZipExtFile.read

    def breaks_off(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        if self.name.endswith(".png"):
            raise EOFError
        return unpacked(self, n)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", breaks_off)
    _, left_out = read_bytes(data, "a.docx", ReadSettings(embedded_pictures=True))
    assert isinstance(left_out, LeftOut)
    assert (left_out.member, left_out.outcome, left_out.detail) == ("word/media/p.png", "failed", "EOFError")
