"""`quire show`: what a corpus, a run, a folder of tokens or a file is, and where a token came from."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quire.cli.printable import printable
from quire.errors import FormatError, ReadError, UsageError
from quire.settings import build, read_toml

if TYPE_CHECKING:
    from quire.corpus.account import Account
    from quire.corpus.find import Hit
    from quire.tokens.dataset import Split, TokenDataset

AROUND = 24  # tokens told on either side of the one asked for
TEXT_SHOWN = 300  # characters of a file's text
LEFT_OUT_SHOWN = 10  # parts of a file that are left out
TEXT = "\n\t"  # what a text may hold besides letters


def command(
    *,
    path: Path = typer.Argument(..., readable=False, help="A corpus, a run, a folder of tokens, or a file."),
    token: int | None = typer.Option(None, metavar="N", help="Tell where token N of the run's tokens came from."),
    words: str | None = typer.Option(
        None,
        "--find",
        metavar="WORDS",
        help="Of a corpus: every place where these words stand, with its file and page.",
    ),
    split: str = typer.Option("train", metavar="SPLIT", help="Which tokens N counts in: train or validation."),
    no_ocr: bool = typer.Option(False, "--no-ocr", help="Of a file: do not recognise text in pictures."),
    password: str | None = typer.Option(None, metavar="WORD", help="Of a file: opens it if it is encrypted."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Say what a corpus, a run or a file is, and where a token came from."""
    if not os.path.exists(path):
        raise UsageError("no such file or folder", where=path)
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        hint = "Give yourself the right to read it: chmod u+rX, or ask its owner"
        raise ReadError("no-access: Permission denied", where=path, hint=hint)
    if words is not None:
        _find(path, words, as_json=as_json)
        return
    if token is not None:
        facts = _token(path, token, split)
    elif path.is_file():
        facts = _tensors(path) if path.suffix == ".safetensors" else _file(path, ocr=not no_ocr, password=password)
    elif (path / "manifest.sqlite").is_file():
        facts = _corpus(path)
    elif (path / "config.json").is_file() or (path / "quire" / "run.toml").is_file():
        facts = _run(path)
    elif (path / "index.json").is_file():
        facts = _tokens(path)
    else:
        hint = "`quire ingest` makes a corpus of a folder, `quire train` a run"
        raise UsageError("neither a corpus, nor a run, nor a folder of tokens", where=path, hint=hint)
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, default=str))
    else:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    """Print `name: value` lines; the account of a corpus as its tables, a text as it is."""
    account, text = facts.pop("account", None), facts.pop("text", None)
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if value is not None:
            told = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
            if isinstance(value, list):
                more = len(value) - LEFT_OUT_SHOWN
                shown = [f"{part['member']} ({part['rule']})" for part in value[:LEFT_OUT_SHOWN]]
                told = "; ".join(shown) + (f"; and {more:,} more" if more > 0 else "")
            print(f"{name.replace('_', ' '):<{width}}  {printable(told)}")
    if account is not None:
        from quire.cli.ingest import print_account
        from quire.corpus.account import Account

        print()
        print_account(Account.from_dict(account))
    if text is not None:
        print(f"\n{printable(text, keep=TEXT)}")


# ---- corpus and files -----------------------------------------------------------------------------------------------


def _corpus(path: Path) -> dict[str, Any]:
    from quire.corpus.store import Corpus

    corpus = Corpus.open(path)
    account: Account = corpus.account()
    return {
        "kind": "corpus",
        "path": path,
        "documents": corpus.num_documents,
        "text_bytes": corpus.num_bytes,
        "shards": len(corpus.shards),
        "fingerprint": corpus.fingerprint,
        "report": path / "report.html",
        "account": account.as_dict(),
    }


def _find(path: Path, words: str, *, as_json: bool) -> None:
    """Print every hit as it is found: the place in one line, the text around it in the next."""
    from quire.corpus.find import find
    from quire.corpus.store import Corpus
    from quire.documents.document import counted

    corpus = Corpus.open(path)
    hits, documents = 0, set()
    found: list[Hit] = []
    mark = ("\x1b[7m", "\x1b[0m") if sys.stdout.isatty() else ("[[", "]]")
    for hit in find(corpus, words):
        hits += 1
        documents.add(hit.document)
        if as_json:
            found.append(hit)
        else:
            before, text, after = (printable(part, keep=TEXT) for part in (hit.before, hit.text, hit.after))
            around = f"…{before}{mark[0]}{text}{mark[1]}{after}…"
            print(f"{printable(_place(hit))}\n    {' '.join(around.split())}")
    if as_json:
        facts = {"kind": "hits", "path": path, "words": words, "hits": [dataclasses.asdict(hit) for hit in found]}
        print(json.dumps(facts, ensure_ascii=False, default=str))
    else:
        of = counted(corpus.num_documents, "document")
        print(f"{counted(hits, 'hit')} in {len(documents):,} of {of}")


def _place(hit: Hit) -> str:
    name = hit.source if hit.member is None else f"{hit.source}!{hit.member}"
    if hit.page is not None:
        pages = "page" if hit.page == hit.last_page else "pages"
        name += f", {pages} {hit.page}" + ("" if hit.page == hit.last_page else f" to {hit.last_page}")
    if hit.byte_start is not None and hit.byte_end is not None:
        name += f", {'bytes' if hit.exact else 'within bytes'} {hit.byte_start:,} to {hit.byte_end:,}"
    return f"{name}, characters {hit.start:,} to {hit.end:,} of document {hit.document:,}"


def _file(path: Path, *, ocr: bool, password: str | None) -> dict[str, Any]:
    """Read one file as an ingestion would, in a worker that may crash, and tell what comes of it."""
    from quire.corpus.packing import unpack
    from quire.corpus.reading import Task, read_task
    from quire.documents.document import Document, LeftOut
    from quire.documents.sandbox import Sandbox
    from quire.documents.settings import ReadSettings

    settings = build(ReadSettings, {"ocr": ocr, "password": password}, where="show")
    task = Task(bytes(path), path.name, path.stat().st_size, (), settings)
    with Sandbox(read_task, workers=1) as sandbox:
        (done,) = sandbox.map([task])
    reading = done.value
    if reading is None:
        raise ReadError(done.failure.reason if done.failure else "it could not be read", where=path)
    facts: dict[str, Any] = {
        "kind": "file",
        "path": path,
        "bytes": task.size,
        "sha256": reading.sha256,
        "outcome": reading.outcome,
        "reason": None if reading.rule is None else f"{reading.rule}: {reading.detail}",
        "seconds": round(done.seconds, 2),
    }
    parts = [part for packed in reading.parts for part in unpack(packed, path.name)]
    documents = [part for part in parts if isinstance(part, Document)]
    facts["left_out"] = [
        {"member": part.member, "outcome": part.outcome, "rule": part.rule, "detail": part.detail}
        for part in parts
        if isinstance(part, LeftOut)
    ] or None
    if documents:
        first = documents[0]
        facts |= {
            "media_type": first.media_type,
            "language": first.language,
            "documents": len(documents),
            "pages": len({span.page for document in documents for span in document.pages if span.page}) or None,
            "ocr_confidence": None if first.ocr_confidence is None else round(first.ocr_confidence, 3),
            "text_bytes": reading.text_bytes,
            "text": first.text if len(first.text) <= TEXT_SHOWN else f"{first.text[:TEXT_SHOWN]}…",
        }
    return facts


def _tensors(path: Path) -> dict[str, Any]:
    """Tell what the header of a safetensors file says: 8 bytes of its length, then JSON."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
        parameters = sum(math.prod(tensor["shape"]) for tensor in tensors.values())
        kinds = sorted({tensor["dtype"] for tensor in tensors.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise FormatError(f"not a safetensors file: {error}", where=path) from error
    return {
        "kind": "weights",
        "path": path,
        "bytes": path.stat().st_size,
        "tensors": len(tensors),
        "parameters": parameters,
        "number_formats": ", ".join(kinds),
    }


# ---- runs and tokens ------------------------------------------------------------------------------------------------


def _run(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": "run", "path": path}
    if (path / "config.json").is_file():
        config = _json(path / "config.json")
        facts |= {
            "architecture": ", ".join(config.get("architectures") or []) or config.get("model_type"),
            "layers": config.get("num_hidden_layers"),
            "hidden_size": config.get("hidden_size"),
            "heads": config.get("num_attention_heads"),
            "vocabulary": config.get("vocab_size"),
            "context": config.get("max_position_embeddings"),
        }
    if (path / "model.safetensors").is_file():
        weights = _tensors(path / "model.safetensors")
        facts |= {name: weights[name] for name in ("parameters", "number_formats")}
    facts |= _progress(path / "quire" / "metrics.jsonl")
    if (path / "quire" / "tokens" / "index.json").is_file():
        tokens = _tokens(path / "quire" / "tokens")
        facts |= {name: tokens[name] for name in ("train_tokens", "validation_tokens")}
    if (path / "quire" / "run.toml").is_file():
        facts["corpus"] = _corpus_of(path)
        facts["settings"] = path / "quire" / "run.toml"
    return facts


def _progress(metrics: Path) -> dict[str, Any]:
    """Tell how far training came, from the records in which a killed run may have left half a line."""
    facts: dict[str, Any] = {}
    if not metrics.is_file():
        return facts
    for line in metrics.read_text("utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record.get("kind") == "train":
            facts |= {"steps": record["step"], "training_seconds": round(record["seconds"], 1)}
        elif record.get("kind") == "validation":
            best = facts.get("best_validation_loss", math.inf)
            facts["best_validation_loss"] = min(best, record["loss"])
            if record["loss"] <= best:
                facts["best_bits_per_byte"] = round(record["bits_per_byte"], 4)
    return facts


def _corpus_of(run: Path) -> str | None:
    source = read_toml(run / "quire" / "run.toml").get("source", {})
    corpus = source.get("corpus") if isinstance(source, dict) else None
    return None if corpus is None else str(corpus)


def _tokens(path: Path) -> dict[str, Any]:
    from quire.tokens.dataset import TokenDataset

    dataset = TokenDataset.open(path)
    facts: dict[str, Any] = {
        "kind": "tokens",
        "path": path,
        "tokenizer": dataset.tokenizer.kind,
        "vocabulary": dataset.tokenizer.vocab_size,
    }
    for split in (dataset.train, dataset.validation):
        facts |= {
            f"{split.name}_tokens": split.num_tokens,
            f"{split.name}_documents": split.num_documents,
            f"{split.name}_bytes": split.num_bytes,
        }
    return facts | {"notes": "; ".join(dataset.notes) or None}


def _token(path: Path, position: int, name: str) -> dict[str, Any]:
    """Tell where a token came from, with the text around it."""
    from quire.tokens.dataset import TokenDataset

    splits = ("train", "validation")
    if name not in splits:
        raise UsageError(f"{name!r} is no split: they are {' and '.join(splits)}", where="--split")
    folder = path / "quire" / "tokens" if (path / "quire" / "tokens").is_dir() else path
    dataset: TokenDataset = TokenDataset.open(folder)
    split: Split = getattr(dataset, name)
    place = split.locate(position)
    tokenizer = dataset.tokenizer
    (token,) = split.tokens(position, position + 1).tolist()
    before = split.tokens(max(0, position - AROUND), position).tolist()
    after = split.tokens(position + 1, min(split.num_tokens, position + 1 + AROUND)).tolist()
    # Only text of the same document: what follows the last end-of-text before it, and precedes the first after it.
    end = split.end_of_text
    before = before[len(before) - before[::-1].index(end) :] if end in before else before
    after = [] if token == end else after[: after.index(end)] if end in after else after
    here = "(end of text)" if token == end else tokenizer.decode([token])
    mark = ("\x1b[7m", "\x1b[0m") if sys.stdout.isatty() else ("[[", "]]")
    return {
        "kind": "token",
        "position": position,
        "split": name,
        "id": token,
        "token": here,
        **dataclasses.asdict(place),
        "text": f"…{tokenizer.decode(before)}{mark[0]}{here}{mark[1]}{tokenizer.decode(after)}…",
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot be read: {error}", where=path) from error
    if not isinstance(values, dict):
        raise FormatError("not a JSON object", where=path)
    return values
