"""The pictures of the pages are those that the committed code draws from the committed metrics."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"

# A chapter that draws one line, in place of those that train networks.
DRAWING = """
from matplotlib.figure import Figure
def draw(folder):
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, {0}])
    figure.savefig(folder / "line.svg", metadata={{"Date": None}})
    return [folder / "line.svg"]
"""


def load(script):
    """Return make.py as a module of its own, which finds the chapters beside it."""
    spec = importlib.util.spec_from_file_location("make_images", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def imports(monkeypatch):
    """Forget the chapters of one folder before those of another are imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name == "learn" or name.startswith("learn.")]:
        del sys.modules[name]


def run(make, monkeypatch, capsys, *words):
    """Return the exit code of a call, and what it said."""
    for name in [name for name in sys.modules if name.startswith("learn.")]:
        del sys.modules[name]
    monkeypatch.setattr(sys, "argv", ["make.py", *words])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    try:
        code = make.main()
    except SystemExit as left:
        code = left.code
    return code, capsys.readouterr().err


PINNED, HERE = load(IMAGES / "make.py").releases()


@pytest.mark.skipif(PINNED != HERE, reason=f"Matplotlib {PINNED} drew the pictures, {HERE} is here")
def test_the_pictures_are_those_that_would_be_drawn():
    done = subprocess.run([sys.executable, IMAGES / "make.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def make(tmp_path, monkeypatch, capsys):
    """A repository with the picture of one run and of one small chapter, both shown."""
    images = tmp_path / "docs" / "images"
    metrics = images / "runs" / "library" / "quire" / "metrics.jsonl"
    metrics.parent.mkdir(parents=True)
    shutil.copyfile(IMAGES / "runs" / "library" / "quire" / "metrics.jsonl", metrics)
    shutil.copyfile(IMAGES / "make.py", images / "make.py")
    (tmp_path / "constraints.txt").write_text(f"matplotlib=={HERE}\n", "utf-8")
    (images / "learn").mkdir()
    (images / "learn" / "lines.py").write_text(DRAWING.format(1), "utf-8")
    (tmp_path / "docs" / "page.md").write_text("![a](images/learn/line.svg)", "utf-8")
    (tmp_path / "README.md").write_text("![b](docs/images/library-loss.png)", "utf-8")
    module = load(images / "make.py")
    monkeypatch.setattr(module, "RUNS", {"library": "loss"})
    assert run(module, monkeypatch, capsys) == (0, "")
    assert (images / "learn" / "line.svg").exists()
    return module


def test_what_was_just_drawn_passes_and_what_was_changed_does_not(make, monkeypatch, capsys):
    assert run(make, monkeypatch, capsys, "--check") == (0, "")
    (make.HERE / "learn" / "lines.py").write_text(DRAWING.format(20), "utf-8")
    stale = make.HERE / "library-loss.svg"
    stale.write_text(stale.read_text("utf-8").replace("<svg", "<svg class='other'", 1), "utf-8")
    code, said = run(make, monkeypatch, capsys, "--check")
    assert code == 1
    assert "learn/line.svg: not what would be drawn" in said
    assert "library-loss.svg: not what would be drawn" in said


def test_a_picture_that_nothing_draws_or_no_page_shows_is_found(make, monkeypatch, capsys):
    (make.HERE / "learn" / "left-over.svg").write_text("<svg/>", "utf-8")
    (make.HERE.parent / "page.md").write_text("![a](images/learn/left-over.svg)", "utf-8")
    code, said = run(make, monkeypatch, capsys, "--check")
    assert code == 1
    assert "learn/left-over.svg: nothing draws it" in said
    assert "learn/line.svg: on no page" in said


def test_a_module_can_be_drawn_alone(make, monkeypatch, capsys):
    before = (make.HERE / "library-loss.svg").stat().st_mtime_ns
    (make.HERE / "learn" / "lines.py").write_text(DRAWING.format(20), "utf-8")
    old = (make.HERE / "learn" / "line.svg").read_text("utf-8")
    assert run(make, monkeypatch, capsys, "lines") == (0, "")
    assert not make.same((make.HERE / "learn" / "line.svg").read_text("utf-8"), old)
    assert (make.HERE / "library-loss.svg").stat().st_mtime_ns == before
    code, said = run(make, monkeypatch, capsys, "nothing")
    assert code == 2
    assert "there are lines" in said


def test_another_release_of_matplotlib_is_not_compared(make, monkeypatch, capsys):
    (make.HERE.parent.parent / "constraints.txt").write_text("matplotlib==0.1\n", "utf-8")
    (make.HERE / "learn" / "lines.py").write_text(DRAWING.format(20), "utf-8")
    assert run(make, monkeypatch, capsys, "--check") == (0, "")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ('<path d="M 1.000001 2 L 3 4" id="m0123456789"/>', True),
        ('<path d="M 1.02 2 L 3 4" id="m0123456789"/>', False),
        ('<path d="M 1 2 L 3 4" id="mabcdef0123"/>', True),
        ('<path d="M 1 2 L 3 4 5" id="m0123456789"/>', False),
        ('<path d="M 1 2 Q 3 4" id="m0123456789"/>', False),
    ],
)
def test_drawings_are_compared_up_to_what_nobody_sees(other, same):
    assert load(IMAGES / "make.py").same('<path d="M 1 2 L 3 4" id="m0123456789"/>', other) is same
