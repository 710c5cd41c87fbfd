"""Each rule drops what it is about at its threshold and nothing else; prose, in any script, passes all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.corpus.quality import SAMPLE, FilterSettings, quality_of, rejected

PROSE = {
    "English": "It was a bright cold day in April, and the clocks were striking thirteen; he went home.\n" * 4,
    "German": "Über den Dächern der Stadt läuteten die Glocken; größer als sonst wirkte der alte Turm.\n" * 4,
    "Greek": "Η θάλασσα ήταν ήσυχη εκείνο το πρωί και τα καΐκια έμεναν δεμένα στο λιμάνι.\n" * 4,
    "Hindi": "सुबह की धूप में गाँव के लोग खेतों की ओर जा रहे थे और बच्चे खेल रहे थे।\n" * 4,
    "Thai": "เช้าวันนั้นทะเลสงบและเรือทุกลำยังจอดอยู่ที่ท่าเรือไม่มีใครออกไปจับปลาเลยสักคนเดียว\n" * 4,
    "Japanese": "その朝、海は静かで、すべての船が港に停泊していた。誰も漁に出なかった。\n" * 4,
    "numbers": "1 2 3\n4 5 6\n7 8 9\n" * 10,
    "sums": "12 + 7 = 19\n3 + 4 = 7\n",
    "verse": "\n".join(f"line {number} of it\nand the refrain again" for number in range(30)),
    "short": "ok",
}
DROPPED = {
    "too-short": "x",
    "no-words": "-- !! ** ??",
    "symbols": "=-=-=-= (~~~) " * 20 + "word",
    "garbled": "ab \ufffd\ue000\x01 " * 30,
    "repeated-lines": "page intentionally left blank\n" * 40,
    "no-spaces": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 20,
}


@pytest.mark.parametrize("name", PROSE)
def test_text_passes(name):
    assert rejected(quality_of(PROSE[name]), None, FilterSettings()) is None


@pytest.mark.parametrize("rule", DROPPED)
def test_each_rule_drops_what_it_is_about_and_says_so(rule):
    found = rejected(quality_of(DROPPED[rule]), None, FilterSettings())
    assert found is not None
    assert found[0] == rule
    off = FilterSettings(
        min_characters=0, min_word_share=0, max_garbled_share=1, max_repeated_lines=1, max_word_length=10**6
    )
    assert rejected(quality_of(DROPPED[rule]), None, off) is None


def test_thresholds_that_are_off_can_be_set():
    numbers = quality_of(PROSE["numbers"])
    assert rejected(numbers, None, FilterSettings(max_digit_share=0.5))[0] == "digits"
    prose = quality_of(PROSE["English"])
    assert rejected(prose, 0.55, FilterSettings())[0] == "unsure-ocr"
    assert rejected(prose, 0.65, FilterSettings()) is None
    assert rejected(prose, 0.55, FilterSettings(min_ocr_confidence=0.5)) is None
    assert rejected(prose, None, FilterSettings(min_characters=1000))[0] == "too-short"


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_shares_are_shares_and_ascii_is_counted_as_all_other_text_is(text):
    quality = quality_of(text)
    assert 0 <= quality.letters + quality.digits + quality.garbled <= 1.0002
    assert 0 <= quality.repeated <= 1
    assert quality.characters == sum(not char.isspace() for char in text)
    assert quality.letters == 0 or any(char.isalpha() or ord(char) > 127 for char in text)


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=200))
def test_the_fast_way_for_ascii_gives_the_same(text):
    slow = quality_of(f"{text}\u3000")  # white space, so that nothing else changes
    fast = quality_of(f"{text} ")
    assert slow == fast


def test_long_texts_are_judged_by_pieces_from_all_over():
    half = "It was a bright cold day in April, and he went home. " * 2000
    quality = quality_of(half + "\ufffd" * len(half))
    assert quality.characters <= SAMPLE + 10
    assert 0.45 < quality.garbled < 0.65
