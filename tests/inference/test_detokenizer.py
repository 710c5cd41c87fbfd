import itertools

from hypothesis import given
from hypothesis import strategies as st

from quire.inference.detokenizer import Detokenizer

# Few letters, so that stop strings are met; characters of one to four bytes.
texts = st.text(alphabet="ab é€😀", max_size=30)
stops = st.lists(st.text(alphabet="ab é€😀", min_size=1, max_size=4), max_size=3)
cuts = st.lists(st.integers(0, 120), max_size=12)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(mark, len(data)) for mark in at), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(marks)]


def run(pieces: list[bytes], stop: list[str]) -> tuple[list[str], bool]:
    detokenizer = Detokenizer(stop)
    shown = [detokenizer.push(piece) for piece in pieces]
    shown.append(detokenizer.finish())
    return shown, detokenizer.stopped


@given(st.binary(max_size=60), cuts)
def test_pieces_of_any_bytes_add_up_to_the_whole_decoded(data: bytes, at: list[int]) -> None:
    shown, stopped = run(cut(data, at), [])
    assert "".join(shown) == data.decode("utf-8", errors="replace")
    assert not stopped


@given(texts, cuts)
def test_half_a_character_is_never_shown(text: str, at: list[int]) -> None:
    shown, _ = run(cut(text.encode(), at), [])
    assert not any("\ufffd" in piece for piece in shown)
    assert "".join(shown) == text


def reference(text: str, stop: list[str]) -> tuple[str, bool]:
    """Read character by character and stop as soon as a stop string is complete; the longest one goes."""
    for end in range(1, len(text) + 1):
        complete = [s for s in stop if text[:end].endswith(s)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


@given(texts, stops, cuts)
def test_stop_strings_are_found_wherever_tokens_end(text: str, stop: list[str], at: list[int]) -> None:
    shown, stopped = run(cut(text.encode(), at), stop)
    assert ("".join(shown), stopped) == reference(text, stop)


@given(texts, stops)
def test_no_more_is_held_back_than_could_become_a_stop_string(text: str, stop: list[str]) -> None:
    detokenizer = Detokenizer(stop)
    shown = ""
    for character in text:
        shown += detokenizer.push(character.encode())
        if detokenizer.stopped:
            break
        held = reference(text, stop)[0]
        read = shown + detokenizer._held
        assert read == text[: len(read)]
        assert held.startswith(shown)  # nothing of a stop string was shown
        assert not detokenizer._held or any(s.startswith(detokenizer._held) for s in stop)


def test_an_unfinished_character_ends_as_a_replacement() -> None:
    detokenizer = Detokenizer()
    assert detokenizer.push("€".encode()[:2]) == ""
    assert detokenizer.finish() == "\ufffd"


def test_a_stop_string_over_tokens_by_hand() -> None:
    detokenizer = Detokenizer(["\n\nQ:"])
    assert detokenizer.push(b"Yes.\n") == "Yes."
    assert detokenizer.push(b"\n") == ""
    assert detokenizer.push(b"A") == "\n\nA"
    assert detokenizer.push(b".\n\nQ: and") == "."
    assert detokenizer.stopped
    assert detokenizer.push(b"more") == ""
    assert detokenizer.finish() == ""
