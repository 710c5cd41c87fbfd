"""Sound files of every format that quire reads, small and made in code, for benchmarks/fuzz.py to break."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # for the fixtures, imported where they are used

PASSWORD = "secret"
"""Opens the seeds that are locked."""

PROSE = "It rained all night, and in the morning the whole street was a river of leaves."

Seeds = list[tuple[str, bytes]]


@functools.cache
def seeds(reader: str) -> Seeds:
    """Return files that `reader` takes, with their names; the same bytes in every process."""
    return _MAKERS[reader]()


def tokens(reader: str) -> Sequence[bytes]:
    """Return pieces that mean something in the formats of `reader`."""
    return _TOKENS.get(reader, ()) or (_MARKUP if reader in _OF_MARKUP else (b"\0",))


def _text() -> Seeds:
    markdown = f"# Title\n\n{PROSE}\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    return [
        ("a.txt", f"{PROSE}\r\n\r\nÜber {PROSE}\f€ ﬁ\u00ad".encode()),
        ("a.txt", f"{PROSE} ü€".encode("utf-16")),
        ("a.log", f"Größe, naïve façade. {PROSE}".encode("cp1252")),
        ("a.txt", "日本語の文章です。これは試験です。".encode("shift_jis")),
        ("a.md", markdown.encode()),
        ("a.rst", f"Title\n=====\n\n{PROSE}::\n\n   code\n".encode()),
        ("a.tex", f"\\documentclass{{article}}\\begin{{document}}{PROSE} $x^2$ % c\n\\end{{document}}".encode()),
    ]


def _code() -> Seeds:
    return [
        ("a.py", b'#!/usr/bin/env python3\n# SPDX-License-Identifier: MIT OR Apache-2.0\n\n\ndef f():\n\treturn "x"\n'),
        ("a.c", b"/* SPDX-License-Identifier: BSD-3-Clause */\r\nint main(void) { return 0; }\r\n"),
        ("a.m", b"#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end\n"),
        ("a.html.j2", "{% if ü %}<p>{{ x }}</p>{% endif %}".encode()),
        ("Makefile", b"all:\n\tcc -o a a.c\n"),
    ]


def _pdf() -> Seeds:
    from reportlab.pdfgen.canvas import Canvas

    from fixtures.pdfs import claiming, pdf, printed, scanned
    from fixtures.pictures import page_picture

    def columns(canvas: Canvas) -> None:
        for number in range(12):
            canvas.drawString(30, 500 - 14 * number, f"left words {number} of the riv-")
            canvas.drawString(230, 500 - 14 * number, f"right words {number} and on")
        canvas.rotate(30)
        canvas.drawString(200, 100, "turned")

    def answers(canvas: Canvas) -> None:
        canvas.drawString(30, 500, "A form")
        canvas.acroForm.textfield(value="an answer", name="a", tooltip="Asked", x=40, y=400)
        canvas.acroForm.choice(value="G", name="b", options=[("Red", "R"), ("Green", "G")], x=40, y=340)
        canvas.acroForm.checkbox(checked=True, name="c", tooltip="Ticked", x=40, y=280)
        canvas.textAnnotation("A note", Rect=[40, 200, 60, 220])

    lines = ["A running head", *[f"{PROSE[:50]} {number}" for number in range(4)], "7"]
    return [
        ("a.pdf", pdf([printed(lines), printed([*lines[:-1], "8"]), printed([*lines[:-1], "9"])])),
        ("a.pdf", pdf([columns])),
        ("a.pdf", pdf([answers])),
        ("a.pdf", claiming("abc", {"a": "A", "b": "ﬁ", "c": "\u00ad"})),
        ("a.pdf", pdf([printed(lines)], password=PASSWORD)),
        ("a.pdf", pdf([scanned(page_picture(["Letters"], dpi=72, inches=(1.5, 0.5)), "stamp"), printed(lines)])),
    ]


def _image() -> Seeds:
    from PIL import Image

    from fixtures.pictures import page_picture, picture_bytes

    page = page_picture(["Words"], dpi=72, inches=(1.4, 0.6))
    turned = Image.Exif()
    turned[0x0112] = 6
    many = {"save_all": True, "append_images": [page.rotate(180), page]}
    return [
        ("a.png", picture_bytes(page, "PNG")),
        ("a.png", picture_bytes(page.convert("RGBA"), "PNG")),
        ("a.png", picture_bytes(page.convert("P"), "PNG")),
        ("a.png", picture_bytes(page.convert("I;16"), "PNG")),
        ("a.jpg", picture_bytes(page, "JPEG", exif=turned)),
        ("a.jpg", picture_bytes(page.convert("CMYK"), "JPEG", progressive=True)),
        ("a.tif", picture_bytes(page, "TIFF", compression="tiff_lzw", **many)),
        ("a.tif", picture_bytes(page.convert("1"), "TIFF", compression="group4")),
        ("a.tif", picture_bytes(page.convert("F"), "TIFF")),
        ("a.gif", picture_bytes(page, "GIF", **many)),
        ("a.webp", picture_bytes(page.convert("RGB"), "WEBP", lossless=True)),
        ("a.bmp", picture_bytes(page, "BMP")),
    ]


def _html() -> Seeds:
    from fixtures.office import samples

    table = "<table><tr><th colspan=2>h<tr><td>a<td rowspan=3><table><tr><td>in</table></table>"
    page = (
        f'<html><head><meta charset="iso-8859-1"></head><body><!-- c --><nav><a href="/x">menu</a></nav>'
        f"<p hidden>no</p>{table}<pre><code class='lang-c'>x &lt; 1</code></pre><p>{PROSE} &amp;&#252;&#xfc;&nbsp;</p>"
        "<math><msup><mi>x</mi><mn>2</mn></msup></math><script>x = '</p>';</script><dl><dt>t<dd>d</dl></body></html>"
    )
    return [("a.html", samples()["a.html"]), ("a.htm", page.encode("latin-1")), ("a.xhtml", page.encode("utf-16"))]


def _docx() -> Seeds:
    from fixtures.office import docx, paragraph, samples

    odd = (
        '<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:hyperlink r:id="rId7"><w:r><w:t>link</w:t></w:r>'
        "</w:hyperlink><m:oMath><m:f><m:num><m:r><m:t>1</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>"
        "</m:oMath><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p>"
        '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/><w:vMerge w:val="restart"/></w:tcPr>'
        f"{paragraph('a')}</w:tc></w:tr></w:tbl>"
    )
    links = [("rId7", "hyperlink", "https://example.com/")]
    return [("a.docx", samples()["a.docx"]), ("a.docm", docx(odd, links=links, extra=_pictures("word/media/")))]


def _pptx() -> Seeds:
    from fixtures.office import chart, pptx, samples, shape

    frame = (
        '<p:graphicFrame><a:graphic><a:graphicData><a:tbl><a:tr><a:tc gridSpan="2"><a:txBody><a:p>'
        "<a:r><a:t>a</a:t></a:r></a:p></a:txBody></a:tc>"
        '</a:tr></a:tbl><c:chart r:id="rId5"/></a:graphicData></a:graphic></p:graphicFrame>'
    )
    drawn = {"ppt/charts/chart1.xml": chart("Rain", ["May", "June"], {"mm": [1.5, 2]}), **_pictures("ppt/media/")}
    related = {1: [("rId5", "chart", "../charts/chart1.xml"), ("rId6", "notesSlide", "../notesSlides/n1.xml")]}
    deck = pptx([shape("One") + frame, shape("Two")], hidden=[2], related=related, extra=drawn)
    return [("a.pptx", samples()["a.pptx"]), ("a.ppsx", deck)]


def _xlsx() -> Seeds:
    from fixtures.office import samples, xlsx

    cells = "".join(
        f'<x:row r="{row}"><x:c r="A{row}" s="{row % 4}"><x:f>A1+1</x:f><x:v>{row * 1.25}</x:v></x:c>'
        f'<x:c r="C{row}" t="b"><x:v>1</x:v></x:c><x:c r="D{row}" t="e"><x:v>#DIV/0!</x:v></x:c></x:row>'
        for row in range(1, 9)
    )
    formats = ("0.00%", "[h]:mm", "# ?/?", "yyyy-mm-dd &quot;x&quot;")
    styles = "".join(f'<x:numFmt numFmtId="{164 + n}" formatCode="{code}"/>' for n, code in enumerate(formats))
    used = "".join(f'<x:xf numFmtId="{164 + n}"/>' for n in range(len(formats)))
    written = f"<x:numFmts>{styles}</x:numFmts><x:cellXfs>{used}</x:cellXfs>"
    sheets = {"One": f"<x:sheetData>{cells}</x:sheetData>", "Two": "<x:sheetData/>"}
    return [("a.xlsx", samples()["a.xlsx"]), ("a.xlsm", xlsx(sheets, styles=written, states={"Two": "hidden"}))]


def _odf() -> Seeds:
    from fixtures.office import flat_odf, samples

    body = (
        '<text:p>a<text:s text:c="3"/>b<text:tab/><text:span>c</text:span><text:line-break/>'
        '<text:a xlink:href="https://example.com">d</text:a></text:p><table:table><table:table-row><table:table-cell '
        'table:number-rows-spanned="2" office:value="1.5"><text:p>1.5</text:p></table:table-cell></table:table-row>'
        "</table:table>"
    )
    made = samples()
    return [*((name, made[name]) for name in ("a.odt", "a.ods", "a.odp")), ("a.fodt", flat_odf("text", body).encode())]


def _epub() -> Seeds:
    from fixtures.office import epub, samples

    cover = '<item id="p" href="images/p.png" media-type="image/png"/>'
    extra = _pictures("OEBPS/images/")
    book = epub({"b.xhtml": f"<h2>Part</h2><p>{PROSE}</p><img src='images/p.png'/>"}, manifest=cover, extra=extra)
    return [("a.epub", samples()["a.epub"]), ("a.epub", book)]


def _archive() -> Seeds:
    from fixtures.office import samples, zipped

    files: dict[str, str | bytes] = {
        "notes/a.txt": PROSE,
        "../b.csv": "id,text\n1,words\n2,more words\n",
        "c.docx": samples()["a.docx"],
        "d.json": '{"text": "words"}',
    }
    inner = zipped(files)
    plain = zipped({**files, "e.zip": inner, "f.txt.gz": gzip.compress(PROSE.encode(), mtime=0)}, zipfile.ZIP_STORED)
    tar = _tar({**files, "g.tar.xz": lzma.compress(_tar({"h.txt": PROSE}))})
    return [
        ("a.zip", inner),
        ("a.zip", plain),
        ("a.tar", tar),
        ("a.tar.gz", gzip.compress(tar, mtime=0)),
        ("a.tar.bz2", bz2.compress(tar)),
        ("a.tar.xz", lzma.compress(tar)),
        ("a.txt.gz", gzip.compress(PROSE.encode(), mtime=0)),
    ]


def _mail() -> Seeds:
    from fixtures.mails import message
    from fixtures.office import zipped

    attached = [("a.txt", PROSE.encode()), ("ü.zip", zipped({"b.txt": PROSE})), ("c.eml", _mail_bytes(message("in")))]
    rich = message(f"{PROSE} ü", html=f"<p>{PROSE}</p>", attachments=attached, subject="Über den Fluß €")
    page = message(None, html=f"<h1>Page</h1><p>{PROSE}</p>")
    return [
        ("a.eml", _mail_bytes(rich)),
        ("a.eml", _mail_bytes(message(f"Größe {PROSE}", charset="iso-8859-1"))),
        ("a.mht", _mail_bytes(page)),
    ]


def _mailbox() -> Seeds:
    from fixtures.mails import mailbox_bytes, message

    messages = [data for _, data in _mail()[:2]]
    return [("a.mbox", mailbox_bytes([*messages, _mail_bytes(message(f"{PROSE}\nFrom here on\n>From there"))]))]


def _notebook() -> Seeds:
    printed = [
        {"output_type": "stream", "name": "stdout", "text": ["1\n", "2\n"]},
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<b>x</b>", "image/png": "iVBORw0KGgo="}},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m"]},
    ]
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", PROSE]},
        {"cell_type": "code", "metadata": {}, "source": "x = '```'", "execution_count": 1, "outputs": printed},
        {"cell_type": "raw", "metadata": {}, "source": []},
    ]
    info = {"language_info": {"name": "python"}, "kernelspec": {"name": "python3", "display_name": "P"}}
    new = {"nbformat": 4, "nbformat_minor": 5, "metadata": info, "cells": cells}
    sheets = [{"cells": [{"cell_type": "code", "input": ["x = 1"], "outputs": [], "language": "python"}]}]
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": sheets}
    return [("a.ipynb", json.dumps(content, indent=1).encode()) for content in (new, old)]


def _xml() -> Seeds:
    house = (
        f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY co "the company">]><d><p a="b">{PROSE} <hi>ü</hi> &co;</p>'
        "<![CDATA[x]]><row><c>1</c><c>2</c></row><!-- c --><?pi x?><pre>  x\n</pre></d>"
    )
    feed = (
        '<?xml version="1.0"?><rss version="2.0"><channel><title>News</title><item><title>One</title>'
        f"<description>&lt;p&gt;{PROSE}&lt;/p&gt;</description></item></channel></rss>"
    )
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg"><title>T</title><text x="1">{PROSE}</text></svg>'
    return [("a.xml", house.encode()), ("a.rss", feed.encode()), ("a.xml", drawing.encode("utf-16"))]


def _rows() -> Seeds:
    from quire.documents.formats.rows import write_rows

    rows = [(str(number), f"{PROSE} {number}" if number % 3 else "") for number in range(8)]
    return [("notes", _written(lambda path: write_rows(path, ["body"], 3, rows)))]


def _sqlite() -> Seeds:
    from fixtures.databases import database, notes

    odd = (
        "CREATE TABLE w (k TEXT PRIMARY KEY, text) WITHOUT ROWID",
        f"INSERT INTO w VALUES ('a', '{PROSE}'), ('b', x'ff00'), ('c', NULL), ('d', '{PROSE} Again.')",
        "CREATE VIRTUAL TABLE f USING fts5(body)",
        f"INSERT INTO f VALUES ('{PROSE}')",
        "CREATE VIEW v AS SELECT body FROM f",
        "CREATE INDEX i ON w (text)",
        f"CREATE TABLE long AS SELECT '{PROSE * 100}' AS text",
    )
    return [
        ("a.db", _written(lambda path: notes(path, 60))),
        ("a.sqlite", _written(lambda path: database(path, *odd))),
        ("a.db", _written(lambda path: database(path, "PRAGMA encoding='UTF-16'", *odd[:2]))),
    ]


def _table() -> Seeds:
    rows = "".join(f'{number},"{PROSE} ""{number}""\nmore","x;y"\r\n' for number in range(6))
    tabs = "".join(f"{number}\t{PROSE}\t{number / 3}\n" for number in range(6))
    return [
        ("a.csv", f"id,text,note\r\n{rows}".encode()),
        ("a.tsv", f"id\tbody\tx\n{tabs}".encode("utf-16")),
        ("a.csv", f"sep=;\nid;größe\n{tabs.replace(chr(9), ';')}".encode("cp1252")),
    ]


def _json() -> Seeds:
    records = [{"id": n, "text": f"wörds {n} \ud83d\ude00 {PROSE}", "more": [1, {"a": None}]} for n in range(4)]
    nested = {"data": {"posts": records}, "x": [1e9, -0.5, True, "\\u00fc"]}
    return [("a.json", json.dumps(content, ensure_ascii=True).encode()) for content in (records, nested, records[0])]


def _json_lines() -> Seeds:
    records = [{"post": {"body": f"{PROSE} {n} ü"}, "tags": ["a", n], "n": n / 7} for n in range(5)]
    lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    return [("a.jsonl", lines.encode()), ("a.ndjson", f"\ufeff{lines}\r\n\r\n".encode())]


_MAKERS: Mapping[str, Callable[[], Seeds]] = {
    "text": _text,
    "code": _code,
    "pdf": _pdf,
    "image": _image,
    "html": _html,
    "docx": _docx,
    "pptx": _pptx,
    "xlsx": _xlsx,
    "odf": _odf,
    "epub": _epub,
    "archive": _archive,
    "mail": _mail,
    "mailbox": _mailbox,
    "notebook": _notebook,
    "xml": _xml,
    "rows": _rows,
    "sqlite": _sqlite,
    "table": _table,
    "json": _json,
    "json-lines": _json_lines,
}

_OF_MARKUP = frozenset(("html", "docx", "pptx", "xlsx", "odf", "epub", "xml"))
_MARKUP = (
    *(b"<", b">", b"</", b"<a>", b"<p>", b"<div>", b"<table>", b"<td>", b"<ul><li>", b"</p>", b"]]>", b"<![CDATA["),
    *(b"<!--", b"<!ENTITY x 'y'>", b"&x;", b"&#0;", b"&#xd800;", b"&#x110000;", b"<?x?>", b'"', b"<w:tbl>", b"<w:p>"),
    *(b'r="XFD1048576"', b'colspan="99999"', b'rowspan="99999"', b'table:number-columns-repeated="1048576"', b"xmlns"),
)
_PDF = (
    *(b"<<", b">>", b"[", b"(", b"stream\n", b"endstream", b"endobj", b"1 0 obj", b"2 0 R", b"xref", b"q ", b"Q "),
    *(b"/Kids [2 0 R]", b"/Parent 3 0 R", b"/Count 99999999", b"/Length -1", b"/Filter /FlateDecode", b"/Rotate 90"),
    *(b"/Prev 0", b"(x) Tj ", b"BT ", b"1e38 0 0 1e38 0 0 cm ", b"/UserUnit 1e9", b"/MediaBox [0 0 1e9 1e9]", b"%%EOF"),
)
_JSON = (b'"', b"{", b"[", b"}", b"]", b",", b":", b"\\u", b"\\ud800", b"1e999", b"-", b"null", b'{"a":', b"NaN", b"\n")
_MAIL = (
    *(b"\r\n", b"\r\n\r\n", b"--", b"=?utf-8?b?", b"=?x?q?=?=", b"From ", b"From a Tue Jul  2 12:03:44 2002\n", b"="),
    *(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", b"charset=rot13", b"charset*0*=utf-8''%ff", b"("),
    *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"@", b"begin 644 a\n"),
)
_TOKENS: Mapping[str, Sequence[bytes]] = {
    "text": (b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b$B", b"\xed\xa0\x80", b"\r", b"\f", b"\xc2\xad", b"\x85"),
    "code": (b"\0", b"\xff\xfe", b"SPDX-License-Identifier: ", b"*/", b" " * 99, b"\t", b"\r"),
    "pdf": _PDF,
    "image": (b"\0", b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"IDAT", b"tEXt", b"\xff\xff\xff\xff", b"\x12\x01"),
    "archive": (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"../", b"/etc/x", bytes(512), b"\x1f\x8b\x08\0"),
    "mail": _MAIL,
    "mailbox": _MAIL,
    "notebook": _JSON,
    "json": _JSON,
    "json-lines": _JSON,
    "rows": (*_JSON, b'["1", "x"]\n', b"[1, 2, 3]\n"),
    "sqlite": (b"\0" * 8, b"\xff" * 9, b"\x0d", b"\x05", b"CREATE TABLE ", b"text", b"\x81" * 8, b"sqlite_"),
    "table": (b'"', b",", b";", b"\t", b"\n", b"\r", b'""', b'"\n"', b"\0", b"," * 999, b"sep=|\n"),
}


def _pictures(folder: str) -> dict[str, str | bytes]:
    from fixtures.pictures import page_picture, picture_bytes

    large = page_picture(["Words"], dpi=100, inches=(1.2, 1.1))
    return {f"{folder}p.png": picture_bytes(large, "PNG"), f"{folder}q.emf": b"\x01\0\0\0"}


def _tar(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    data = buffer.getvalue().rstrip(b"\0")  # tarfile fills up to 10 kB
    return data + bytes(-len(data) % 512 + 1024)


def _mail_bytes(mail: EmailMessage) -> bytes:
    for number, part in enumerate(mail.walk()):
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            part.set_boundary(f"===={number}====")  # else by chance
    return mail.as_bytes(policy=SMTP)


def _written(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed"
        write(path)
        return path.read_bytes()
