"""Corpora of a sweep: text cut to a size, made into tokens as the plan would, and packed in one small file.

What a training process needs of a corpus is two rows of tokens and two sums of bytes. So a file of a few megabytes
carries several corpora to a machine that has neither the texts nor a tokenizer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ORDERS = (2, 3, 4, 5, 7)  # of the n-grams that tell how hard a text is
SUFFIXES = (".txt", ".md", ".rst", ".py")


@dataclass(frozen=True)
class Row:
    """A row of tokens, as `quire.tokens.batches` cuts windows from."""

    ids: np.ndarray[Any, Any]
    end_of_text: int

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    def tokens(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        return self.ids[start:stop]


@dataclass(frozen=True)
class PackedCorpus:
    """Tokens of a corpus and what was measured of its text.

    Attributes:
        train, validation: the tokens of both splits.
        facts: vocabulary, bytes and tokens of the splits, xz and n-grams in bits per byte.
    """

    train: Row
    validation: Row
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Texts:
    # Documents in the form that `quire.tokens.shards.prepare` takes.
    texts: tuple[tuple[str, str], ...]  # (name, text)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256("\0".join(text for _, text in self.texts).encode()).hexdigest()

    @property
    def num_bytes(self) -> int:
        return sum(len(text.encode()) for _, text in self.texts)

    @property
    def num_documents(self) -> int:
        return len(self.texts)

    def documents(self) -> Iterator[Any]:
        from quire.corpus.store import CorpusDocument

        for id in range(len(self.texts)):
            yield CorpusDocument(id, self.document(id))

    def document(self, id: int) -> Any:
        from quire.documents.document import Document

        name, text = self.texts[id]
        return Document(text, name, "text/plain", hashlib.sha256(text.encode()).hexdigest())


def gather(sources: Sequence[Path], size: int) -> _Texts:
    """Return `size` bytes of text, an equal share from each source as far as it goes: its files in the order of names.

    Raises:
        SystemExit: the sources hold less.
    """
    texts: list[tuple[str, str]] = []
    left = size
    for number, source in enumerate(sources):
        share = left // (len(sources) - number)
        files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.suffix in SUFFIXES)
        for file in files:
            data = file.read_bytes()[:share]
            text = data.decode("utf-8", errors="ignore")
            if len(text) > 200:
                name = file.name if source.is_file() else str(file.relative_to(source))
                texts.append((f"{source.name}/{name}", text))
                share -= len(data)
                left -= len(data)
            if share <= 0:
                break
    if left > size // 50:
        raise SystemExit(f"{', '.join(map(str, sources))}: {size - left:,} bytes of text, {size:,} wanted")
    return _Texts(tuple(texts))


def pack(out: Path, wanted: Sequence[tuple[str, int, Sequence[Path]]]) -> None:
    """Make corpora of (name, bytes, sources), with the split and the tokenizer that the plan chooses, and pack them."""
    from quire.evaluation.baselines import compare_dataset
    from quire.tokens.shards import prepare
    from quire.training.plan import plan_tokens
    from quire.training.prediction import difficulty

    arrays: dict[str, Any] = {}
    facts = {}
    for name, size, sources in wanted:
        texts = gather(sources, size)
        with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
            data = prepare(texts, Path(folder), plan_tokens(texts.num_bytes, {})[0])
            for side, split in (("train", data.train), ("validation", data.validation)):
                arrays[f"{name}.{side}"] = np.array(split.tokens(0, split.num_tokens), dtype=np.uint16)
            facts[name] = {
                "sources": [source.name for source in sources],
                "documents": texts.num_documents,
                "bytes": texts.num_bytes,
                "vocab_size": data.tokenizer.vocab_size,
                "end_of_text": data.tokenizer.end_of_text,
                "train_tokens": data.train.num_tokens,
                "train_bytes": data.train.num_bytes,
                "validation_tokens": data.validation.num_tokens,
                "validation_bytes": data.validation.num_bytes,
                "ngrams": {order: round(difficulty(data, order), 4) for order in ORDERS},
                "baselines": dataclasses.asdict(compare_dataset(data)),
            }
            print(json.dumps({name: facts[name]}), flush=True)
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    with out.open("wb") as file:
        np.savez_compressed(file, **arrays)


def unpack(path: Path) -> dict[str, PackedCorpus]:
    """Return the corpora that `pack` wrote."""
    with np.load(path) as arrays:
        facts = json.loads(arrays["facts"].tobytes())
        return {
            name: PackedCorpus(
                *(
                    Row(arrays[f"{name}.{side}"].astype(np.int64), fact["end_of_text"])
                    for side in ("train", "validation")
                ),
                fact,
            )
            for name, fact in facts.items()
        }
