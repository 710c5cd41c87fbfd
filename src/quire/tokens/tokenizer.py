"""Text to token ids and back: byte-level byte-pair encoding (BPE), or plain bytes.

Both kinds are one `tokenizer.json` of the Hugging Face `tokenizers` library:

- ids 0 to 255 are the bytes 0 to 255 themselves, so there is no text that cannot be encoded;
- then, for "bpe", one id a merge, in the order the merges were learned;
- the last three ids are `SPECIAL_TOKENS`.

There is no normalizer: decoding gives back exactly the text that was encoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from quire.errors import FormatError, QuireError, UsageError
from quire.files import write_text
from quire.tokens.settings import NUM_SPECIAL_TOKENS, SMALLEST_VOCABULARY

END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = (END_OF_TEXT, "<|im_start|>", "<|im_end|>")

# The split pattern of Qwen2, which llama.cpp knows by the name "qwen2": contractions, words with the one space or mark
# before them, single digits, punctuation, line ends, other white space. No token crosses such a boundary.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Learning a merge costs the square of a word's length, and a "word" of the pattern can be a whole file (a genome, a
# line of dashes): learning looks at pieces of at most this many characters. 1 MB of random ACGT then takes 1 s; uncut,
# 20 kB already take 0.3 s.
LONGEST_WORD_LEARNED = 128

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


class Tokenizer:
    """Encodes text as token ids and decodes them; made by `train`, `byte` or `load`.

    Attributes:
        kind: "bpe" or "byte".
        vocab_size: the number of ids, special tokens included; every id is below it.
        end_of_text: the id that ends a document and stands before the first.
        special_tokens: the ids of the special tokens by name; `encode` never gives one of them.
    """

    def __init__(self, backend: tokenizers.Tokenizer, end_of_text: str = END_OF_TEXT) -> None:
        # Text of a user that reads like a special token stays text. The switch is not stored in tokenizer.json.
        backend.encode_special_tokens = True
        self._backend = backend
        self._bytes = _bytes_of_tokens(backend)
        added = backend.get_added_tokens_decoder()
        self.special_tokens = {token.content: id for id, token in sorted(added.items()) if token.special}
        if end_of_text not in self.special_tokens:
            raise FormatError(f"the tokenizer has no special token {end_of_text!r} to end a text with")
        self.kind = "bpe" if json.loads(backend.to_str())["model"]["merges"] else "byte"
        self.vocab_size = len(self._bytes)
        self.end_of_text = self.special_tokens[end_of_text]
        self.end_of_text_name = end_of_text

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn a BPE vocabulary from `texts`; the same texts in the same order give the same vocabulary.

        Args:
            texts: consumed once, a text at a time; only counts of the words are kept in memory.
            vocab_size: the number of ids wanted, special tokens included, at least 259. Where the texts hold too few
                different words there are fewer: see `vocab_size` of the result.

        Raises:
            UsageError: `vocab_size` is too small to hold the bytes and the special tokens.

        Source: Sennrich, Haddow & Birch 2016 (BPE); Radford et al. 2019, section 2.2 (over bytes).
        """
        if vocab_size < SMALLEST_VOCABULARY:
            raise UsageError(
                f"vocab_size = {vocab_size}: at least {SMALLEST_VOCABULARY} are needed (256 bytes and "
                f"{NUM_SPECIAL_TOKENS} special tokens)"
            )
        learner = tokenizers.Tokenizer(models.BPE())
        learner.pre_tokenizer = _splitter(longest_word=LONGEST_WORD_LEARNED)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - NUM_SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
            special_tokens=[],
        )
        learner.train_from_iterator(texts, trainer)
        return cls(_backend([tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]))

    @classmethod
    def byte(cls) -> Tokenizer:
        """Return the tokenizer whose tokens are the 256 bytes and the special tokens."""
        return cls(_backend([]))

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read the `tokenizer.json` of `folder`, ours or that of another byte-level BPE model.

        Raises:
            FormatError: it is missing, not such a file, or not a byte-level BPE with an end of text.
        """
        path = Path(folder) / TOKENIZER_FILE
        try:
            backend = tokenizers.Tokenizer.from_str(path.read_text("utf-8"))
        except FileNotFoundError:
            raise FormatError("no such file", where=path, hint="Is this the folder of a model or a run?") from None
        except Exception as error:  # the library raises a bare Exception for whatever is wrong in the file
            raise FormatError(f"not a tokenizer file: {error}", where=path) from error
        config = _read_config(path.parent / CONFIG_FILE)
        end = config.get("eos_token", END_OF_TEXT)
        try:
            return cls(backend, end["content"] if isinstance(end, dict) else end)
        except FormatError as error:
            raise FormatError(error.what, where=path) from None

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which `transformers.AutoTokenizer` opens."""
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self.end_of_text_name,
            "eos_token": self.end_of_text_name,
            "pad_token": self.end_of_text_name,
            "additional_special_tokens": [name for name in self.special_tokens if name != self.end_of_text_name],
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
        }
        write_text(Path(folder) / TOKENIZER_FILE, self._backend.to_str(pretty=True) + "\n")
        write_text(Path(folder) / CONFIG_FILE, json.dumps(config, indent=2) + "\n")

    def fingerprint(self) -> str:
        """Return a hash that two tokenizers share when they encode alike: that of their `tokenizer.json`."""
        return hashlib.sha256(self._backend.to_str().encode("utf-8")).hexdigest()

    def content(self) -> dict[str, Any]:
        """Return what `tokenizer.json` holds, in the words of its library: vocabulary, merges, how it splits text."""
        content: dict[str, Any] = json.loads(self._backend.to_str())
        return content

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`; no special token is added, and none is seen in the text.

        Raises:
            QuireError: the text holds a lone surrogate, which no UTF-8 file can hold.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, encoded in parallel. Raises `QuireError` as `encode` does."""
        try:
            return [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]
        except TypeError:
            for text in texts:
                _refuse_surrogates(text)
            raise

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; special tokens give nothing, and bytes that are no whole character give U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of `ids`, which may begin or end inside a character. Raises as `token_bytes` does."""
        return b"".join(map(self.token_bytes, ids))

    def token_bytes(self, id: int) -> bytes:
        """Return the bytes that a token stands for; none for a special token.

        Raises:
            QuireError: `id` is not in the vocabulary.
        """
        if not 0 <= id < self.vocab_size:
            raise QuireError(f"token id {id} is not in the vocabulary of {self.vocab_size}")
        return self._bytes[id]

    def token_lengths(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the number of bytes of every token, (V,); 0 for special tokens."""
        return np.array([len(token) for token in self._bytes], dtype=np.int64)

    def merges(self) -> list[tuple[bytes, bytes]]:
        """Return the merges of the vocabulary in the order they were learned and are applied."""
        pairs = json.loads(self._backend.to_str())["model"]["merges"]
        return [(_to_bytes(left), _to_bytes(right)) for left, right in pairs]


def _splitter(longest_word: int | None = None) -> pre_tokenizers.PreTokenizer:
    steps: list[Any] = [pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated")]
    if longest_word is not None:
        steps.append(pre_tokenizers.Split(Regex(rf"(?m).{{1,{longest_word}}}"), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    return pre_tokenizers.Sequence(steps)


def _backend(merges: list[tuple[str, str]]) -> tokenizers.Tokenizer:
    vocabulary = {character: byte for byte, character in _CHARACTER_OF_BYTE.items()}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = _splitter()
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL_TOKENS])
    return backend


def _characters_of_bytes() -> Iterator[tuple[int, str]]:
    # GPT-2's way to write any byte as a printable character: those that are printable as themselves, the others
    # (control characters, the space, soft hyphen) as the characters from U+0100 on, in order.
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    shifted = 0
    for byte in range(256):
        if byte in printable:
            yield byte, chr(byte)
        else:
            yield byte, chr(256 + shifted)
            shifted += 1


_CHARACTER_OF_BYTE = dict(_characters_of_bytes())
_BYTE_OF_CHARACTER = {character: byte for byte, character in _CHARACTER_OF_BYTE.items()}


def _to_bytes(token: str) -> bytes:
    return bytes(_BYTE_OF_CHARACTER[character] for character in token)


def _bytes_of_tokens(backend: tokenizers.Tokenizer) -> list[bytes]:
    added = backend.get_added_tokens_decoder()
    vocabulary = backend.get_vocab(with_added_tokens=True)
    table = [b""] * (max(vocabulary.values()) + 1)
    for token, id in vocabulary.items():
        if id not in added:
            try:
                table[id] = _to_bytes(token)
            except KeyError:
                raise FormatError(f"token {token!r} is not in byte-level spelling: this is no byte-level BPE") from None
        elif not added[id].special:
            table[id] = token.encode("utf-8")
    return table


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FormatError(f"not valid JSON: {error}", where=path) from None
    if not isinstance(config, dict):
        raise FormatError("not a JSON object", where=path)
    return config


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QuireError(
            f"the text is not valid Unicode: a lone surrogate {text[error.start]!r} at character {error.start}",
            hint="Read the file with errors='replace'",
        ) from None
