"""What is kept of what was read: copies, rules, notices and secrets, by the real readers."""

import sqlite3

from ingesting import settings_with
from trees import NOTICE, SECRET, prose, put, zipped

from quire.corpus.build import ingest
from quire.corpus.store import Corpus


def ends_of(out):
    return {(row.path, row.member): row for row in Corpus.open(out).files()}


def texts_of(out):
    return {(d.document.source, d.document.member): d.document for d in Corpus.open(out).documents()}


def query(out, words):
    base = sqlite3.connect(out / "manifest.sqlite")
    try:
        return base.execute(words).fetchall()
    finally:
        base.close()


# ---- near copies ----------------------------------------------------------------------------------------------------


def test_of_near_copies_the_longest_is_kept_and_named(tmp_path):
    text = prose(1, 300)
    files = {
        "a short.txt": text,
        "b long.txt": f"{text} and a few more words at the end",
        "c.zip": zipped({"d/e.txt": text.replace(" ", "  ", 5), "other.txt": prose(2, 300)}),
        "d.txt": f"{text} and a few more words at the end",
        "f.txt": prose(3, 300),
    }
    account = ingest(put(tmp_path / "in", files), tmp_path / "out", settings_with())
    ends = ends_of(tmp_path / "out")
    assert ends["b long.txt", None].outcome == "kept"
    assert (ends["a short.txt", None].rule, ends["a short.txt", None].duplicate_of) == ("near-duplicate", "b long.txt")
    assert "nearly the same text as b long.txt: 9" in ends["a short.txt", None].detail
    assert (ends["c.zip", "d/e.txt"].rule, ends["c.zip", "d/e.txt"].duplicate_of) == ("near-duplicate", "b long.txt")
    assert ends["c.zip", None].outcome == "kept"
    assert (ends["d.txt", None].rule, ends["d.txt", None].duplicate_of) == ("duplicate", "b long.txt")
    assert account.duplicates == 3
    assert account.characters.left_out["near-duplicate"].count == 2


def test_what_is_the_same_as_a_near_copy_names_what_is_kept(tmp_path):
    text = prose(1, 300)
    files = {"a.txt": text, "b.txt": text, "c.txt": f"{text} with more", "d.txt": prose(2)}
    ingest(put(tmp_path / "in", files), tmp_path / "out", settings_with())
    ends = ends_of(tmp_path / "out")
    assert [(row.outcome, row.rule, row.duplicate_of) for row in ends.values()] == [
        ("dropped", "near-duplicate", "c.txt"),
        ("dropped", "near-duplicate", "c.txt"),
        ("kept", None, None),
        ("kept", None, None),
    ]


def test_a_file_that_is_a_copy_names_the_member_that_is_kept_or_all_that_can_be_said_in_one_name(tmp_path):
    one, two, three = prose(1), prose(2), prose(3)
    files = {
        "a!.zip": zipped({"in/one.txt": one, "in/two.txt": two}),
        "b three.txt": three,
        "c one.txt": one,
        "d.zip": zipped({"twice.txt": two}),
        "e.zip": zipped({"1.txt": one, "2.txt": two, "again.txt": one}),
        "f.zip": zipped({"1.txt": one, "3.txt": three, "2.txt": two}),
    }
    ingest(put(tmp_path / "in", files), tmp_path / "out", settings_with())
    ends = ends_of(tmp_path / "out")
    copies = {path: (row.detail, row.duplicate_of) for (path, member), row in ends.items() if member is None}
    assert copies == {
        "a!.zip": (None, None),
        "b three.txt": (None, None),
        "c one.txt": ("the same text as a!.zip!in/one.txt", "a!.zip!in/one.txt"),
        "d.zip": ("the same text as a!.zip!in/two.txt", "a!.zip!in/two.txt"),
        "e.zip": ("the same text as a!.zip", "a!.zip"),
        "f.zip": ("the same text as a!.zip!in/one.txt and others", "a!.zip!in/one.txt"),
    }
    assert ends["f.zip", "3.txt"].duplicate_of == "b three.txt"


def test_thresholds_and_switches_of_copies(tmp_path):
    text = prose(1, 300)
    changed = " ".join(f"new{at}" if at % 30 == 7 else word for at, word in enumerate(text.split()))
    folder = put(tmp_path / "in", {"a.txt": text, "b.txt": changed, "few.txt": "some words", "few2.txt": "some word"})
    out = tmp_path / "out"

    def documents(**copies):
        return ingest(folder, out, settings_with(copies=copies)).documents

    assert documents(threshold=0.9) == 4
    assert documents(threshold=0.5) == 3
    assert documents(threshold=0.5, near=False) == 4
    assert documents(threshold=0.5, permutations=32) == 3
    assert documents(threshold=0.5, min_words=1000, paragraphs=False) == 4


def test_another_threshold_or_rule_reads_no_file_again(tmp_path):
    folder = put(tmp_path / "in", {f"{n}.txt": prose(n) for n in range(5)})
    ingest(folder, tmp_path / "out", settings_with())
    for groups in (
        {"copies": {"threshold": 0.4}},
        {"filter": {"min_characters": 10}},
        {"corpus": {"redact": True}},
        {"corpus": {"license_once": False}},
    ):
        assert ingest(folder, tmp_path / "out", settings_with(**groups)).files_read == 0


def test_long_paragraphs_that_repeat_are_cut_and_the_rest_keeps_its_place(tmp_path):
    legal = prose(50, 200)
    files = {
        "a.txt": f"{prose(1, 60)}\n\n{legal}\n\n{prose(2, 60)}",
        "b.txt": f"{prose(3, 60)}\n\n{legal.upper()}\n\n{prose(4, 60)}",
        "c.md": f"{prose(5, 60)}\n\n{legal} indeed\n\n{prose(6, 60)}",
        "d.txt": legal,
    }
    folder = put(tmp_path / "in", files)
    account = ingest(folder, tmp_path / "out", settings_with())
    texts = texts_of(tmp_path / "out")
    assert texts["a.txt", None].text == files["a.txt"]
    for name in ("b.txt", "c.md"):
        document = texts[name, None]
        assert document.text == f"{files[name].split(chr(10))[0]}\n\n{files[name].split(chr(10))[-1]}"
        data = files[name].encode()
        pieces = [document.text[span.start : span.end] for span in document.pages]
        assert [data[span.byte_start : span.byte_end].decode() for span in document.pages] == pieces
        assert "".join(pieces) == document.text
    assert ends_of(tmp_path / "out")["d.txt", None].rule == "only-copies"
    cut = account.characters.cut["duplicate-paragraph"]
    assert cut.count == 2
    assert query(tmp_path / "out", "SELECT DISTINCT duplicate_of FROM edits") == [("a.txt",)]
    kept = ingest(folder, tmp_path / "out", settings_with(copies={"paragraphs": False}))
    assert kept.documents == 4


# ---- rules ----------------------------------------------------------------------------------------------------------


def test_rules_are_for_prose_and_for_code_only_when_asked(tmp_path):
    files = {
        "page.txt": "page left blank\n" * 50,
        "table.csv": "a,b\n" + "0,0\n" * 50,
        "code.py": "x = 1\n" * 50,
        "kept.txt": prose(1),
    }
    folder = put(tmp_path / "in", files)
    account = ingest(folder, tmp_path / "out", settings_with())
    assert [(rule.rule, rule.example) for rule in account.rules] == [("repeated-lines", "page.txt")]
    account = ingest(folder, tmp_path / "out", settings_with(filter={"code": True}))
    assert [(rule.rule, rule.files) for rule in account.rules] == [("repeated-lines", 3)]


# ---- languages and licences -----------------------------------------------------------------------------------------


def test_prose_has_its_language_and_code_its_own(tmp_path):
    german = (
        "In der Nacht war der Fluss gestiegen, und am Morgen standen die Felder unter Wasser. Niemand im Dorf konnte "
    )
    files = {
        "a.md": german * 2,
        "b.py": "def f():\n    return 1\n",
        "c.txt": "12 34 56",
        "d.html": f"<p>{german * 2}</p>",
    }
    account = ingest(put(tmp_path / "in", files), tmp_path / "out", settings_with(copies={"near": False}))
    languages = {name: document.language for (name, _), document in texts_of(tmp_path / "out").items()}
    assert languages == {"a.md": "de", "b.py": "Python", "c.txt": None, "d.html": "de"}
    assert set(account.languages) == {"de", "Python"}


def test_a_licence_notice_stands_once_and_the_code_of_every_file_whole(tmp_path):
    code = {f"{n}.py": f"value_{n} = {n}\n" for n in range(4)}
    files = {name: NOTICE.format(year=2000 + n) + text for n, (name, text) in enumerate(code.items())}
    files["only.py"] = NOTICE.format(year=1999)
    files["plain.py"] = "# SPDX-License-Identifier: MIT\nx = 1\n"
    folder = put(tmp_path / "in", files)
    account = ingest(folder, tmp_path / "out", settings_with())
    texts = texts_of(tmp_path / "out")
    assert texts["0.py", None].text == files["0.py"]
    for name in ("1.py", "2.py", "3.py"):
        assert texts[name, None].text == code[name]
        (span,) = texts[name, None].pages
        assert files[name].encode()[span.byte_start : span.byte_end].decode() == code[name]
    assert texts["plain.py", None].text == files["plain.py"]
    assert {document.license for document in texts.values()} == {"Apache-2.0", "MIT"}
    only = ends_of(tmp_path / "out")["only.py", None]
    assert (only.rule, only.duplicate_of) == ("only-copies", "0.py")
    assert account.licenses["Apache-2.0"].documents == 4
    assert account.characters.cut["license-notice"].count == 3
    ingest(folder, tmp_path / "out", settings_with(corpus={"license_once": False}))
    assert {name: texts.text for (name, _), texts in texts_of(tmp_path / "out").items()} == files


# ---- secrets --------------------------------------------------------------------------------------------------------


def test_secrets_are_reported_without_their_values(tmp_path):
    folder = put(tmp_path / "in", {"a.txt": SECRET, "b.txt": f"{prose(1)} jane.doe@quire-mail.org", "c.txt": prose(2)})
    account = ingest(folder, tmp_path / "out", settings_with(corpus={"keep_readings": False}))
    assert {kind: (found.count, found.files) for kind, found in account.secrets.items()} == {
        "email": (2, 2),
        "card": (1, 1),
        "iban": (1, 1),
    }
    assert not account.redacted
    assert texts_of(tmp_path / "out")["a.txt", None].text == SECRET
    for name in ("manifest.sqlite", "report.json", "report.html"):
        data = (tmp_path / "out" / name).read_bytes()
        assert not any(value in data for value in (b"quire-mail", b"3704", b"4111"))


def test_redacted_text_holds_masks_and_its_spans_stay_exact(tmp_path):
    folder = put(tmp_path / "in", {"a.txt": SECRET, "b.py": f"# {SECRET}\nx = 1\n"})
    account = ingest(folder, tmp_path / "out", settings_with(corpus={"redact": True, "keep_readings": False}))
    document = texts_of(tmp_path / "out")["a.txt", None]
    assert document.text == "Write to née@x no, to [email], or pay [iban] by [card] now."
    data = SECRET.encode()
    for span in document.pages:
        here, there = document.text[span.start : span.end], data[span.byte_start : span.byte_end].decode()
        assert there == {"[email]": "jane.doe@quire-mail.org", "[iban]": "DE89 3704 0044 0532 0130 00"}.get(
            here, "4111 1111 1111 1111" if here == "[card]" else here
        )
    assert account.redacted
    assert account.characters.added == 2 * len("[email][iban][card]")
    assert not any(b"quire-mail" in path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert texts_of(tmp_path / "out")["b.py", None].text.startswith("# Write to née@x no, to [email],")
