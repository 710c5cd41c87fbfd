"""The example library: what the committed script makes, small, and each document in one form only."""

import shutil

import pypdfium2
import pytest
from PIL import Image

import make_library
from make_library import (
    LIBRARY,
    PLACES,
    REPOSITORY,
    SOURCES,
    compare,
    difference,
    make,
    snapshot_folders,
    take_snapshot,
)
from typeset import parse, to_text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    make(folder)
    return folder


def test_the_committed_library_is_what_the_script_makes(made):
    assert compare(LIBRARY, made) == []


def test_making_twice_gives_the_same_bytes(made, tmp_path):
    for path in make(tmp_path):
        assert (tmp_path / path).read_bytes() == (made / path).read_bytes(), path


def test_check_names_what_is_changed_missing_and_strange(made, tmp_path):
    library = tmp_path / "library"
    shutil.copytree(made, library)
    (library / "notes/faq.md").write_text("other\n", "utf-8")
    (library / "web/glossary.html").unlink()
    (library / "stranger.txt").write_text("who?\n", "utf-8")
    shutil.copy(library / "scans/letter-from-the-binder.png", library / "scans/problem-sheet.png")
    shutil.copy(library / "handbook/03-backpropagation.pdf", library / "handbook/04-going-downhill.pdf")
    (library / snapshot_folders()[0]).mkdir(parents=True)
    (library / snapshot_folders()[0] / "old.py").write_text("x = 1\n", "utf-8")
    assert sorted(problem.split(":")[0] for problem in compare(library, made)) == [
        "handbook/04-going-downhill.pdf",
        "notes/faq.md",
        "scans/problem-sheet.png",
        "stranger.txt",
        "web/glossary.html",
    ]


def test_recompressed_pictures_still_count_as_the_same(made, tmp_path):
    again = tmp_path / "diary-1.jpg"
    with Image.open(made / "scans/diary-1.jpg") as page:
        page.save(again, quality=75)
    assert again.read_bytes() != (made / "scans/diary-1.jpg").read_bytes()
    assert difference(again, made / "scans/diary-1.jpg") is None


def test_every_source_has_exactly_one_place():
    assert sorted(PLACES) == sorted(path.stem for path in SOURCES.glob("*.md"))
    places = [place for place, _ in PLACES.values()]
    assert len(set(places)) == len(places)


def test_the_whole_folder_is_small():
    size = sum(path.stat().st_size for path in LIBRARY.rglob("*") if path.is_file())
    assert 0 < size < 5_000_000


def test_it_has_what_a_user_has():
    names = {path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*") if path.is_file()}
    assert {name.rsplit(".", 1)[1] for name in names} >= {"pdf", "png", "jpg", "tif", "md", "txt", "html", "py"}
    with Image.open(LIBRARY / "scans/how-a-machine-reads-a-page.tif") as scan:
        assert (scan.n_frames > 1, scan.mode, scan.info["compression"]) == (True, "1", "group4")
    letter = (LIBRARY / "texts/lettre-from-besancon.txt").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        letter.decode("utf-8")
    assert "déjà vu, naïveté" in letter.decode("latin-1")


def squeezed_text(path):
    with pypdfium2.PdfDocument(path.read_bytes()) as document:
        return "".join("".join(page.get_textpage().get_text_bounded().split()) for page in document)


@pytest.mark.parametrize("name", [name for name, (place, _) in PLACES.items() if place.endswith(".pdf")])
def test_born_digital_pdfs_hold_every_word_and_scanned_ones_none(name):
    path = LIBRARY / PLACES[name][0]
    wanted = set(to_text(parse((SOURCES / f"{name}.md").read_text("utf-8"))).split())
    found = squeezed_text(path)
    if path.parent.name == "scans":
        assert found == ""
    else:
        # Underlines and list marks are of the plain text; compounds may be divided at their hyphen.
        missing = {word for word in wanted if word not in found and "-" not in word and not set(word) <= {"=", "*"}}
        assert missing == set()


def test_a_form_of_several_files_needs_a_place_for_each(monkeypatch, tmp_path):
    form = lambda markdown, seed: [b"1", b"2"]  # noqa: E731
    monkeypatch.setattr(make_library, "PLACES", {"faq": ("notes/faq.md", form)})
    with pytest.raises(ValueError, match="faq fills 2 files"):
        make(tmp_path)


def test_the_snapshot_is_the_source_as_it_is_now_and_nothing_older(tmp_path):
    old = tmp_path / snapshot_folders()[0] / "old.py"
    old.parent.mkdir(parents=True)
    old.write_text("x = 1\n", "utf-8")
    copied = take_snapshot(tmp_path)
    assert not old.exists()
    tokenizer = REPOSITORY / "src/quire/tokens/tokenizer.py"
    assert (tmp_path / "code/tokens/tokenizer.py").read_bytes() == tokenizer.read_bytes()
    assert all((tmp_path / path).stat().st_size > 0 for path in copied)
    assert {path.parts[0] for path in copied} == {"code", "notes"}
