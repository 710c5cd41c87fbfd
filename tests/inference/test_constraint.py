import json
import re
import time
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import UsageError
from quire.inference.constraint import Constraint
from quire.inference.sampling import SamplingSettings, SamplingState, choose
from quire.tokens.tokenizer import Tokenizer

BYTES = Tokenizer.byte()
PAIRS = Tokenizer.train(['{"name": "Anna", "age": 12, "tags": ["a", "b"]}\n', "the end of the é€😀 café\n"] * 9, 400)
TOKENIZERS = [BYTES, PAIRS]

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 9},
        "age": {"type": "integer", "minimum": 1000},
        "tags": {"type": "array", "minItems": 1, "items": {"enum": ["a long one of them", "b", "é"]}},
        "more": {"anyOf": [{"type": "null"}, {"type": "string"}]},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "number"}, "c": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["v", "c"],
        }
    },
}
WORD = {"type": "string", "pattern": "^[a-z]*end$"}
SCHEMAS: list[Any] = [PERSON, TREE, WORD, {}, {"type": "string"}, {"const": {"ключ": "😀"}}, {"enum": [12345, 7]}]
REGEXES = ["[a-z]*end", "[0-9]*x", "é{3}|日本+語", "(ab|cd){3,9}[^x]{2}y?", "", "[^a]*", "[0-9]{3}-[0-9]{4}", "(?s).*"]


def write(
    tokenizer: Tokenizer, chosen: SamplingSettings, seed: int, loved: list[int], constraint: Constraint | None = None
) -> tuple[bytes, bool]:
    """Write from random scores, in which some tokens are loved; return the text and whether the model ended it."""
    constraint = constraint or Constraint(tokenizer, json_schema=chosen.json_schema, regex=chosen.regex)
    end = tokenizer.end_of_text
    state = SamplingState(chosen, [], seed=seed, sample=0, end_of_text=end, constraint=constraint)
    generator = torch.Generator().manual_seed(seed)
    written: list[int] = []
    while len(written) < chosen.max_tokens:
        logits = 3 * torch.randn(1, tokenizer.vocab_size + 5, generator=generator)
        logits[0, [*loved, tokenizer.vocab_size + 1]] += 20
        (choice,) = choose(logits, [state])
        if choice.token == end:
            return tokenizer.decode_bytes(written), True
        state.push(choice.token)
        written.append(choice.token)
    return tokenizer.decode_bytes(written), False


cases = {
    "tokenizer": st.sampled_from(TOKENIZERS),
    "seed": st.integers(0, 10**6),
    "temperature": st.sampled_from([0.0, 1.0, 2.0]),
    "loved": st.lists(st.sampled_from([*b' "\\{[,0e-.', 0xC3, 0xF0, 256, 257, 258]), max_size=3),
}


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
@settings(deadline=None, max_examples=25)
@given(max_tokens=st.integers(1, 150), **cases)
def test_what_is_written_is_json_of_the_schema_whatever_the_scores(
    schema: Any, tokenizer: Tokenizer, seed: int, temperature: float, loved: list[int], max_tokens: int
) -> None:
    chosen = SamplingSettings(json_schema=schema, temperature=temperature, max_tokens=max_tokens, top_p=0.99)
    try:
        text, _ = write(tokenizer, chosen, seed, [*loved, tokenizer.end_of_text][-2:])
    except UsageError as error:
        if max_tokens >= 50 or "no text of at most" not in str(error):
            raise
        return
    jsonschema.validate(json.loads(text.decode("utf-8")), schema)


@pytest.mark.parametrize("regex", REGEXES)
@settings(deadline=None, max_examples=25)
@given(max_tokens=st.integers(1, 60), **cases)
def test_what_is_written_is_a_match_of_the_expression_whatever_the_scores(
    regex: str, tokenizer: Tokenizer, seed: int, temperature: float, loved: list[int], max_tokens: int
) -> None:
    chosen = SamplingSettings(regex=regex, temperature=temperature, max_tokens=max_tokens, top_p=0.99)
    try:
        text, _ = write(tokenizer, chosen, seed, loved)
    except UsageError as error:
        if max_tokens >= 12 or "no text of at most" not in str(error):
            raise
        return
    assert re.fullmatch(regex, text.decode("utf-8"))


@pytest.mark.parametrize(
    ("schema", "fewest"),
    [
        (PERSON, len('{"name":"","age":1000,"tags":["b"]}')),
        (TREE, len('{"v":0,"c":[]}')),
        (WORD, len('"end"')),
        ({}, 1),
        ({"enum": ["aaaaaaaa", "b"]}, 3),
        ({"type": "array", "minItems": 3, "items": {"enum": ["aaaa", "b"]}}, len('["b","b","b"]')),
    ],
    ids=str,
)
def test_max_tokens_is_refused_only_where_no_text_is_short_enough(schema: Any, fewest: int) -> None:
    enough = SamplingSettings(json_schema=schema, max_tokens=fewest)
    for seed in range(5):
        text, _ = write(BYTES, enough, seed, [])
        jsonschema.validate(json.loads(text), schema)
    if fewest > 1:
        with pytest.raises(UsageError, match=f"no text of at most {fewest - 1} tokens"):
            write(BYTES, enough.model_copy(update={"max_tokens": fewest - 1}), 0, [])


def test_a_branch_for_which_there_are_too_few_tokens_is_not_taken() -> None:
    long = {"type": "object", "properties": {"x" * 30: {"type": "null"}}, "required": ["x" * 30]}
    schema = {"anyOf": [{"type": "string"}, long]}
    (brace,) = b"{"
    for most, begin in ((20, b'"'), (60, b"{")):
        text, _ = write(BYTES, SamplingSettings(json_schema=schema, max_tokens=most), 1, [brace])
        jsonschema.validate(json.loads(text), schema)
        assert text[:1] == begin


def test_the_text_ends_by_itself_where_it_is_complete() -> None:
    text, ended = write(BYTES, SamplingSettings(regex="abc", max_tokens=50), 0, [])
    assert (text, ended) == (b"abc", True)
    constraint = Constraint(BYTES, regex="abc?")
    assert not constraint.complete
    constraint.accept(ord("a"))
    constraint.accept(ord("b"))
    assert constraint.complete
    assert not constraint.finished
    assert constraint.allowed().nonzero()[0].tolist() == [ord("c"), BYTES.end_of_text]
    constraint.accept(ord("c"))
    assert constraint.finished
    assert constraint.allowed().nonzero()[0].tolist() == [BYTES.end_of_text]
    constraint.accept(BYTES.end_of_text)
    with pytest.raises(UsageError, match="token 97 is not allowed"):
        constraint.accept(97)


def test_special_tokens_are_no_text() -> None:
    constraint = Constraint(PAIRS, regex="(?s).*")
    allowed = constraint.allowed()
    assert [id for id in PAIRS.special_tokens.values() if allowed[id]] == [PAIRS.end_of_text]


def test_a_clone_goes_on_by_itself() -> None:
    first = Constraint(BYTES, regex="ab|cd")
    first.require(5)
    second = first.clone()
    first.accept(ord("a"))
    second.accept(ord("c"))
    assert first.allowed().nonzero()[0].tolist() == [ord("b")]
    assert second.allowed().nonzero()[0].tolist() == [ord("d")]
    chosen = SamplingSettings(json_schema=PERSON, max_tokens=80)
    origin = Constraint(BYTES, json_schema=PERSON)
    texts = [write(BYTES, chosen, seed, [], origin.clone())[0] for seed in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "foo"}, "Invalid type: foo"),
        ({"$ref": "#/nope"}, "Pointer '/nope' does not exist"),
        ({"type": "string", "pattern": "(["}, "unclosed character class, at character 2 of"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, r"minimum \(5\) is greater than maximum \(3\)"),
        ("{", "not JSON.*line 1 column 2"),
        ("[]", "a schema is an object"),
        ("false", "schema false"),
        ({"x-guidance": {"lenient": 3}}, "expected a boolean"),
    ],
)
def test_a_bad_schema_is_refused_with_its_reason(schema: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=f"json_schema: .*{reason}"):
        Constraint(BYTES, json_schema=schema)


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        ("a(", "unclosed group, at character 2 of 'a\\('"),
        ("ab[", "unclosed character class, at character 3"),
        ("(?=a)b", "look-around.* is not supported, at character 1"),
        (r"\bfoo", "lookarounds not supported"),
        ("(" * 5000 + ")" * 5000, "nest"),
    ],
)
def test_a_bad_regular_expression_is_refused_with_its_reason(regex: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"regex: .*{reason}"):
        Constraint(BYTES, regex=regex)


def test_exactly_one_rule_is_needed() -> None:
    for rules in ({}, {"json_schema": {}, "regex": "a"}):
        with pytest.raises(UsageError, match="exactly one"):
            Constraint(BYTES, **rules)  # type: ignore[arg-type]


def test_hostile_rules_end_in_an_error_and_soon() -> None:
    began = time.perf_counter()
    deep: Any = {}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(UsageError, match="nested"):
        Constraint(BYTES, json_schema=deep)
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    for constraint in (Constraint(BYTES, json_schema=endless), Constraint(BYTES, regex="a{1000000}")):
        with pytest.raises(UsageError, match="no text of at most 256"):
            constraint.require(256)
    wide = {f"key {i}": {"type": "string"} for i in range(1500)}
    huge = Constraint(BYTES, json_schema={"type": "object", "properties": wide, "required": list(wide)})
    with pytest.raises(UsageError, match="no text of at most 100"):
        huge.require(100)
    assert time.perf_counter() - began < 20


def test_a_large_schema_is_followed_to_its_end() -> None:
    wide = {f"k{i}": {"type": "integer"} for i in range(60)}
    schema = {"type": "object", "properties": wide, "required": list(wide), "additionalProperties": False}
    text, _ = write(BYTES, SamplingSettings(json_schema=schema, max_tokens=700), 3, [])
    jsonschema.validate(json.loads(text), schema)
