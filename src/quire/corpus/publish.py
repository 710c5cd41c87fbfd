"""A corpus is replaced whole: a kill at any moment leaves the old one, or the new one once the next run has begun.

The new files are written into a folder inside the corpus. When all of them are on the disk, a list of them is written
there (whole or not at all); from then on the new corpus is the true one, and moving the files into place can be
finished by anybody who finds that list.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from quire.files import fsync_folder, write_text

STAGE = ".new"
READY = "ready.json"
SHARDS = "documents-*.parquet"


@contextlib.contextmanager
def staged(corpus: Path) -> Iterator[Path]:
    """Give an empty folder for the files of the new corpus, and publish them if the block ends without an error."""
    folder = corpus / STAGE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        publish(corpus)
    finally:
        if not is_half_published(corpus):
            shutil.rmtree(folder, ignore_errors=True)


def publish(corpus: Path) -> None:
    """Put the staged files in the place of the corpus's files, and remove shards that are no longer part of it."""
    folder = corpus / STAGE
    names = sorted(entry.name for entry in folder.iterdir())
    for name in names:
        with open(folder / name, "rb") as file:
            os.fsync(file.fileno())
    fsync_folder(folder)
    write_text(folder / READY, json.dumps(names))
    finish(corpus)


def is_half_published(corpus: Path) -> bool:
    """Return whether a run was killed while it moved its files into place."""
    return (corpus / STAGE / READY).exists()


def finish(corpus: Path) -> None:
    """Complete what a killed run had decided, or clear away what it had not."""
    folder = corpus / STAGE
    if is_half_published(corpus):
        names = json.loads((folder / READY).read_text("utf-8"))
        for name in names:
            if (folder / name).exists():
                os.replace(folder / name, corpus / name)
        for shard in corpus.glob(SHARDS):
            if shard.name not in names:
                shard.unlink()
        fsync_folder(corpus)
        (folder / READY).unlink()
    shutil.rmtree(folder, ignore_errors=True)
