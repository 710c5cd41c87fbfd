from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.pictures import page_picture, picture_bytes
from quire.documents.formats.normal_form import normal
from quire.documents.read import READERS, DroppedFile, read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=1)


@given(TEXT.filter(lambda text: not text.isspace()), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_code_keeps_every_character_and_text_has_one_form(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    for name, kept in (("a.py", text), ("a.txt", normal(text))):
        if not kept.strip():
            continue  # of soft hyphens alone
        (document,) = read_bytes(data, name, DEFAULT)
        assert document.text == kept
        assert (document.pages[0].start, document.pages[-1].end, document.pages[0].page) == (0, len(kept), None)
        if kept == text:
            (span,) = document.pages
            assert data[span.byte_start : span.byte_end].decode(encoding.replace("utf-16", "utf-16-le")) == text


def test_code_says_its_language_licence_and_hash(tmp_path: Path) -> None:
    code = "#!/bin/sh\n# SPDX-License-Identifier: MIT OR Apache-2.0\n\n\n\tindented\n"
    path = tmp_path / "run"
    path.write_text(code)
    (document,) = read_file(path, "bin/run", DEFAULT)
    assert (document.text, document.source, document.member) == (code, "bin/run", None)
    assert (document.media_type, document.language) == ("text/x-shellscript", "Shell")
    assert document.license == "MIT OR Apache-2.0"
    assert document.sha256 == hashlib.sha256(code.encode()).hexdigest()


@pytest.mark.parametrize(
    "line",
    ["/* SPDX-License-Identifier: MIT */", "<!-- SPDX-License-Identifier: MIT -->", "// SPDX-License-Identifier: MIT"],
)
def test_licence_without_the_end_of_its_comment(line: str) -> None:
    assert read_bytes(line.encode(), "a.c", DEFAULT)[0].license == "MIT"


@pytest.mark.parametrize(
    ("stated", "license"),
    [
        ("GPL-2.0+ */ a { b: c }", "GPL-2.0+"),
        ("MIT-->", "MIT"),
        ("(MIT OR Apache-2.0) AND BSD-3-Clause *)", "(MIT OR Apache-2.0) AND BSD-3-Clause"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("((MIT)AND(ISC))", "((MIT)AND(ISC))"),
        ("LicenseRef-Ours AND DocumentRef-a:LicenseRef-b", "LicenseRef-Ours AND DocumentRef-a:LicenseRef-b"),
        ("MIT. See LICENSE", "MIT"),
        ("MIT, or so", "MIT"),
        ('MIT"', "MIT"),
        ('" + spdx)', None),
        ("<see LICENSE>", None),
        ("the licence of the project", None),
        ("(MIT", None),
        ("MIT OR", None),
        ("MIT OR OR ISC", None),
        ("(MIT OR ISC) WITH Classpath-exception-2.0", None),
        ("WITH", None),
        ("", None),
        ("nothing here\n# SPDX-License-Identifier: ISC", "ISC"),
    ],
)
def test_a_licence_is_what_the_grammar_of_its_expressions_allows(stated: str, license: str | None) -> None:
    (document,) = read_bytes(f"# SPDX-License-Identifier: {stated}\n".encode(), "a.py", DEFAULT)
    assert document.license == license


@pytest.mark.parametrize(
    ("name", "data", "rule", "detail"),
    [
        ("a.txt", b"", "empty", "0 bytes"),
        ("a.py", b" \n\t\n", "empty", "white space"),
        ("a.bin", b"\1\0\2", "binary", "NUL byte at offset 1"),
        ("a.txt", b"words\0", "binary", "NUL byte at offset 5"),
        ("a.doc", b"\xd0\xcf\x11\xe0words", "unsupported", "save it as .docx"),
        ("a.XLS", b"\xd0\xcf\x11\xe0words", "unsupported", "save it as .xlsx"),
        ("a.mobi", b"words", "unsupported", ".mobi"),
        ("a.7z", b"7z", "unsupported", ".7z"),
        ("download", b"Rar!\x1a", "unsupported", "archive"),
        ("a.html", b"<script>var only = 1</script>", "no-text", "visible"),
    ],
)
def test_dropped_with_a_rule_and_a_reason(name: str, data: bytes, rule: str, detail: str) -> None:
    with pytest.raises(DroppedFile) as dropped:
        read_bytes(data, f"folder/{name}", DEFAULT)
    assert dropped.value.rule == rule
    assert detail in dropped.value.detail


def test_a_picture_is_dropped_where_recognition_is_off() -> None:
    data = picture_bytes(page_picture(["Words"]), "PNG")
    with pytest.raises(DroppedFile, match="recognition of text is off"):
        read_bytes(data, "a.png", ReadSettings(ocr=False))


def test_size_is_checked_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with open(path, "wb") as file:
        file.truncate(2**40)  # a hole: it takes no room, and would take 1 TiB of memory to read
    with pytest.raises(DroppedFile, match="too-large: 1,099,511,627,776 bytes, more than max_file_bytes"):
        read_file(path, "huge.txt", DEFAULT)


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"sub/gone\.txt: cannot be opened"):
        read_file(tmp_path / "gone.txt", "sub/gone.txt", DEFAULT)


@pytest.mark.parametrize(("name", "data"), [("sub/a.pdf", b"<html>404</html>"), ("sub/a.png", b"<html>404</html>")])
def test_a_name_that_promises_something_else_is_an_error(name: str, data: bytes) -> None:
    with pytest.raises(ReadError, match=name):
        read_bytes(data, name, DEFAULT)


def test_importing_the_readers_loads_no_engine() -> None:
    heavy = "pypdfium2 rapidocr cv2 PIL resiliparse numpy onnxruntime torch pathspec"
    code = f"import sys, quire.documents.read, quire.documents.walk; print(*set({heavy.split()}) & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""
    assert set(READERS) >= {"text", "code", "pdf", "image", "html", "archive", "table", "json", "json-lines"}


def test_blanks_after_a_licence_take_no_time() -> None:
    for end, license in (("*/", "MIT"), ("x", None)):
        line = f"// SPDX-License-Identifier: MIT{' ' * 4800}{end}\n"
        (document,) = read_bytes(line.encode(), "a.c", DEFAULT)
        assert document.license == license
