"""quire: from a folder of documents to a transformer language model of it.

`quire.ingest`, `quire.train` and `quire.load` are the public calls; each imports what it needs when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quire.corpus.build import ingest as ingest
    from quire.errors import QuireError as QuireError
    from quire.inference.language import load as load
    from quire.training.run import train as train

__version__ = "0.1.0"
__all__ = ["QuireError", "__version__", "ingest", "load", "train"]

_HOMES = {
    "QuireError": "quire.errors",
    "ingest": "quire.corpus.build",
    "load": "quire.inference.language",
    "train": "quire.training.run",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'quire' has no attribute {name!r}")
