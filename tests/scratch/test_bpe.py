import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, trainers

from quire.scratch.bpe import WORDS, BytePairEncoder, Merge, count_pairs, merge_pair
from quire.tokens.tokenizer import Tokenizer

PROSE = (
    "She sells sea shells by the sea shore; the shells that she sells are sea shells for sure. "
    "So if she sells sea shells on the sea shore, then I am sure she sells sea shore shells.\n"
    "Über Nacht fällt Schnee über die Hügel, und über den Hügeln hört man die Flügel der Vögel.\n"
)
any_text = st.text(st.characters(exclude_categories=["Cs"]))
few_letters = st.text("ab c", max_size=60)


def theirs(merges):
    """Return Hugging Face's encoder of such merges, with each byte written as the character of that code."""
    vocabulary = {chr(byte): byte for byte in range(256)}
    pairs = [(left.decode("latin-1"), right.decode("latin-1")) for left, right, _ in merges]
    for left, right in pairs:
        vocabulary.setdefault(left + right, len(vocabulary))
    return tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))


def learned_by_theirs(words, merges):
    learner = tokenizers.Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges,
        min_frequency=2,
        initial_alphabet=[chr(byte) for byte in range(256)],
        show_progress=False,
        special_tokens=[],
    )
    learner.train_from_iterator([word.decode("latin-1") for word in words], trainer)
    pairs = json.loads(learner.to_str())["model"]["merges"]
    return [(left.encode("latin-1"), right.encode("latin-1")) for left, right in pairs]


@given(any_text, any_text, st.integers(0, 30))
def test_decoded_is_what_was_encoded(learned, text, merges):
    encoder = BytePairEncoder.train(learned, merges)
    for each in (learned, text):
        ids = encoder.encode(each)
        assert encoder.decode(ids) == each
        assert all(0 <= id < len(encoder.tokens) for id in ids)
        assert len(ids) <= len(each.encode("utf-8"))


@given(any_text)
def test_words_put_together_are_the_text(text):
    assert b"".join(BytePairEncoder().split(text)) == text.encode("utf-8")


def test_a_short_text_by_hand():
    # aa, ab, ba stand in "aab aab ba": aa 2, ab 2, " a" 1, " b" 1, ba 1. Of aa and ab, aa has the lower second id.
    encoder = BytePairEncoder.train("aab aab ba", 10)
    assert count_pairs({(b"a", b"a", b"b"): 2, (b"b", b"a"): 1}) == {
        (b"a", b"a"): 2,
        (b"a", b"b"): 2,
        (b"b", b"a"): 1,
    }
    assert encoder.merges == [Merge(b"a", b"a", 2), Merge(b"aa", b"b", 2)]
    assert encoder.tokens[256:] == [b"aa", b"aab"]
    assert encoder.encode("aab ba") == [257, 32, 98, 97]
    assert encoder.spell(b"aaaab") == (b"aa", b"aab")
    assert merge_pair((b"a", b"a", b"a"), b"a", b"a") == (b"aa", b"a")  # from the left on


def test_frequencies_are_those_of_the_text():
    encoder = BytePairEncoder.train(PROSE, 30)
    assert len(encoder.merges) == 30
    words = encoder.split(PROSE)
    for number, merge in enumerate(encoder.merges):
        before = BytePairEncoder(encoder.merges[:number])
        spelled = [before.spell(word) for word in words]
        pairs = count_pairs({word: spelled.count(word) for word in spelled})
        assert merge.frequency == pairs[merge.left, merge.right] == max(pairs.values())
    assert BytePairEncoder.train(PROSE, 30).merges == encoder.merges
    assert BytePairEncoder.train(PROSE, 20).merges == encoder.merges[:20]


def test_no_merge_of_what_stands_there_once():
    assert BytePairEncoder.train("abcdef", 5).merges == []
    assert BytePairEncoder.train("", 5).merges == []


@given(few_letters | any_text, st.integers(0, 12))
def test_the_merges_are_those_that_hugging_face_learns(text, merges):
    ours = BytePairEncoder.train(text, merges)
    assert [(left, right) for left, right, _ in ours.merges] == learned_by_theirs(ours.split(text), merges)


def test_the_merges_of_prose_are_those_that_hugging_face_learns():
    ours = BytePairEncoder.train(PROSE, 200)
    assert len(ours.merges) > 30
    assert [(left, right) for left, right, _ in ours.merges] == learned_by_theirs(ours.split(PROSE), 200)


@given(few_letters, few_letters | any_text)
def test_with_the_same_merges_the_ids_are_hugging_faces(learned, text):
    encoder = BytePairEncoder.train(learned, 30)
    peer = theirs(encoder.merges)
    expected = [id for word in encoder.split(text) for id in peer.encode(word.decode("latin-1")).ids]
    assert encoder.encode(text) == expected


def test_the_merges_of_our_tokenizer_give_its_ids():
    peer = Tokenizer.train([PROSE], 400)
    encoder = BytePairEncoder(peer.merges())
    text = "Then she sells sea shells over the shore und hört die Vögel"  # words alone: both cut it alike
    assert encoder.encode(text) == peer.encode(text)
    assert all(merge.frequency == 0 for merge in encoder.merges)


def test_two_ways_to_one_token_share_its_id():
    encoder = BytePairEncoder([(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")])
    assert encoder.tokens[256:] == [b"ab", b"bc", b"abc"]
    assert encoder.encode("abc") == [258]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BytePairEncoder.train("a", -1), "merges must be 0 or more, not -1"),
        (lambda: BytePairEncoder([(b"a", b"bc")]), "merge 0 joins b'a' and b'bc', which are not both tokens"),
        (lambda: BytePairEncoder().decode([65, 256]), "token id 256 is not in the vocabulary of 256"),
        (lambda: BytePairEncoder().decode([-1]), "token id -1"),
        (lambda: BytePairEncoder([], r"\w+").encode("a b"), "leaves out parts of the text"),
        (lambda: BytePairEncoder().encode("a \ud800"), "surrogates not allowed"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bytes_that_are_no_character_are_replaced():
    assert BytePairEncoder().decode([0xC3, 65]) == "\ufffdA"
    assert BytePairEncoder().split("one  two\n three") == [b"one", b" ", b" two", b"\n", b" three"]
    assert BytePairEncoder().pattern == WORDS
