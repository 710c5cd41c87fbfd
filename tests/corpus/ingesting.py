"""What the tests of this folder share: a folder to ingest, an ingestion with the marked reader, and a comparison."""

import dataclasses
import os

import marked_reader

from quire.corpus.build import ingest
from quire.corpus.settings import IngestSettings
from quire.corpus.store import Corpus
from quire.settings import build

FILES = {
    "a.txt": "one text",
    "b/copy of a.txt": "one text",
    "b/long.txt": "word " * 5000,
    "b/c/damaged.pdf": "damaged file",
    "b/c/locked.pdf": "locked file",
    "crash.pdf": "crash now",
    "drop.bin": "drop this",
    "empty text.txt": "blank file",
    "two.txt": "another text, é",
    "z.zip": "archive first member|one text|last member",
    "zz.zip": "archive last member|first member",
}


def make_tree(folder, files=None):
    for name, text in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(10**18, 10**18))
    return folder


def settings_with(workers=1, seconds=20.0, **groups):
    return build(IngestSettings, {"pool": {"workers": workers, "seconds": seconds}, **groups})


def ingest_marked(sources, out, *, progress=None, **settings):
    return ingest(sources, out, settings_with(**settings), progress=progress, reader=marked_reader.read)


def contents(out):
    """All that has to be the same where the same folder was read with the same settings."""
    corpus = Corpus.open(out)
    rows = [dataclasses.replace(row, seconds=None, worker=None) for row in corpus.files()]
    shards = {path.name: path.read_bytes() for path in sorted(out.glob("documents-*.parquet"))}
    account = dataclasses.replace(corpus.account(), seconds=0, files_read=0)
    return shards, corpus.fingerprint, rows, account
