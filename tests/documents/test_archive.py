"""Archives: every member is read or accounted for, whatever is in them and however broken they are."""

import bz2
import gzip
import hashlib
import io
import lzma
import random
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.databases import database
from fixtures.pdfs import blank, pdf, printed, scanned
from fixtures.pictures import page_picture
from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.read import read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
names = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=12)
trees = st.dictionaries(names, st.binary(max_size=60) | st.just(b"some words"), max_size=6)


def zipped(files, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read(data, name="a.zip", settings=DEFAULT):
    return list(read_bytes(data, name, settings))


def outcomes(parts):
    return {part.member: "kept" if isinstance(part, Document) else part.rule for part in parts}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.zip", zipped({"b/c.txt": b"words", "d.py": b"x = 1\n"})),
        ("a.tar", tarred({"b/c.txt": b"words", "d.py": b"x = 1\n"})),
        ("a.tar.gz", tarred({"b/c.txt": b"words", "d.py": b"x = 1\n"}, "w:gz")),
        ("a.tgz", tarred({"b/c.txt": b"words", "d.py": b"x = 1\n"}, "w:gz")),
        ("a.tar.bz2", tarred({"b/c.txt": b"words", "d.py": b"x = 1\n"}, "w:bz2")),
        ("a.txz", tarred({"b/c.txt": b"words", "d.py": b"x = 1\n"}, "w:xz")),
        ("no extension", zipped({"b/c.txt": b"words", "d.py": b"x = 1\n"})),
        ("neither", tarred({"b/c.txt": b"words", "d.py": b"x = 1\n"})),
    ],
)
def test_each_member_is_a_document_of_its_own_kind(name, data, tmp_path):
    (tmp_path / "file").write_bytes(data)
    for text, code in (read(data, name), read_file(tmp_path / "file", name, DEFAULT)):
        assert (text.member, text.text, text.source, text.size) == ("b/c.txt", "words", name, 5)
        assert text.sha256 == hashlib.sha256(b"words").hexdigest()
        assert (code.member, code.language, code.media_type) == ("d.py", "Python", "text/x-python")


@pytest.mark.parametrize(
    ("name", "data", "member"),
    [
        ("notes.txt.gz", gzip.compress(b"words", mtime=0), "notes.txt"),
        ("notes.md.bz2", bz2.compress(b"words"), "notes.md"),
        ("notes.xz", lzma.compress(b"words"), "notes"),
        ("notes", gzip.compress(b"words", mtime=0), "notes.unpacked"),
    ],
)
def test_a_packed_file_is_its_one_member(name, data, member):
    (document,) = read(data, name)
    assert (document.member, document.text) == (member, "words")


@given(trees)
def test_the_members_of_a_zip_add_up(files):
    if not files:
        with pytest.raises(DroppedFile, match="empty"):
            read(zipped(files))
        return
    parts = read(zipped(files))
    assert len(parts) == len(files)
    assert sum(part.size for part in parts) == sum(map(len, files.values()))
    assert len({part.member for part in parts}) == len(files)


@given(st.recursive(trees, lambda inner: st.dictionaries(names.map(lambda name: f"{name}.zip"), inner, max_size=2)))
def test_archives_in_archives_add_up(tree):
    def build(node):
        return zipped({name: build(part) if isinstance(part, dict) else part for name, part in node.items()})

    def leaves(node, depth):
        if not node or depth > DEFAULT.max_depth:
            return 1  # the empty archive itself, or the one that is not opened
        return sum(
            leaves(part, depth + 1) if isinstance(part, dict) and not name.startswith(".") else 1
            for name, part in node.items()
        )

    if not tree:
        return
    assert len(read(build(tree))) == leaves(tree, 1)


def test_the_way_through_archives_is_the_name():
    inner = zipped({"c.txt": b"words"})
    (document,) = read(zipped({"b/inner.zip": tarred({"x/i.zip": inner})}), "outer.zip")
    assert document.member == "b/inner.zip!x/i.zip!c.txt"


def test_the_name_of_a_packed_file_is_that_of_the_packing_without_its_end():
    packed = gzip.compress(b"words", mtime=0)
    data = zipped({"old.zip": zipped({"x.log.gz": packed, "wow!.log.gz": packed}), "a/y.log.gz": packed})
    assert [part.member for part in read(data)] == [
        "old.zip!x.log.gz!x.log",
        "old.zip!wow!.log.gz!wow!.log",
        "a/y.log.gz!y.log",
    ]
    (twice,) = read(gzip.compress(packed, mtime=0), "a.txt.gz.gz")
    assert twice.member == "a.txt.gz!a.txt"


def test_hidden_members_are_left_out_as_on_the_disk():
    files = {
        "./a.txt": b"words",
        "../b.txt": b"words",
        ".env": b"KEY = 1",
        "code/.git/config": b"[core]",
        "__MACOSX/c/._a.txt": b"\0\5\x16\7",
        "c/._n.docx": b"\0\5\x16\7",
        ".hidden.zip": zipped({"d.txt": b"words"}),
    }
    for name, data in (("a.zip", zipped(files)), ("a.tar", tarred(files)), ("a.tar.gz", tarred(files, "w:gz"))):
        parts = read(data, name, ReadSettings(max_members=2))
        assert outcomes(parts) == {"./a.txt": "kept", "../b.txt": "kept", **dict.fromkeys(list(files)[2:], "hidden")}
        assert [part.size for part in parts] == [len(data) for data in files.values()]
    parts = outcomes(read(zipped(files), settings=ReadSettings(hidden=True)))
    assert (parts[".env"], parts[".hidden.zip!d.txt"], parts["c/._n.docx"]) == ("kept", "kept", "unsupported")


def test_too_deep_is_left_out_and_says_so():
    data = zipped({"a.txt": b"words"})
    for _ in range(DEFAULT.max_depth):
        data = zipped({"in.zip": data})
    (left,) = read(data)
    assert isinstance(left, LeftOut)
    assert (left.rule, left.outcome) == ("too-deep", "dropped")


def test_a_member_of_which_only_parts_are_told_is_in_the_account_with_its_bytes(tmp_path):
    database(tmp_path / "b", "CREATE TABLE numbers (n INTEGER)", rows=[(1,), (2,)], into="numbers")
    numbers = (tmp_path / "b").read_bytes()
    parts = read(zipped({"b.db": numbers, "c.txt": b"words"}))
    assert [(part.member, part.size) for part in parts] == [("b.db!numbers", 0), ("b.db", len(numbers)), ("c.txt", 5)]
    assert outcomes(parts) == {"b.db!numbers": "no-text", "b.db": "no-text", "c.txt": "kept"}


def test_pages_without_text_are_told_by_the_way_to_them():
    scan = pdf([scanned(page_picture(["dots"])), blank, printed(["letters"])])
    parts = read(zipped({"a.pdf": scan}), settings=ReadSettings(ocr=False))
    assert outcomes(parts) == {"a.pdf": "kept", "a.pdf!page 1": "not-recognised"}


def test_what_a_member_is_not_is_said_of_the_member():
    parts = read(
        zipped({"a.txt": b"words", "b.bin": b"\0\1", "c.pdf": b"no PDF", "d.txt": b"", "e.mp3": b"x", "f.txt": b" "})
    )
    assert outcomes(parts) == {
        "a.txt": "kept",
        "b.bin": "binary",
        "c.pdf": "damaged",
        "d.txt": "empty",
        "e.mp3": "unsupported",
        "f.txt": "empty",
    }


def test_names_that_climb_out_are_only_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data in (
        zipped({"../../x.txt": b"words", "/etc/y.txt": b"more"}),
        tarred({"../../x.txt": b"words", "/y.txt": b"m"}),
    ):
        assert {part.text for part in read(data, "a.zip" if data[:2] == b"PK" else "a.tar")} >= {"words"}
    assert list(tmp_path.iterdir()) == []


def test_a_member_without_a_name_has_one_in_the_account():
    # The standard library writes none: take the one letter of a name out, and make lengths and places fit again.
    whole = bytearray(zipped({"n": b"words"}))
    central, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    size, place = (int.from_bytes(whole[end + at : end + at + 4], "little") for at in (12, 16))
    whole[end + 12 : end + 20] = (size - 1).to_bytes(4, "little") + (place - 1).to_bytes(4, "little")
    whole[central + 28 : central + 30] = whole[26:28] = b"\0\0"
    del whole[central + 46], whole[30]
    parts = read(bytes(whole))
    assert [part.member for part in parts] == ["(no name)"]


def test_members_of_one_name_stay_apart():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", b"two")
    assert [(part.member, part.text) for part in read(buffer.getvalue())] == [("a.txt", "one"), ("a.txt (2)", "two")]


def test_a_bomb_in_many_small_pieces_costs_no_more_than_the_limit():
    # No member is over 10 MB, and each packs to a thousandth: all of them together may unpack to 10 MB.
    pieces = {f"{number}.txt": b"%d words " % number + b"a" * 3_000_000 for number in range(8)}
    inner = zipped(pieces)
    for bomb in (inner, zipped({"inner.zip": inner})):
        assert len(bomb) * ReadSettings().max_ratio < 10_000_000
        kinds = [part.rule if isinstance(part, LeftOut) else "kept" for part in read(bomb)]
        assert kinds == ["kept"] * 3 + ["zip-bomb"] * 5
    assert "max_ratio = 200 times its" in read(inner)[-1].detail


def test_a_packed_tar_of_small_pieces_is_a_bomb_too():
    bomb = gzip.compress(tarred({f"{number}.txt": b"a" * 3_000_000 for number in range(8)}))
    *kept, rest = read(bomb, "bomb.tar.gz")
    assert len(kept) >= 3
    assert rest.rule == "zip-bomb"


def test_a_bomb_costs_no_more_than_the_limit():
    bomb = zipped({"a.txt": b"words", "zeros.txt": b"a" * 60_000_000, "b.txt": b"more"})
    assert outcomes(read(bomb)) == {"a.txt": "kept", "zeros.txt": "zip-bomb", "b.txt": "kept"}
    (left,) = read(gzip.compress(b"a" * 60_000_000), "zeros.gz")
    assert left.rule == "zip-bomb"


def test_the_members_together_have_a_limit():
    files = {f"{number}.txt": b"word " * 20 for number in range(10)}
    settings = ReadSettings(max_unpacked_bytes=350)
    for name, data in (("a.zip", zipped(files)), ("a.tar", tarred(files))):
        rules = list(outcomes(read(data, name, settings)).values())
        assert rules == ["kept"] * 3 + ["too-large"] * 7
    rules = list(outcomes(read(zipped(files), settings=ReadSettings(max_members=4))).values())
    assert rules == ["kept"] * 4 + ["too-many"] * 6
    assert set(outcomes(read(zipped(files), settings=ReadSettings(max_file_bytes=99))).values()) == {"too-large"}


def test_past_the_limits_a_packed_tar_is_told_to_its_end():
    files = {f"{number}.txt": b"word " * 20 for number in range(6)}
    data = tarred(files, "w:gz")
    rules = outcomes(read(data, "a.tar.gz", ReadSettings(max_members=2)))
    assert rules == {name: "kept" if number < 2 else "too-many" for number, name in enumerate(files)}
    # To list what comes behind a member means to unpack it, which is what the limit of bytes is there for.
    rules = outcomes(read(data, "a.tar.gz", ReadSettings(max_unpacked_bytes=250)))
    assert rules == {"0.txt": "kept", "1.txt": "kept", "2.txt": "too-large", "(the rest)": "too-large"}
    rules = outcomes(read(data, "a.tar.gz", ReadSettings(max_members=2, max_unpacked_bytes=350)))
    assert list(rules.values()) == ["kept", "kept", "too-many", "too-many", "too-large"]
    rules = outcomes(read(data, "a.tar.gz", ReadSettings(max_file_bytes=99, max_unpacked_bytes=250)))
    assert list(rules.values()) == ["too-large"] * 4
    assert list(rules)[-1] == "(the rest)"


def test_links_and_devices_in_a_tar_are_left_out():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("p", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert outcomes(read(buffer.getvalue(), "a.tar")) == {"l": "link", "h": "link", "p": "special"}


def marked(data, *, flags=0, method=None):
    """Return the zip `data` with its first member marked as encrypted or packed by another method."""
    marked = bytearray(data)
    for place in (0, marked.index(b"PK\x01\x02") + 2):
        marked[place + 6] |= flags
        if method is not None:
            marked[place + 8 : place + 10] = method.to_bytes(2, "little")
    return bytes(marked)


@pytest.mark.parametrize(
    ("flags", "method", "password", "rule", "words"),
    [
        (1, None, None, "password", "protected by a password. Give it by --password (read.password)"),
        (1, None, "spring", "password", "protected by another password"),
        (1, 99, None, "password", "encrypted by AES, which is not read. Unpack it with its password"),
        (1, 99, "spring", "password", "encrypted by AES, which is not read. Unpack it with its password"),
        (0x41, None, "spring", "password", "encrypted in a way that is not read. Unpack it with its password"),
        (0, 9, None, "unsupported", "packed by Deflate64, which is not read; unpack it and pack it anew"),
        (0, 77, None, "unsupported", "packed by method 77, which is not read; unpack it and pack it anew"),
    ],
)
def test_what_cannot_be_unpacked_is_told_by_its_reason(flags, method, password, rule, words):
    # Zips whose flags and methods say so: the standard library writes none.
    data = marked(zipped({"a.txt": b"words " * 20, "b.txt": b"more"}), flags=flags, method=method)
    left, kept = read(data, settings=ReadSettings(password=password))
    assert (left.rule, left.detail) == (rule, words)
    assert kept.text == "more"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.gz", "a.txz"])
def test_what_is_no_archive_is_told(name):
    with pytest.raises(ReadError, match=r"of another kind|cannot be|not a"):
        read(b"no archive at all" * 50, name)


@given(st.sampled_from(["zip", "tar", "gz", "xz"]), st.data())
def test_broken_archives_end_in_an_account_or_an_error(kind, data):
    files = {"a.txt": b"words and words " * 9, "b.txt": b"other words " * 9, "c/d.py": b"x = 1\n" * 30}
    whole = zipped(files) if kind == "zip" else tarred(files, "w" if kind == "tar" else f"w:{kind}")
    cut = bytearray(whole[: data.draw(st.integers(1, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, len(cut) - 1), max_size=4)):
        cut[place] ^= data.draw(st.integers(1, 255))
    try:
        parts = read(bytes(cut), {"zip": "a.zip", "tar": "a.tar"}.get(kind, f"a.tar.{kind}"))
    except (ReadError, DroppedFile):
        return
    assert all(part.text if isinstance(part, Document) else part.detail for part in parts)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [-1, -(2**40), 2**40, 2**62, 2**80])
def test_a_size_that_no_member_of_a_tar_has_ends_it(size, packed):
    # Of 2**62 bytes tarfile would go on from the end of a packed file, a block at a time, for ever.
    info = tarfile.TarInfo("b.txt")
    info.size = size
    data = tarred({"a.txt": b"words"})[:1024] + info.tobuf(tarfile.GNU_FORMAT) + b"more words".ljust(512, b"\0")
    parts = read(bz2.compress(data) if packed else data, "a.tar.bz2" if packed else "a.tar")
    assert parts[0].text == "words"
    assert len(parts) > 1
    assert all(part.rule in ("damaged", "too-large", "zip-bomb") and (part.size or 0) >= 0 for part in parts[1:])


def test_a_tar_cut_short_keeps_what_came_before(tmp_path):
    files = {"a.txt": b"words", "b.txt": b"w" * 5000}
    whole = tarred(files, "w:gz")
    kept, *rest = read(gzip.compress(gzip.decompress(whole)[:2000]), "a.tar.gz")
    assert kept.text == "words"
    assert [(part.outcome, part.rule) for part in rest] == [("failed", "damaged")]


@pytest.mark.parametrize(("end", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_packed_file_cut_short_keeps_what_came_before(end, pack):
    text = random.Random(4).randbytes(1_000_000).hex().encode()  # bzip2 unpacks 900 kB at a time
    whole = pack(text)
    kept, rest = read(whole[: len(whole) * 2 // 3], f"log.txt.{end}")
    assert (kept.member, rest.member, rest.outcome, rest.rule) == ("log.txt", "(the rest)", "failed", "damaged")
    assert rest.detail.startswith("broken from here on: ")
    assert text.startswith(kept.text.encode())
    assert len(kept.text) > len(text) / 3
    with pytest.raises(ReadError, match="cannot be unpacked"):
        read(whole[:12], f"log.txt.{end}")


def test_a_gzip_file_with_something_behind_it_keeps_its_text():
    kept, rest = read(gzip.compress(b"words") + b"junk", "a.txt.gz")
    assert kept.text == "words"
    assert (rest.member, rest.outcome) == ("(the rest)", "failed")
    assert [part.text for part in read(gzip.compress(b"words") + bytes(512), "a.txt.gz")] == ["words"]


def test_a_zip_with_something_before_it_is_read():
    (document,) = read(b"#!/bin/sh\nexit\n" + zipped({"a.txt": b"words"}), "a.zip")
    assert document.text == "words"


def test_a_member_with_a_wrong_checksum_costs_itself_only():
    data = bytearray(zipped({"a.txt": b"words", "b.txt": b"other words"}))
    central = data.index(b"PK\x01\x02")
    data[central + 16] ^= 1  # the checksum of the first member, where archives are opened by
    assert outcomes(read(bytes(data))) == {"a.txt": "damaged", "b.txt": "kept"}
