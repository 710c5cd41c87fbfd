from __future__ import annotations

import pytest

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
    ],
)
def test_kind_by_content_then_name(name: str, data: bytes, reader: str, media_type: str) -> None:
    assert kind_of(name, data)[:2] == (reader, media_type)
