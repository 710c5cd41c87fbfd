"""Files that are either whole or absent: written to a temporary name, fsynced, renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from quire.errors import QuireError


def explain_os_error(error: OSError, path: Path) -> QuireError:
    """Return a `QuireError` that says in plain words what the operating system refused, and what to do."""
    hints = {
        errno.ENOSPC: "Free some disk space, or choose another place with --out",
        errno.EDQUOT: "Your disk quota is used up: free some space, or choose another place with --out",
        errno.EACCES: "Check the permissions of the folder, or choose another place with --out",
        errno.EPERM: "Check the permissions of the folder, or choose another place with --out",
        errno.EROFS: "The file system is read-only: choose another place with --out",
    }
    reason = error.strerror or str(error)
    return QuireError(reason, where=path, hint=hints.get(error.errno or 0))


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` and rename it to `path` when the block ends without an error.

    Args:
        path: the final name; its folder is created.
        mode: "w" for UTF-8 text, "wb" for bytes.

    Raises:
        QuireError: the disk is full, the folder cannot be written, and the like. `path` is then as it was.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode must be 'w' or 'wb', not {mode!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        # mkstemp makes the file private; a finished file gets the permissions any other new file would have.
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(handle, 0o666 & ~umask)
        with os.fdopen(handle, mode, encoding="utf-8" if mode == "w" else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


@contextlib.contextmanager
def only_writer(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder` for this process while the block runs, so that two of them cannot write it at once.

    Args:
        folder: exists.
        what: what it is, for the message: "run" or "corpus".

    Raises:
        QuireError: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "Wait until it is done, or choose another --out"
            raise QuireError(f"another quire is writing this {what}", where=folder, hint=hint) from None
        yield
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises `QuireError` as `atomic_write` does."""
    with atomic_write(path, "wb") as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all. Raises `QuireError` as `atomic_write` does."""
    write_bytes(path, text.encode("utf-8"))


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut (where the system allows a folder to be synced)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def file_sha256(path: Path | bytes) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 18):  # still in the cache when it is hashed
            digest.update(block)
    return digest.hexdigest()


def why_no_folder(path: Path) -> str:
    """Return what is wrong with a path that should be a folder and is none."""
    return "a file, where a folder is needed" if path.exists() else "no such folder"
