"""From words back to where they stand: every hit, and the very bytes of the file where those are known."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import settings_with
from trees import put, zipped

from quire.corpus import shards
from quire.corpus.build import ingest
from quire.corpus.find import find
from quire.corpus.shards import ShardWriter
from quire.corpus.store import Corpus
from quire.documents.document import Document, Span
from quire.errors import UsageError

FILES = {
    "a.txt": "Größe: the quick\nbrown fox.\n\nThe QUICK  brown dog; thequick brown.\n",
    "b/latin.txt": ("é" * 30 + " the quick brown bird " + "è" * 10).encode("latin-1"),
    "b/wide.txt": ("€ the quick brown cat, " * 40 + "ü").encode("utf-16"),
    "b/xgbk.txt": ("的一是不了 the quick brown hen " * 9).encode("gb18030"),
    "c.zip": zipped({"in/d.txt": "nothing here", "e.txt": "ü the quick brown end"}),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("find")
    ingest(put(folder / "in", FILES), folder / "out", settings_with())
    return Corpus.open(folder / "out")


def test_every_hit_has_its_file_member_bytes_and_context(corpus):
    hits = list(find(corpus, "the Quick brown"))
    assert [(hit.source, hit.member, hit.text) for hit in hits] == [
        ("a.txt", None, "the quick\nbrown"),
        ("a.txt", None, "The QUICK  brown"),
        ("b/latin.txt", None, "the quick brown"),
        *[("b/wide.txt", None, "the quick brown")] * 40,
        *[("b/xgbk.txt", None, "the quick brown")] * 9,
        ("c.zip", "e.txt", "the quick brown"),
    ]
    for hit in hits:
        text = corpus.document(hit.document).text
        assert text[hit.start : hit.end] == hit.text
        assert text[max(0, hit.start - 60) : hit.start] == hit.before
        assert text[hit.end : hit.end + 60] == hit.after
    one, two, latin, *wide, member = hits
    wide, other = wide[:40], wide[40:]
    for hit in wide:
        assert FILES["b/wide.txt"][hit.byte_start : hit.byte_end].decode("utf-16-le") == hit.text
    for hit in other:
        assert (hit.exact, hit.byte_start, hit.byte_end) == (False, 0, len(FILES["b/xgbk.txt"]))
    assert all(hit.exact for hit in (one, two, latin, *wide, member))
    for hit, data, encoding in (
        (one, FILES["a.txt"].encode(), "utf-8"),
        (two, FILES["a.txt"].encode(), "utf-8"),
        (latin, FILES["b/latin.txt"], "latin-1"),
        (member, "ü the quick brown end".encode(), "utf-8"),
    ):
        assert data[hit.byte_start : hit.byte_end].decode(encoding) == hit.text


def test_words_that_are_not_there_are_not_found(corpus):
    assert not list(find(corpus, "quick the"))
    assert not list(find(corpus, "the quick brown fox of"))
    assert len(list(find(corpus, ".*"))) == 0
    with pytest.raises(UsageError, match="no words"):
        list(find(corpus, "  "))


texts = st.lists(st.text(st.sampled_from("aAbB. \né日"), min_size=1, max_size=60), min_size=1, max_size=8)


@given(texts, st.text(st.sampled_from("aAb.é日 "), min_size=1, max_size=4).filter(str.strip), st.integers(1, 3))
def test_all_hits_are_found_whatever_the_row_groups(tmp_path_factory, several, words, rows):
    folder = tmp_path_factory.mktemp("groups")
    writer = ShardWriter(folder, 50)
    before, shards.GROUP_ROWS = shards.GROUP_ROWS, rows
    try:
        for number, text in enumerate(several):
            cut = len(text) // 2
            sizes = len(text[:cut].encode()), len(text.encode())
            spans = (Span(0, cut, 1, 7, 7 + sizes[0]), Span(cut, len(text), 2, 7 + sizes[0], 7 + sizes[1]))
            writer.add(Document(text, f"{number}.txt", "text/plain", "", pages=spans))
        writer.finish()
    finally:
        shards.GROUP_ROWS = before
    meta = {"documents": len(several), "text_bytes": 0, "fingerprint": "", "inputs": "", "account": {}}
    corpus = Corpus(folder, {**meta, "shards": [{**_facts(shard)} for shard in writer.shards]})
    pattern = re.compile(r"\s+".join(map(re.escape, words.split())), re.IGNORECASE)
    expected = [(n, match.start(), match.end()) for n, text in enumerate(several) for match in pattern.finditer(text)]
    hits = list(find(corpus, words))
    assert [(hit.document, hit.start, hit.end) for hit in hits] == expected
    for hit in hits:
        text = several[hit.document]
        data = b"-------" + text.encode()
        assert hit.exact
        assert data[hit.byte_start : hit.byte_end].decode() == hit.text
        cut = len(text) // 2
        assert hit.page == (1 if hit.start < cut else 2)
        assert hit.last_page == (1 if hit.end <= cut else 2)


def _facts(shard):
    return {"name": shard.name, "first": shard.first, "documents": shard.documents, "bytes": shard.bytes}
