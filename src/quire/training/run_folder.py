"""The folder of a run: where its parts lie, who writes to it, and what may be replaced."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quire.corpus.store import Corpus
from quire.errors import FormatError, QuireError, UsageError
from quire.files import explain_os_error, only_writer
from quire.tokens.dataset import INDEX_FILE, TokenDataset
from quire.tokens.settings import TokenSettings
from quire.tokens.shards import prepare
from quire.tokens.tokenizer import Tokenizer
from quire.training.config import run_toml
from quire.training.journal import Listener

MODEL_FILES = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
RUN_FILES = (
    "run.toml",
    "environment.jsonl",
    "metrics.jsonl",
    "samples.md",
    "report.html",
    "score.json",
    "checkpoints",
    "plots",
    "profile",
    "tensorboard",
    "tokens",
)


def tokens_folder(run: Path) -> Path:
    """Return where the token shards of `run` lie."""
    return run / "quire" / "tokens"


def score_json(run: Path) -> Path:
    """Return where the closing score of `run` lies, beside what the same text costs by xz and by n-grams."""
    return run / "quire" / "score.json"


def is_own(run: Path, *, overwrite: bool) -> bool:
    """Return whether a job that torchrun has started again finds its own run, to go on with.

    Args:
        run: the run folder.
        overwrite: the job was told to replace what is there.

    Raises:
        UsageError: its run is there, and it would replace it.
    """
    if overwrite and run_toml(run).exists():
        hint = f"Go on with it: quire train --resume --out {run}"
        raise UsageError("torchrun started the job again, and --overwrite would delete its run", where=run, hint=hint)
    return run_toml(run).exists()


@contextlib.contextmanager
def writing(run: Path) -> Iterator[None]:
    """Hold the run folder while the block runs; leave none behind that nothing was written to.

    Raises:
        QuireError: another process holds it, or it cannot be made.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, run) from error
    try:
        with only_writer(run, "run"):
            yield
    finally:
        for folder in (run / "quire", run):
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_out(run: Path, *, overwrite: bool) -> None:
    """Look whether a new run can go into a folder.

    Args:
        run: the folder; it need not be there.
        overwrite: a run that is there may be replaced.

    Raises:
        UsageError: it is a file, holds a run that may not be replaced, or something else.
    """
    if run.exists() and not run.is_dir():
        raise UsageError("this is a file, and a run is a folder", where=run, hint="Choose another --out")
    if run_toml(run).exists() and not overwrite:
        raise UsageError(
            "a run is there already",
            where=run,
            hint="Go on with it by --resume, replace it by --overwrite, or choose another --out",
        )
    if run.is_dir() and not run_toml(run).exists():
        strange = sorted(p.name for p in run.iterdir() if p.name != "quire")
        if strange:
            raise UsageError(f"the folder holds other things ({strange[0]})", where=run, hint="Choose another --out")


def forget(run: Path) -> None:
    """Delete what a run wrote, and nothing else."""
    for path in (*(run / name for name in MODEL_FILES), *(run / "quire" / name for name in RUN_FILES)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def mend_tokens(run: Path, settings: TokenSettings, source: Mapping[str, Any], tell: Listener) -> None:
    """Make the token shards of a run again from its corpus where some are gone or damaged.

    Args:
        run: the run folder.
        settings: those of its tokens.
        source: what run.toml says of the corpus: "corpus", its folder, and "fingerprint".
        tell: is called with a note.

    Raises:
        FormatError: the shards are damaged, and the corpus is not there, or not the one they were made of.
    """
    place = tokens_folder(run)
    try:
        TokenDataset.open(place).verify()
        return
    except FormatError as error:
        damage = error
    folder = Path(source.get("corpus", ""))
    hint = f"Make it again: quire ingest ... --out {folder}, from the same files; or begin anew by --overwrite"
    try:
        corpus = Corpus.open(folder)
    except QuireError as error:
        raise FormatError(f"{damage.what}, and the corpus cannot be opened: {error}", where=place, hint=hint) from None
    if corpus.fingerprint != source.get("fingerprint"):
        what = f"{damage.what}, and the corpus in {folder} is no longer the one that they were made of"
        raise FormatError(what, where=place, hint=hint)
    tell(
        {"kind": "note", "step": 0, "text": f"{damage.what} ({damage.where}): the tokens are made again from {folder}"}
    )
    (place / INDEX_FILE).unlink(missing_ok=True)  # so that shards of the right size are not taken for whole ones
    data = prepare(corpus, place, settings)
    if (run / "tokenizer.json").exists() and Tokenizer.load(run).fingerprint() != data.tokenizer.fingerprint():
        what = "the tokenizer learned from the corpus is not the one that the model was trained with"
        raise FormatError(what, where=place, hint="Another version of quire made the run: begin anew by --overwrite")
