"""`quire chat` in a pipe, and at a terminal that the test holds the other end of."""

from __future__ import annotations

import codecs
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quire.cli.main import app
from quire.inference.conversation import Conversation, Template
from quire.inference.language import load
from quire.inference.settings import SamplingSettings

pty = pytest.importorskip("pty")

SHORT = ("--seed", "1", "--max-tokens", "12", "--backend", "torch")
SAMPLING = SamplingSettings(seed=1, max_tokens=12)


@pytest.fixture
def run(make_run: Callable[[int], Path]) -> Path:
    return make_run(512)


def chat(run: Path, typed: str | bytes, *words: str) -> tuple[int, str, str]:
    """Give lines to a conversation; return the exit code, stdout and stderr."""
    done = CliRunner().invoke(app, ["chat", str(run), *(words or SHORT)], input=typed)
    return done.exit_code, done.stdout, done.stderr


def answers(run: Path, *messages: str, template: str = "paragraphs", beginning: str = "") -> list[str]:
    """Return what the library answers."""
    conversation = Conversation(load(run, backend="torch"), Template.read(template), SAMPLING, beginning)
    return [conversation.take(message, _over(conversation, message)).answer for message in messages]


def _over(conversation: Conversation, message: str):  # type: ignore[no-untyped-def]
    stream = conversation.ask(message)
    stream.result()
    return stream


def test_each_line_of_a_pipe_is_a_message(run: Path) -> None:
    command = [sys.executable, "-m", "quire", "chat", str(run), *SHORT]
    done = subprocess.run(command, input=b"Good morning\n\nAnd then?\n", capture_output=True, check=False)
    first, second = answers(run, "Good morning", "And then?")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"{first}\n{second}\n", b"")


def test_the_last_line_needs_no_end_and_no_line_is_no_message(run: Path) -> None:
    assert chat(run, "Good morning")[:2] == (0, answers(run, "Good morning")[0] + "\n")
    assert chat(run, "") == (0, "", "")


def test_a_message_may_have_several_lines(run: Path) -> None:
    expected = answers(run, "one\ntwo\nthree")[0] + "\n"
    assert chat(run, "one\\\ntwo\\\nthree\n")[1] == expected
    assert chat(run, '"""one\ntwo\nthree"""\n')[1] == expected
    assert chat(run, '"""\none\ntwo\nthree\n"""\n')[1] == expected
    assert chat(run, '"""one\ntwo\nthree')[1] == expected
    assert chat(run, "one\\\ntwo\\\nthree\\")[1] == expected
    assert chat(run, '"""a"""\n')[1] == answers(run, "a")[0] + "\n"


def test_the_text_of_each_template(run: Path) -> None:
    for template, beginning in (("paragraphs", ""), ("plain", "Once "), ("Question: {message}\\nAnswer:", "")):
        words = (*SHORT, "--template", template, "--begin", beginning)
        code, out, _ = chat(run, "abc\nxyz\n/text\n", *words)
        first, second = answers(run, "abc", "xyz", template=template, beginning=beginning)
        text = {
            "paragraphs": f"abc\n\n{first}\n\nxyz\n\n{second}\n\n",
            "plain": f"Once abc{first}xyz{second}",
        }.get(template, f"Question: abc\nAnswer:{first}\nQuestion: xyz\nAnswer:{second}\n")
        assert (code, out) == (0, f"{first}\n{second}\n{text}\n")


def test_in_plain_text_the_model_may_begin(run: Path) -> None:
    (answer,) = answers(run, "", template="plain")
    assert answer


def test_in_plain_text_an_empty_line_lets_the_model_go_on(run: Path) -> None:
    words = (*SHORT, "--template", "plain")
    first, second = answers(run, "abc", "", template="plain")
    assert chat(run, "abc\n\n", *words)[1] == f"{first}\n{second}\n"


def test_retry_undo_and_reset(run: Path) -> None:
    code, out, err = chat(run, "abc\n/retry\n/undo\n/text\n/undo\nabc\nxyz\n/reset\n/text\n")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == answers(run, "abc")[0]
    assert lines[1] != lines[0]  # the seed goes on
    assert lines[-1] == ""
    assert "taken back: abc" in err
    assert "nothing to take back" in err


def test_settings_are_changed_and_shown(run: Path) -> None:
    code, out, _ = chat(run, '/set max_tokens 3\n/set top_p=0.5\n/set stop ["e"]\n/set seed none\nabc\n/settings\n')
    told = dict(line.split(maxsplit=1) for line in out.splitlines()[1:])
    assert code == 0
    assert len(out.splitlines()[0]) <= 3
    assert (told["max_tokens"], told["top_p"], told["seed"], told["stop"]) == ("3", "0.5", "none", "('e',)")
    code, out, _ = chat(run, "/settings\n", "--set", "top_k=5", "--temperature", "0")
    assert (code, "top_k                5" in out, "temperature          0" in out) == (0, True, True)


def test_a_conversation_is_saved_and_loaded(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    _, out, err = chat(run, f"abc\nxyz\n/save {file}\n/text\n", *SHORT, "--begin", "Hm.")
    first, second = answers(run, "abc", "xyz", beginning="Hm.")
    saved = json.loads(file.read_text())
    assert saved["turns"] == [{"message": "abc", "answer": first}, {"message": "xyz", "answer": second}]
    assert "2 turns written" in err
    text = out.split("\n", 2)[2]
    assert chat(run, "/text\n", *SHORT, "--load", str(file))[:2] == (0, text)
    assert chat(run, f"/load {file}\n/text\n")[:2] == (0, text)


def test_a_message_may_begin_with_a_stroke(run: Path) -> None:
    assert chat(run, "//etc\n")[1] == answers(run, "/etc")[0] + "\n"


def test_help_names_every_command(run: Path) -> None:
    code, out, _ = chat(run, "/help\n/quit\nabc\n")
    assert code == 0
    commands = ["help", "retry", "undo", "reset", "begin", "text", "set", "settings", "save", "load", "quit"]
    assert [line.split()[0] for line in out.splitlines() if line.startswith("/")] == [f"/{name}" for name in commands]
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize(
    ("typed", "words", "code", "said"),
    [
        ("/sing\n", (), 2, "there is no /sing"),
        ("/set top_p 7\n", (), 2, "top_p = 7: input should be less than or equal to 1"),
        ("/set\n", (), 2, "not of the form"),
        ("/set topp 1\n", (), 2, "unknown key 'topp'"),
        ("/set num_samples 2\n", (), 2, "one answer at a time"),
        ("/retry\n", (), 2, "no message"),
        ("/save\n", (), 2, "needs the name of a file"),
        ("/load no-such-file\n", (), 2, "no-such-file: no such file"),
        ("abc\n", ("--template", "chatml"), 2, "neither paragraphs nor plain"),
        ("abc\n", ("--backend", "abacus"), 2, "--backend: 'abacus' is not one of auto, native, torch"),
        ("abc\n", ("--weights", "int2"), 2, "int2"),
        (b"Gr\xf6\xdfe\n", (), 2, "standard input: not UTF-8"),
    ],
)
def test_what_is_wrong_ends_a_pipe(run: Path, typed: str | bytes, words: tuple[str, ...], code: int, said: str) -> None:
    got, out, err = chat(run, typed, *words)
    assert (got, out) == (code, "")
    assert said in err


def test_what_is_no_conversation_is_refused(run: Path, tmp_path: Path) -> None:
    for content in ("", "[]", '{"format": "quire conversation 1", "turns": [1], "template": "plain", "beginning": ""}'):
        (tmp_path / "talk.json").write_text(content)
        code, _, err = chat(run, f"/load {tmp_path}/talk.json\n")
        assert (code, "talk.json" in err) == (1, True)


def test_a_full_context_is_said_once(make_run: Callable[[int], Path]) -> None:
    code, _, err = chat(make_run(64), "one two three four\n" * 6)
    assert code == 0
    assert err.count("longer than the 64 tokens") == 1


def test_ctrl_c_ends_a_pipe_and_keeps_what_was_written(run: Path) -> None:
    command = [sys.executable, "-m", "quire", "chat", str(run), "--set", "ignore_eos=true", "--max-tokens", "10000000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"abc\n")
        process.stdin.flush()
        assert process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, b"Traceback" in err) == (130, False)


class Terminal:
    """A pseudo-terminal with `quire chat` at its other end."""

    def __init__(self, *words: str) -> None:
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.environ["TERM"] = "dumb"
            os.execv(sys.executable, [sys.executable, "-m", "quire", "chat", *words])
        self.seen = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a reading may end within a character

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str, more: int = 0) -> None:
        """Read until `text` has come, and so many characters after it; forget all that."""
        while text not in self.seen or len(self.seen) < self.seen.index(text) + len(text) + more:
            part = os.read(self.master, 4096)
            assert part, self.seen
            self.seen += self.decoder.decode(part)
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def interrupt(self, text: str) -> None:
        """Press Ctrl-C until `text` comes: Python overlooks one that comes just before it waits for a line."""
        while text not in self.seen:
            self.type("\x03")
            while select.select([self.master], [], [], 2)[0] and text not in self.seen:
                self.seen += self.decoder.decode(os.read(self.master, 4096))
        self.wait_for(text)

    def exit_code(self) -> int:
        """Read until the program has ended."""
        try:
            while part := os.read(self.master, 4096):
                self.seen += self.decoder.decode(part)
        except OSError:  # how Linux tells that nobody is at the other end
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def terminal(run: Path) -> Iterator[Terminal]:
    terminal = Terminal(str(run), "--set", "ignore_eos=true", "--max-tokens", "10000000", "--backend", "torch")
    yield terminal
    os.close(terminal.master)


def test_ctrl_c_at_a_terminal_stops_the_answer_and_not_the_program(terminal: Terminal) -> None:
    terminal.wait_for("\r\n> ")
    terminal.type("abc\n")
    terminal.wait_for("abc\r\n", more=40)
    terminal.interrupt("stopped")
    terminal.wait_for("\r\n> ")
    terminal.type("/text\n")
    terminal.wait_for("abc\r\n\r\n", more=40)  # what was written is kept
    terminal.wait_for("\r\n> ")
    terminal.type("half a mess")
    terminal.wait_for("half a mess")
    terminal.interrupt("Ctrl-D ends")
    terminal.type("/nothing\n")
    terminal.wait_for("there is no /nothing")
    terminal.wait_for("\r\n> ")
    terminal.type("\x04")
    assert terminal.exit_code() == 0


def test_quit_ends_a_terminal(terminal: Terminal) -> None:
    terminal.wait_for("\r\n> ")
    terminal.type("one\\\n")
    terminal.wait_for("… ")
    terminal.interrupt("\r\n> ")
    terminal.type("/quit\n")
    assert terminal.exit_code() == 0
