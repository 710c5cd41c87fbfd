from __future__ import annotations

import pytest

from quire.documents.document import DroppedFile
from quire.documents.kinds import kind_of
from quire.documents.languages import BY_NAME, MEDIA_TYPES, language_of


def test_knows_more_than_sixty_languages_each_with_a_media_type() -> None:
    assert len(set(BY_NAME.values())) >= 60
    assert set(BY_NAME.values()) <= set(MEDIA_TYPES)
    assert all(name == name.lower() for name in BY_NAME if name.startswith("."))  # looked up in lower case


@pytest.mark.parametrize(
    ("name", "text", "language"),
    [
        ("a.py", "", "Python"),
        ("A.PY", "", "Python"),
        ("a.rs", "", "Rust"),
        ("Makefile", "", "Makefile"),
        ("CMakeLists.txt", "", "CMake"),
        ("tool", "#!/usr/bin/env python3\n", "Python"),
        ("tool", "#!/usr/bin/python3.11 -u\n", "Python"),
        ("tool", "#!/usr/bin/env -S FOO=1 node --harmony\n", "JavaScript"),
        ("tool", "#!/bin/sh\n", "Shell"),
        ("tool", "#! /usr/bin/perl -w\r\n", "Perl"),
        ("tool", "not #!/bin/sh\n", None),
        ("README", "Words.\n", None),
        ("a.h", "int f(void);\n", "C"),
        ("a.h", "namespace a { class B; }\n", "C++"),
        ("a.h", "#import <UIKit/UIKit.h>\n@interface Pond : NSObject\n@end\n", "Objective-C"),
        ("a.m", "x = 1;\n", "MATLAB"),
        ("a.m", "#import <Foundation/Foundation.h>\n", "Objective-C"),
        ("a.v", "module m;\nendmodule\n", "Verilog"),
        ("a.v", "Theorem t : True.\n", "Coq"),
    ],
)
def test_language_by_name_first_line_and_rivals(name: str, text: str, language: str | None) -> None:
    assert language_of(name, text) == language


@pytest.mark.parametrize(
    ("name", "data", "reader", "media_type"),
    [
        ("a.txt", b"words", "text", "text/plain"),
        ("CMakeLists.txt", b"project(pond)\n", "code", "text/x-cmake"),
        ("a.md", b"# Title", "text", "text/markdown"),
        ("a.rst", b"Title\n=====", "text", "text/x-rst"),
        ("a.tex", b"\\section{A}", "text", "text/x-tex"),
        ("a.xyz", b"words", "text", "text/plain"),
        ("a", b"\n<!DOCTYPE html>\n<p>words", "html", "text/html"),
        ("a.htm", b"<p>words", "html", "text/html"),
        ("a.txt", b"%PDF-1.7\n", "pdf", "application/pdf"),
        ("a.pdf", b"\n" * 1000 + b"%PDF-1.7\n", "pdf", "application/pdf"),
        ("a.jpg", b"\x89PNG\r\n\x1a\n", "image", "image/png"),
        ("a.txt", b"BMW and BMP both begin so", "text", "text/plain"),
        ("paper.doc", b"%PDF-1.7\n", "pdf", "application/pdf"),
        ("book.mobi", b"%PDF-1.7\n", "pdf", "application/pdf"),
        ("IMG_1.heic", b"\xff\xd8\xff\xe0", "image", "image/jpeg"),
        ("pic.ico", b"\x89PNG\r\n\x1a\n", "image", "image/png"),
        ("a.doc", b"just words", "text", "text/plain"),
        ("a.xls", b"\xef\xbb\xbf<html><table>", "html", "text/html"),
        ("a.xls", b"\n<table><tr><td>words", "html", "text/html"),
        ("a.doc", b"<?xml version='1.0'?><w:wordDocument>", "xml", "application/xml"),
        ("a.doc", b"MIME-Version: 1.0\nFrom: a@example.org\nSubject: b\n\nc", "mail", "message/rfc822"),
        ("a.7z", b"PK\x03\x04", "archive", "application/zip"),
        ("a.pdf", b"PK\x03\x04", "archive", "application/zip"),
        ("a.txt", b"\x1f\x8b\x08", "archive", "application/gzip"),
        ("a.csv", b"SQLite format 3\0", "sqlite", "application/vnd.sqlite3"),
        ("a.txt", b"x" * 257 + b"ustar is in the header of a tar", "text", "text/plain"),
    ],
)
def test_kind_by_content_then_name(name: str, data: bytes, reader: str, media_type: str) -> None:
    assert kind_of(name, data)[:2] == (reader, media_type)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "an archive of a kind not read, by its first bytes"),
        ("a.zip", b"Rar!\x1a\x07\x00", "an archive of a kind not read, by its first bytes"),
        ("a.zst", b"\x28\xb5\x2f\xfd", "an archive of this kind (.zst) is not read yet"),
        ("a.pages", b"PK\x03\x04", "a word processor file of a kind not read; save it as .docx (.pages)"),
        ("a.doc", b"{\\rtf1 words}", "a word processor file of a kind not read; save it as .docx (.doc)"),
        ("._a.txt", b"\0\5\x16\7", "what macOS keeps beside a file, by its first bytes"),
    ],
)
def test_what_is_not_read_says_so_once(name: str, data: bytes, why: str) -> None:
    with pytest.raises(DroppedFile) as dropped:
        kind_of(name, data)
    assert (dropped.value.rule, dropped.value.detail) == ("unsupported", why)


@pytest.mark.parametrize("name", ["a.h", "a.m", "a.pl", "a.v"])
@pytest.mark.parametrize("filling", ["\n", " \n", "\r\n", "x(\n", "x())\n", " "])
def test_rivals_are_told_apart_in_a_time_that_grows_with_the_length(name: str, filling: str) -> None:
    """Found by fuzzing: 56 KB of empty lines took 12 s, and these 2 MB would take hours."""
    assert language_of(name, filling * (2_000_000 // len(filling))) == BY_NAME[name[1:]]
