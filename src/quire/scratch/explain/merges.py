"""Byte-pair encoding step by step: which pairs stand in the text, which is merged, and the text after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from quire.scratch.bpe import BytePairEncoder, Merge, count_pairs, merge_pair
from quire.scratch.explain.explanation import Code, Equation, Explanation, Sentence, Step, Table, say, step, table
from quire.scratch.explain.notation import counted

SHOWN_PAIRS = 6  # pairs of a step, the most frequent ones
SHOWN_WORDS = 40  # words of the text after a step

Words = Counter[tuple[bytes, ...]]


def bpe(text: str, merges: int = 10) -> Explanation:
    """Work out the byte-pair merges that a text teaches, and how it is then encoded.

    Args:
        text: what is learned from, not empty.
        merges: how many at most.

    Raises:
        ValueError: the text is empty, or merges is negative.
    """
    if not text:
        raise ValueError("the text is empty")
    encoder = BytePairEncoder.train(text, merges)
    words: Words = Counter(tuple(bytes([byte]) for byte in word) for word in encoder.split(text))
    steps = [_beginning(words, text)]
    for count, merge in enumerate(encoder.merges, 1):
        pairs = count_pairs(words)
        words = Counter({merge_pair(word, merge.left, merge.right): many for word, many in words.items()})
        steps.append(_merge(count, merge, pairs, words, encoder.tokens.index(merge.left + merge.right)))
    if len(encoder.merges) < merges:
        steps.append(step("The end", say("No pair stands in the text twice: there is nothing more to learn.")))
    steps.append(_encoded(encoder, text))
    result = {
        "text": text,
        "merges": [
            {
                "left": show(one.left),
                "right": show(one.right),
                "token": show(one.left + one.right),
                "count": one.frequency,
            }
            for one in encoder.merges
        ],
        "ids": encoder.encode(text),
        "tokens": [show(encoder.tokens[id]) for id in encoder.encode(text)],
        "bytes": len(text.encode("utf-8")),
    }
    return Explanation("Byte-pair encoding", tuple(steps), result)


def show(token: bytes) -> str:
    """Return a token so that it can be seen: a space as ␣, a line feed as ↵, bytes of half a character as hex."""
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"<{byte:02x}>" for byte in token)
    return "".join(
        SIGNS.get(sign, sign) if sign.isprintable() or sign in SIGNS else f"<{ord(sign):02x}>" for sign in text
    )


SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥"}


def spelled(word: Iterable[bytes]) -> str:
    """Return the tokens of a word side by side."""
    return " ".join(show(token) for token in word)


def _beginning(words: Words, text: str) -> Step:
    sizes = f"{counted(len(text.encode('utf-8')), 'byte')}, {counted(sum(words.values()), 'word')}"
    return step(
        "The text as bytes",
        say(f"{sizes}. A space belongs to the word after it and is shown as ␣."),
        _words(words),
    )


def _words(words: Words) -> Table:
    rows = [[Code(spelled(word)), str(many), str(len(word))] for word, many in list(words.items())[:SHOWN_WORDS]]
    left = len(words) - SHOWN_WORDS
    if left > 0:
        rows.append([f"and {left} more", "", ""])
    return table(["word", "times", "tokens"], rows)


def _merge(count: int, merge: Merge, pairs: Counter[tuple[bytes, bytes]], words: Words, id: int) -> Step:
    ordered = sorted(pairs, key=lambda pair: (-pairs[pair], pair != (merge.left, merge.right)))
    tied = sum(pairs[pair] == merge.frequency for pair in ordered)
    rows = [
        [Code(spelled(pair)), str(pairs[pair]), "merged" if pair == (merge.left, merge.right) else ""]
        for pair in ordered[:SHOWN_PAIRS]
    ]
    lines: list[Equation | Sentence | Table] = [table(["pair", "times", ""], rows)]
    if len(ordered) > SHOWN_PAIRS:
        more = len(ordered) - SHOWN_PAIRS
        lines.append(say(f"And {more} more pair{'' if more == 1 else 's'}."))
    if tied > 1:
        lines.append(
            say(
                f"{tied} pairs stand there {merge.frequency} times; of them the one whose left token has the lowest id "
                "is taken, then whose right one has."
            )
        )
    joined = show(merge.left + merge.right)
    lines.append(
        say(Code(show(merge.left)), " and ", Code(show(merge.right)), " become ", Code(joined), f", token {id}.")
    )
    lines.append(_words(words))
    return step(f"Merge {count}", *lines)


def _encoded(encoder: BytePairEncoder, text: str) -> Step:
    ids = encoder.encode(text)
    size = counted(len(text.encode("utf-8")), "byte")
    shown = [encoder.tokens[id] for id in ids[:200]]
    more = f" and {len(ids) - 200} more" if len(ids) > 200 else ""
    return step(
        "The text as tokens",
        say(Code(spelled(shown)), more),
        say(Code(" ".join(map(str, ids[:200]))), more),
        say(f"{size} became {counted(len(ids), 'token')}."),
    )
