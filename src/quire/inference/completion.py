"""Short completions of a text that must follow a grammar, found by trying."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quire.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

Ids = np.ndarray[Any, np.dtype[np.int64]]

# What ends something comes first, then what separates, digits, letters, and any other byte.
PREFERRED = b'"}])>,:;@./-_=<[{( 0123456789nulltrefabcdghijkmopqsvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
DIGITS_FIRST = b"}],0123456789" + PREFERRED
LONGEST_PIECE = 16  # bytes of a token that a completion is made of: longer ones are rare
MOST_BYTES = 50_000
MOST_WORK = 500_000  # bytes that are checked while a completion is made shorter: a second at most
MOST_SUFFIXES = 12  # of the old completion are tried after a token
MOST_LITERALS = 200


class Vocabulary:
    """A tokenizer as llguidance and the search for completions see it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from llguidance import LLTokenizer, TokenizerWrapper

        self.size = tokenizer.vocab_size
        self.end_of_text = tokenizer.end_of_text
        pieces = [tokenizer.token_bytes(id) for id in range(self.size)]
        self.unwritable = np.array([id for id, piece in enumerate(pieces) if not piece], dtype=np.int64)
        self.ids: dict[bytes, int] = {}
        for id, piece in enumerate(pieces):
            if 0 < len(piece) <= LONGEST_PIECE:
                self.ids.setdefault(piece, id)
        self.pieces = pieces
        self.bytes = [byte for byte in range(256) if bytes([byte]) in self.ids]
        # Tokens without text need a name; a special one is never a part of a text.
        names = [piece or f"<|quire {id}|>".encode() for id, piece in enumerate(pieces)]
        self.backend = LLTokenizer(TokenizerWrapper(_Source(tokenizer, names, self.unwritable.tolist())))

    def tokens(self, text: bytes) -> list[int]:
        """Return the fewest tokens (of at most LONGEST_PIECE bytes) that make up `text`."""
        fewest = [0] * (len(text) + 1)
        first = [b""] * len(text)
        for begin in range(len(text) - 1, -1, -1):
            best = len(text) + 1
            for end in range(begin + 1, min(begin + LONGEST_PIECE, len(text)) + 1):
                if fewest[end] + 1 < best and text[begin:end] in self.ids:
                    best, first[begin] = fewest[end] + 1, text[begin:end]
            fewest[begin] = best
        tokens, place = [], 0
        while place < len(text):
            tokens.append(self.ids[first[place]])
            place += len(first[place])
        return tokens


class _Source:
    """What llguidance wants to know of a tokenizer."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, tokens: list[bytes], special: list[int]) -> None:
        self.eos_token_id = tokenizer.end_of_text
        self.tokens = tokens
        self.special_token_ids = special
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


class Completer:
    """Finds short completions; each that it gives was checked to be one.

    Args:
        vocabulary: of what the completions are made.
        literals: strings of the grammar, which are good to try.
    """

    def __init__(self, vocabulary: Vocabulary, literals: Sequence[bytes]) -> None:
        self._vocabulary = vocabulary
        self._literals = [(text, vocabulary.tokens(text)) for text in literals if self._has_bytes(text)]
        self._orders = [self._order(PREFERRED), self._order(DIGITS_FIRST)]

    def complete(self, matcher: LLMatcher, most: int) -> list[int] | None:
        """Return a short completion of at most `most` tokens of what the matcher has read, if one is found."""
        plain, digits_first = self._orders
        longest = min(LONGEST_PIECE * most + 64, MOST_BYTES)
        for order, repeat in ((plain, False), (plain, True), (digits_first, False)):
            text = self._walk(matcher.deep_copy(), order, longest, repeat)
            if text is None:
                continue
            tokens = self._vocabulary.tokens(text)
            if len(tokens) > most:
                text = self._shrunk(matcher, text)
                tokens = self._vocabulary.tokens(text)
            if len(tokens) <= most and self._completes(matcher, tokens):
                return tokens
        return None

    def reuse(self, matcher: LLMatcher, token: int, way: Sequence[int], most: int) -> Sequence[int] | None:
        """Return an end of an old completion that also completes after `token`, with at most `most` tokens."""
        for begin in range(min(len(way), MOST_SUFFIXES) + 1):
            if len(way) - begin <= most and self._completes(matcher, [token, *way[begin:]]):
                return way[begin:]
        return None

    def _completes(self, matcher: LLMatcher, tokens: Sequence[int]) -> bool:
        return bool(matcher.validate_tokens([*tokens, self._vocabulary.end_of_text]) == len(tokens) + 1)

    def _walk(self, matcher: LLMatcher, order: Ids, most_bytes: int, repeat: bool) -> bytes | None:
        """Go on from byte to byte until the text may end, taking what promises to end it soonest.

        With `repeat` a literal may be taken again later: good for lists of them, endless in (ab)*x.
        """
        text, last, tried = bytearray(), b"", set[int]()
        used: set[int] = set()
        while len(text) < most_bytes:
            if matcher.is_accepting():
                return bytes(text)
            literal = next(self._fitting(matcher, used), None)
            if repeat:
                used.clear()
            forced = matcher.compute_ff_bytes()
            if literal is not None:
                used.add(literal)
                step = self._literals[literal][1]
            elif forced and self._has_bytes(forced):
                step = self._vocabulary.tokens(forced)
            else:
                bits = matcher.compute_bitmask()
                # Where nothing changes, something else is tried: in [0-9]*x digits alone lead nowhere.
                tried = tried if bits == last else set()
                last = bits
                allowed = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")[order]
                ids = order[allowed.nonzero()[0]].tolist()
                if not ids:
                    return None
                if tried.issuperset(ids):
                    tried.clear()
                step = [next(id for id in ids if id not in tried)]
                tried.add(step[0])
            if not matcher.consume_tokens(step):
                return None
            text += b"".join(self._vocabulary.pieces[id] for id in step)
        return None

    def _fitting(self, matcher: LLMatcher, used: set[int]) -> Iterator[int]:
        for place, (_, tokens) in enumerate(self._literals):
            if place not in used and matcher.validate_tokens(tokens) == len(tokens):
                yield place

    def _shrunk(self, matcher: LLMatcher, text: bytes) -> bytes:
        """Leave out of a completion what can be left out, larger parts first."""
        size, work = len(text) // 2, 0
        while size:
            begin = 0
            while begin < len(text):
                work += len(text)
                if work > MOST_WORK:
                    return text
                shorter = text[:begin] + text[begin + size :]
                if self._completes(matcher, [self._vocabulary.ids[bytes([byte])] for byte in shorter]):
                    text = shorter
                else:
                    begin += size
            size //= 2
        return text

    def _order(self, preferred: bytes) -> Ids:
        places = {byte: place for place, byte in reversed(list(enumerate(preferred)))}
        ordered = sorted(self._vocabulary.bytes, key=lambda byte: places.get(byte, len(preferred) + byte))
        ids = [self._vocabulary.ids[bytes([byte])] for byte in ordered]
        return np.array(ids, dtype=np.int64)

    def _has_bytes(self, text: bytes) -> bool:
        return all(bytes([byte]) in self._vocabulary.ids for byte in text)


def literals_of_regex(regex: str) -> list[bytes]:
    """Return the runs of letters and digits of a regular expression, short ones first."""
    found = re.findall(r"(?<!\\)[^\W_]{2,}", regex)
    return [each.encode("utf-8", "ignore") for each in sorted(set(found), key=len)][:MOST_LITERALS]


def literals_of_schema(schema: Any) -> list[bytes]:
    """Return values of `enum` and `const` as JSON, and the literals of patterns, short ones first."""
    found: set[bytes] = set()
    level = [schema]
    while level:
        for each in (each for each in level if isinstance(each, dict)):
            values = each.get("enum") if isinstance(each.get("enum"), list) else []
            constant = [each["const"]] if "const" in each else []
            found |= {_compact(value) for value in [*(values or []), *constant]}
            if isinstance(each.get("pattern"), str):
                found |= set(literals_of_regex(each["pattern"]))
        groups = [each for each in level if isinstance(each, dict | list)]
        level = [part for each in groups for part in (each.values() if isinstance(each, dict) else each)]
    return sorted(found, key=lambda text: (len(text), text))[:MOST_LITERALS]


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "ignore")
