"""After any edits, each span still holds the characters that came from its place, and their very bytes."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from quire.corpus.edits import ByteCounter, Edit, disjoint, edited
from quire.documents.document import Document, Span

texts = st.text(st.characters(codec="utf-8", exclude_characters="#"), min_size=1, max_size=60)


@st.composite
def cases(draw):
    text = draw(texts)
    places = st.integers(0, len(text))
    cuts = sorted(draw(st.lists(places, max_size=4)))
    bounds = [0, *cuts, len(text)]
    data = text.encode()
    spans = [
        Span(start, end, page, len(text[:start].encode()), len(text[:end].encode()))
        for page, (start, end) in enumerate(itertools.pairwise(bounds), 1)
    ]
    pairs = draw(st.lists(st.tuples(places, places, st.sampled_from(["", "", "#", "####"])), max_size=5))
    edits = [Edit(min(a, b), max(a, b), "rule", mask) for a, b, mask in pairs]
    return Document(text, "x", "text/plain", "", pages=tuple(spans)), data, disjoint(edits)


@given(cases())
def test_what_is_left_of_a_span_is_what_its_bytes_say(case):
    document, data, edits = case
    new = edited(document, edits)
    expected, last = [], 0
    for edit in edits:
        expected += [document.text[last : edit.start], edit.replacement]
        last = edit.end
    assert new.text == "".join(expected) + document.text[last:]
    covered = 0
    for span in new.pages:
        assert span.start >= covered
        covered = span.end
        piece = new.text[span.start : span.end]
        if "#" not in piece:
            assert data[span.byte_start : span.byte_end].decode() == piece
        old = next(page for page in document.pages if page.page == span.page)
        assert old.byte_start <= span.byte_start <= span.byte_end
    # Every character of the new text has a place, a mask's included.
    if document.pages and all(span.start < span.end for span in document.pages):
        assert sum(span.end - span.start for span in new.pages) == len(new.text)


@given(cases())
def test_no_edit_overlaps_the_next_and_nothing_to_mask_is_left(case):
    document, _, edits = case
    assert all(one.end <= other.start for one, other in itertools.pairwise(edits))
    assert all(edit.start < edit.end <= len(document.text) for edit in edits)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from(["", "#"])), max_size=6))
def test_every_character_of_an_edit_is_covered_by_those_that_are_made(pairs):
    edits = [Edit(start, start + size, "rule", mask) for start, size, mask in pairs]
    covered = {place for edit in disjoint(edits) for place in range(edit.start, edit.end)}
    assert covered == {place for edit in edits for place in range(edit.start, edit.end)}


def test_single_byte_encodings_are_cut_exactly_and_others_keep_the_bytes_of_the_whole():
    text = "über alles"
    latin = Document(text, "x", "text/plain", "", pages=(Span(0, 10, None, 0, 10),))
    edits = [Edit(0, 5, "rule")]
    assert edited(latin, edits).pages == (Span(0, 5, None, 5, 10),)
    wide = Document(text, "x", "text/plain", "", pages=(Span(0, 10, None, 2, 22),))
    assert edited(wide, edits).pages == (Span(0, 5, None, 12, 22),)
    other = Document(text, "x", "text/plain", "", pages=(Span(0, 10, None, 0, 17),))
    assert edited(other, edits).pages == (Span(0, 5, None, 0, 17),)
    paged = Document(text, "x", "application/pdf", "", pages=(Span(0, 5, 1), Span(5, 10, 2)))
    assert edited(paged, edits).pages == (Span(0, 5, 2),)


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]), st.data())
def test_behind_a_byte_order_mark_the_bytes_of_any_part_are_exact(text, encoding, data):
    text = text.removeprefix("\ufeff") or "x"
    held = text.encode(encoding)
    (start, end) = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    mark = {"utf-8-sig": 3, "utf-16": 2, "utf-32": 4}[encoding]
    counter = ByteCounter(text, Span(0, len(text), None, mark, len(held)))
    assert counter.exact
    first, last = counter.of(start, end)
    assert (held[:mark] + held[first:last]).decode(encoding) == text[start:end]


def test_a_number_of_bytes_that_fits_two_encodings_is_told_by_where_it_begins():
    text = "a€" * 3 + "b"  # a and € have 1 and 3 bytes in UTF-8, 2 and 2 in UTF-16
    held = text[:6].encode("utf-16")
    assert len(held) - 2 == len(text[:6].encode())
    assert ByteCounter(text, Span(0, 6, None, 2, 14)).of(1, 2) == (4, 6)
    assert ByteCounter(text, Span(0, 6, None, 0, 12)).of(1, 2) == (1, 4)


def test_a_part_whose_bytes_fit_two_encodings_is_told_by_another_part():
    text = "a€b"
    either = Span(0, 2, None, 50, 54)
    assert ByteCounter(text, either).of(1, 2) == (51, 54)
    assert ByteCounter(text, either, [either, Span(2, 3, None, 60, 62)]).of(1, 2) == (52, 54)
    assert ByteCounter(text, either, [either, Span(2, 3, None, 60, 61)]).of(1, 2) == (51, 54)


def test_nothing_to_do_gives_the_same_document():
    document = Document("text", "x", "text/plain", "", pages=(Span(0, 4),))
    assert edited(document, []) is document
