"""What a corpus was made of, in `sources.json` beside it: so that a place that nobody chose is not lost to another.

Where no place is named, a corpus lies under the name of its source, and two folders may have one name.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from quire.documents.sql import is_database, located
from quire.errors import UsageError
from quire.files import write_text

NAME = "sources.json"

_NAMED = 3  # sources that the error names


@dataclass(frozen=True, slots=True)
class Origin:
    """One source.

    Args:
        name: what people call it: its path, or the name of a database on a server.
        path: where the folder, the file or the SQLite file lies, without links; "" for a server.
        relative: the same, seen from the corpus: a project that moves as a whole is still the same.
        address: what a database is asked for; of a server, a digest that stands for its address too.
    """

    name: str
    path: str
    relative: str
    address: str

    def same(self, other: Origin) -> bool:
        """Return whether `other`, which is given now, is this one."""
        if self.address != other.address:
            return False
        return self.path == other.path or (self.relative == other.relative and not os.path.lexists(self.path))


def origins(sources: Sequence[Path | str], corpus: Path) -> tuple[Origin, ...]:
    """Return what the sources of the corpus in the folder `corpus` are. Raises `UsageError` as `located` does."""
    return tuple(_origin(source, corpus) for source in sources)


def _origin(source: Path | str, corpus: Path) -> Origin:
    name, file, address = located(str(source)) if is_database(source) else ("", Path(source), "")
    if file is None:
        return Origin(name, "", "", address)
    path = os.path.realpath(file)
    return Origin(f"{path}?{address}" if address else path, path, os.path.relpath(path, corpus.resolve()), address)


def write_origins(folder: Path, of: Sequence[Origin]) -> None:
    """Write `sources.json` into `folder`, unless it says the same already."""
    if read_origins(folder) != tuple(of):
        write_text(folder / NAME, json.dumps([asdict(origin) for origin in of], indent=1) + "\n")


def read_origins(corpus: Path) -> tuple[Origin, ...] | None:
    """Return what the corpus in that folder was made of; None where that is not known."""
    try:
        found = tuple(Origin(**values) for values in json.loads((corpus / NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    texts = (text for origin in found for text in (origin.name, origin.path, origin.relative, origin.address))
    return found if found and all(isinstance(text, str) for text in texts) else None


def check_origin(sources: Sequence[Path | str], corpus: Path | str, *, option: str) -> None:
    """Check that a corpus, or what was read for one, that lies at a place nobody named loses none of its sources.

    Args:
        sources: folders, files and databases that are given now.
        corpus: where their corpus would go.
        option: of the command line, by which another place is named.

    Raises:
        UsageError: what is there was made of something that is not among `sources`.
    """
    corpus = Path(corpus)
    known = read_origins(corpus) or ()
    given = origins(sources, corpus) if known else ()
    if any(new.path and not os.path.lexists(new.path) for new in given):
        return  # a word that is mistyped, of which the reading of it says more
    lost = [old.name for old in known if not any(old.same(new) for new in given)]
    if lost:
        names = ", ".join(lost[:_NAMED]) + (f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else "")
        raise UsageError(
            f"the corpus here was made of {names}, which this call does not name",
            where=corpus,
            hint=f"Say {option} {shlex.quote(str(corpus))} to replace it (a file that only moved is not read again), "
            f"or {option} with a new folder to keep both",
        )
