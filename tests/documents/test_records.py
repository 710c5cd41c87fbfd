"""JSON and JSON Lines: each record a document, what is no list of records as it stands."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.kinds import kind_of
from quire.documents.read import read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
PROSE = "It rained all night, and in the morning the whole street was a river of leaves"
TEXT = st.text(st.characters(exclude_categories=["Cs"])).map("words ".__add__)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | TEXT, lambda inner: st.lists(inner, max_size=3)
)


def read(data, name="a.jsonl", settings=DEFAULT):
    return list(read_bytes(data if isinstance(data, bytes) else data.encode(), name, settings))


def lines(records, **options):
    return "".join(json.dumps(record, **options) + "\n" for record in records)


def as_csv(record, rows=3):
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([record.keys(), *[record.values()] * rows])
    return buffer.getvalue()


@given(
    st.lists(st.tuples(TEXT, JSON), min_size=2, max_size=9),
    st.sampled_from(["a.jsonl", "a.json", "list.json", "indented.json"]),
    st.booleans(),
)
def test_each_record_is_a_document_that_leads_back_to_its_bytes(rows, name, ascii_only):
    records = [{"other": [other], "text": text} for text, other in rows]
    if name in ("a.jsonl", "a.json"):
        data = lines(records, ensure_ascii=ascii_only).encode()
    else:
        data = json.dumps(records, ensure_ascii=ascii_only, indent=name == "indented.json" or None).encode()
    documents = [part for part in read(data, name) if isinstance(part, Document)]
    assert [document.text for document in documents] == [text for text, _ in rows]
    for document, record in zip(documents, records, strict=True):
        (span,) = document.pages
        assert json.loads(data[span.byte_start : span.byte_end]) == record
        assert document.media_type.endswith('; field="text"')
        assert document.member is None


def test_the_field_can_be_told_and_may_lie_deeper():
    records = [{"title": f"Title {n}", "text": PROSE, "post": {"body": f"body {n}"}, "a.b": "dots"} for n in range(3)]
    for told, first in (("title", "Title 0"), ("post.body", "body 0"), ("a.b", "dots"), ("none", PROSE)):
        for name, data in (("a.jsonl", lines(records)), ("a.json", json.dumps(records))):
            *documents, left = read(data, name, ReadSettings(text_field=told))
            assert len(documents) == 3
            assert documents[0].text == first
            held = sum(len(f"Title {n}{PROSE}body {n}dots") for n in range(3))
            count = held - sum(len(document.text) for document in documents)
            assert left.detail.startswith(f"{count} characters in fields that are not taken: ")


def test_a_field_is_guessed_by_its_length():
    records = [{"name": f"name {n}", "what_they_wrote": PROSE, "stars": 5} for n in range(3)]
    *documents, left = read(lines(records))
    assert [document.text for document in documents] == [PROSE] * 3
    assert (left.member, left.rule, left.size) == ("other fields", "other-columns", 18)
    documents = read(lines([{"question": PROSE, "answer": PROSE.upper()}] * 2))
    assert [document.text for document in documents] == [f"{PROSE}\n\n{PROSE.upper()}"] * 2


def test_a_usual_name_is_not_believed_where_another_field_holds_more():
    records = [{"document": f"INV-{n}", "what": f"{PROSE} {n}", "more": {"who": ["Ada", {"said": "no"}]}} for n in "ab"]
    *documents, left = read(lines(records))
    assert [document.text for document in documents] == [f"{PROSE} a", f"{PROSE} b"]
    assert left.detail == "20 characters in fields that are not taken: document, more"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"output": PROSE, "instruction": "Why?"}, f"Why?\n\n{PROSE}"),
        ({"instruction": "Add them.", "input": "two, three", "output": "5"}, "Add them.\n\ntwo, three\n\n5"),
        ({"instruction": "Add them.", "input": "", "output": "5"}, "Add them.\n\n5"),
        ({"context": PROSE, "response": "Rain.", "instruction": "What?"}, f"What?\n\n{PROSE}\n\nRain."),
        ({"prompt": "Why?", "response": PROSE}, f"Why?\n\n{PROSE}"),
        ({"prompt": "Why?", "completion": "Rain."}, "Why?\n\nRain."),
        ({"Question": "2 + 2 is what?", "Answer": "4"}, "2 + 2 is what?\n\n4"),
        ({"question": "Why?", "answer": "Rain.", "why": PROSE}, f"Why?\n\nRain.\n\n{PROSE}"),
        ({"question": "Why?", "answer": "Rain.", "text": f"Question: Why?\n{PROSE}"}, f"Question: Why?\n{PROSE}"),
        ({"question": "Why?", "answer": PROSE, "body": "no"}, f"Why?\n\n{PROSE}"),
    ],
)
def test_a_question_stays_with_its_answer(record, text):
    for part in (read(lines([record] * 3)), read(json.dumps([record] * 3), "a.json"), read(as_csv(record), "a.csv")):
        documents = [document for document in part if isinstance(document, Document)]
        assert [document.text for document in documents] == [text] * 3
    told = next(name for name in record if record[name])
    first, *_ = read(lines([record] * 3), settings=ReadSettings(text_field=told))
    assert first.text == record[told]


def test_the_account_says_which_fields_a_question_and_its_answer_are():
    document, left = read(lines([{"answer": PROSE, "question": "Why?", "source": "a book"}]))
    assert document.media_type == 'application/jsonl; field="question, answer"'
    assert left.detail == "6 characters in fields that are not taken: source"


def test_a_pair_without_questions_is_none():
    *documents, left = read(lines([{"question": "", "answer": PROSE}] * 2 + [{"question": "Why?", "answer": PROSE}]))
    assert [document.text for document in documents] == [PROSE] * 3
    assert left.detail.endswith("fields that are not taken: question")


@pytest.mark.parametrize(("who", "words"), [("role", "content"), ("from", "value")])
@pytest.mark.parametrize("answer", ["Rain.", PROSE])
def test_a_conversation_is_one_text(who, words, answer):
    chat = [{who: "user", words: "Why?"}, {who: "assistant", words: answer}, {who: "tool", words: None, "name": "call"}]
    document, *_, left = read(lines([{"id": "a1", "messages": chat}] * 2))
    assert document.text == f"Why?\n\n{answer}"
    assert document.media_type == 'application/jsonl; field="messages"'
    assert left.detail == "12 characters in fields that are not taken: id, messages"
    document, left = read(lines([{"post": {"chat": chat}}]), settings=ReadSettings(text_field="post.chat"))
    assert document.text == f"Why?\n\n{answer}"
    assert left.detail.startswith("4 characters")


@pytest.mark.parametrize(
    "data",
    [
        '{"name": "quire", "text": "words"}',
        "[1, 2, 3]",
        '["a", "b"]',
        '[{"a": 1}, {"b": 2}]',
        "{broken",
        '"words"',
        "[]",
    ],
)
def test_what_is_no_list_of_records_is_kept_as_it_stands(data):
    (document,) = read(data, "a.json")
    assert (document.text, document.language, document.media_type) == (data, "JSON", "application/json")


def test_one_line_is_a_record_and_one_object_is_told():
    assert [document.text for document in read('{"text": "words"}')] == ["words"]
    settings = ReadSettings(text_field="text")
    assert [document.text for document in read('{"text": "words"}', "a.json", settings)] == ["words"]


def test_broken_lines_are_told_and_cost_no_other():
    parts = read('{"text": "one"}\n{"text": \n{"text": "two"} {}\n\n{"text": "three"}\n{"text": ""}\n')
    assert [part.text for part in parts if isinstance(part, Document)] == ["one", "three"]
    left = [(part.member, part.outcome, part.rule) for part in parts if isinstance(part, LeftOut)]
    assert left == [
        ("record 2", "failed", "damaged"),
        ("record 3", "failed", "damaged"),
        ("records without text", "dropped", "empty"),
    ]


def test_very_many_broken_lines_are_added_up():
    good = '{"text": "words"}\n' * 300
    parts = read(good + "{\n" * 500)
    left = [part for part in parts if isinstance(part, LeftOut)]
    assert len(left) == 101
    assert sum(part.size for part in left) == 1000
    assert "400 more" in left[-1].detail


def test_a_list_that_breaks_off_keeps_what_came_before():
    *documents, left = read('[{"text": "one"}, {"text": "two"}, {"text": "th', "a.json")
    assert [document.text for document in documents] == ["one", "two"]
    assert (left.outcome, left.rule, left.size) == ("failed", "damaged", 12)


@pytest.mark.parametrize("deep", ["[" * 200_000, '{"a":' * 200_000, "[" * 100_000 + "]" * 100_000])
def test_deep_nesting(deep):
    (document,) = read(deep, "a.json")
    assert document.text == deep
    parts = read(f'{{"text": "one"}}\n{{"text": {deep}}}\n{{"text": "two"}}\n')
    assert [part.text for part in parts if isinstance(part, Document)] == ["one", "two"]
    assert parts[1].rule == "damaged"


def test_huge_numbers_take_no_time():
    number = "9" * 3_000_000
    documents = read(f'{{"text": "one", "n": {number}}}\n{{"text": "two", "n": -{number}.5e999999}}\n')
    assert [document.text for document in documents] == ["one", "two"]


def test_nul_surrogates_and_encodings():
    with pytest.raises(DroppedFile, match="binary"):
        read(b'{"text": "\0"}', "a.json")
    assert [d.text for d in read('{"text": "a\\u0000b"}\n{"text": "\\ud800"}\n')] == ["a\0b", "\ud800"]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "cp1252"):
        for name in ("a.jsonl", "a.json"):
            data = lines([{"text": "café à la carte"}] * 2, ensure_ascii=False).encode(encoding)
            assert [document.text for document in read(data, name)] == ["café à la carte"] * 2


def test_lines_are_read_from_the_disk_piece_by_piece(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines([{"text": f"words {n}"} for n in range(1000)]))
    settings = ReadSettings(max_file_bytes=2000)
    documents = list(read_file(path, "a.jsonl", settings))
    assert len(documents) == 1000
    assert len({document.sha256 for document in documents}) == 1
    path.write_text("[1]\n" * 1000)
    with pytest.raises(DroppedFile, match="too-large"):
        list(read_file(path, "a.jsonl", settings))


SEED = lines([{"id": n, "text": f"wörds {n}", "more": [1, {"a": None}]} for n in range(5)]).encode()


@given(
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=3)), max_size=8),
    st.integers(0, len(SEED)),
    st.sampled_from(["a.json", "a.jsonl"]),
)
def test_broken_records_end_in_documents_or_a_rule(changes, cut, name):
    data = bytearray(SEED)
    for place, new in changes:
        data[place : place + 1] = new
    try:
        parts = read(bytes(data[cut:]) or b" ", name)
    except DroppedFile:
        return
    except ReadError:  # of what begins like a file of another kind: three bytes make it a broken picture
        assert kind_of(name, bytes(data[cut:])).reader not in ("json", "json-lines")
        return
    assert all(part.text if isinstance(part, Document) else part.detail for part in parts)
