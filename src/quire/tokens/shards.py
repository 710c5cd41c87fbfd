"""From a corpus to token shards: split, learn the vocabulary on what trains, encode, write."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from quire.documents.document import Document
from quire.errors import FormatError
from quire.tokens.dataset import FORMAT, INDEX_FILE, Split, TokenDataset, TokenLocation
from quire.tokens.settings import TokenSettings
from quire.tokens.split import Documents, Progress, SplitPlan, plan_split
from quire.tokens.tokenizer import TOKENIZER_FILE, Tokenizer
from quire.tokens.writer import SplitWriter, write_index

__all__ = ["Split", "TokenDataset", "TokenLocation", "TokenSettings", "pieces", "prepare"]

_PIECE = 1 << 17  # characters encoded as one; a larger text is cut where the tokenizer cuts anyway
_AT_ONCE = 1 << 21  # characters encoded in one call, in parallel: about 100 MB while it lasts
# After a line end, before a character that surely is no white space: the split pattern always has a boundary there.
_SURE_BOUNDARY = re.compile("\n(?=[!-~À-ɏͰ-߿぀-鿿가-힣])")
_SIDES = ("train", "validation")


def prepare(
    corpus: Documents,
    out: Path,
    settings: TokenSettings | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    progress: Progress | None = None,
    split: SplitPlan | None = None,
) -> TokenDataset:
    """Make token shards of `corpus` in the folder `out`, or open those that are there if they are of the same making.

    The vocabulary is learned from the training side alone. Memory stays bounded, however large the corpus is.

    Args:
        corpus: read three times: to split it, to learn the vocabulary, to encode it.
        out: the folder; made if it is not there. Shards of another making in it are replaced.
        settings: how; the defaults are those of `TokenSettings`.
        tokenizer: one to use as it is, instead of the one that the settings ask for.
        progress: called with what is being done, and the bytes of text done and to do.
        split: what validates, instead of what `plan_split` would choose: for a published split.

    Raises:
        QuireError: the corpus is too small, or the folder cannot be written.
    """
    settings = settings or TokenSettings()
    made_of = {
        "format": FORMAT,
        "corpus": corpus.fingerprint,
        "settings": settings.model_dump(),
        "tokenizer": None if tokenizer is None else tokenizer.fingerprint(),
        "split": None if split is None else {str(id): cut for id, cut in split.cuts.items()},
    }
    out = Path(out)
    # Damaged or half-made shards are made again: what they were made of is here.
    with contextlib.suppress(FormatError):
        dataset = TokenDataset.open(out)
        if dataset.made_of == made_of:
            return dataset
    _clear(out)
    plan = split or plan_split(corpus, settings, progress)
    notes = [plan.rule]
    if tokenizer is None and settings.tokenizer == "byte":
        tokenizer = Tokenizer.byte()
    elif tokenizer is None:
        tokenizer = Tokenizer.train(_training_texts(corpus, plan, progress), settings.vocab_size)
        if tokenizer.vocab_size < settings.vocab_size:
            notes.append(
                f"vocabulary: {tokenizer.vocab_size} tokens, not {settings.vocab_size}: "
                "the text has no more pairs to merge that stand in it twice"
            )
    tokenizer.save(out)
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    writers = {side: SplitWriter(out, side, dtype, settings.shard_tokens) for side in _SIDES}
    _encode(corpus, plan, tokenizer, writers, progress)
    splits = {side: writer.finish() for side, writer in writers.items()}
    write_index(out, made_of, notes, splits)
    return TokenDataset.open(out)


def pieces(text: str, size: int = _PIECE) -> Iterator[str]:
    """Cut `text` into pieces of about `size` characters whose tokens, in a row, are those of the whole.

    A piece is longer where no line ends; the pieces in a row are the text.
    """
    start = 0
    while len(text) - start > size:
        found = _SURE_BOUNDARY.search(text, start + size - 1)
        if found is None:
            break
        yield text[start : found.end()]
        start = found.end()
    yield text[start:]


def _parts(document: Document, cut: int | None) -> Iterator[tuple[str, int, int]]:
    # The sides that a document is on, with the characters that are there.
    length = len(document.text)
    cut = length if cut is None else cut
    if cut > 0:
        yield "train", 0, cut
    if cut < length:
        yield "validation", cut, length


def _training_texts(corpus: Documents, plan: SplitPlan, progress: Progress | None) -> Iterator[str]:
    done = 0
    for numbered in corpus.documents():
        text = numbered.document.text
        for side, start, stop in _parts(numbered.document, plan.cuts.get(numbered.id)):
            if side == "train":
                yield from pieces(text[start:stop])
        done += len(text.encode("utf-8"))
        if progress:
            progress("learning the vocabulary", done, corpus.num_bytes)


def _encode(
    corpus: Documents,
    plan: SplitPlan,
    tokenizer: Tokenizer,
    writers: dict[str, SplitWriter],
    progress: Progress | None,
) -> None:
    waiting: list[tuple[str, str, dict[str, Any] | None]] = []  # side, piece, and the document with its last piece
    size = done = 0

    def flush() -> None:
        nonlocal done
        encoded = tokenizer.encode_batch([piece for _, piece, _ in waiting])
        for (side, piece, document), ids in zip(waiting, encoded, strict=True):
            writers[side].add(ids, len(piece.encode("utf-8")))
            done += len(piece.encode("utf-8"))
            if document is not None:
                writers[side].end_document(document, tokenizer.end_of_text)
        waiting.clear()
        if progress:
            progress("encoding", done, corpus.num_bytes)

    for numbered in corpus.documents():
        document = numbered.document
        for side, start, stop in _parts(document, plan.cuts.get(numbered.id)):
            for piece in pieces(document.text[start:stop]):
                waiting.append((side, piece, None))
                size += len(piece)
                if size >= _AT_ONCE:
                    flush()
                    size = 0
            record = {
                "document_id": numbered.id,
                "source": document.source,
                "member": document.member,
                "char_start": start,
                "page_starts": [page.start for page in document.pages if page.page is not None],
                "page_numbers": [page.page for page in document.pages if page.page is not None],
            }
            waiting.append((side, "", record))
    flush()


def _clear(folder: Path) -> None:
    # The index goes first: from then on there is nothing that claims to be whole.
    for name in (INDEX_FILE, TOKENIZER_FILE, *(f"{side}.parquet" for side in _SIDES)):
        (folder / name).unlink(missing_ok=True)
    for side in _SIDES:
        for shard in folder.glob(f"{side}-[0-9]*.npy"):
            shard.unlink()
