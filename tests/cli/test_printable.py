"""What others wrote reaches the terminal as letters, never as commands to it."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from quire.cli.main import app
from quire.cli.printable import printable


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left_and_letters_stay(text):
    told = printable(text)
    assert not any(unicodedata.category(char) == "Cc" for char in told)
    assert printable(told) == told
    assert printable(text, keep="\n").count("\n") == text.count("\n")
    if text.isprintable():
        assert told == text


def test_names_of_files_are_told_and_not_obeyed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.txt").write_text("The quick brown fox jumps over the lazy dog.\n")
    (folder / "a\x1b]0;pwn\x07\nb.pdf").write_bytes(b"%PDF-1.4 broken")
    result = CliRunner().invoke(app, ["ingest", "in", "--out", "corpus", "--workers", "1"])
    assert result.exit_code == 0
    assert "\\x1b]0;pwn\\x07\\x0ab.pdf" in result.stdout
    assert "\x1b" not in result.stdout
    shown = CliRunner().invoke(app, ["show", "in/a\x1b]0;pwn\x07\nb.pdf"])
    assert "\x1b" not in shown.stdout + shown.stderr
