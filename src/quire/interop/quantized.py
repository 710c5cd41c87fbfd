"""A folder with smaller weights, made from one in float32."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from quire.errors import UsageError
from quire.files import explain_os_error, fsync_folder
from quire.interop.huggingface import GENERATION_FILE, load_model_folder
from quire.model.folder import WEIGHTS_FILE, weight_files, write_model
from quire.model.quantization import Kind, quantize

COPIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", GENERATION_FILE)
"""What `quire generate` and `quire eval` need beside config.json and the weights."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of the weight files, before and after."""

    before: int
    after: int


def export_quantized(run: Path, out: Path, kind: Kind) -> Sizes:
    """Write the model of `run` as integers to the new folder `out`, which quire opens like any other.

    The folder appears whole or not at all. It holds config.json, the weights and the tokenizer, and nothing else of the
    run. Other programs refuse it, because its config.json names no method of quantization that they know.

    Args:
        run: a run, or any folder that quire opens; it is not changed.
        out: must not exist.
        kind: "int8" or "int4".

    Raises:
        UsageError: `out` exists, or the weights of `run` are integers already.
        FormatError: `run` cannot be read.
        QuireError: a weight is infinite or none, or the folder cannot be written.
    """
    run, out = Path(run), Path(out)
    if out.exists() or out.is_symlink():
        raise UsageError("something is there already", where=out, hint="Choose another --out")
    model, tokenizer = load_model_folder(run)
    quantize(model, kind)
    unfinished: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
        # mkdtemp makes the folder private; a finished one gets the permissions any other new folder would have.
        umask = os.umask(0)
        os.umask(umask)
        unfinished.chmod(0o777 & ~umask)
        for name in COPIED:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(run / name, unfinished / name)
        write_model(unfinished, model, tokenizer.end_of_text)
        sizes = Sizes(
            sum(path.stat().st_size for path in weight_files(run)), (unfinished / WEIGHTS_FILE).stat().st_size
        )
        unfinished.rename(out)
        fsync_folder(out.parent)
    except OSError as error:
        raise explain_os_error(error, out) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    return sizes
