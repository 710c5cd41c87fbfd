"""Compiling with numba: what is compiled once on a machine is read from numba's cache after that."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba.core import event


def compiled(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
    """Return the function compiled for a signature, from numba's cache if it is there; a damaged cache is made anew.

    Args:
        function: numba's cache knows it by its file, and by what it holds from around it.
        signature: the types of its result and arguments.
        options: of `numba.njit`.

    Raises:
        numba.core.errors.NumbaError: it cannot be compiled.
    """
    try:
        kept = numba.njit(cache=True, **options)(function)
        try:
            kept.compile(signature)
        except Exception:  # reading a damaged file may raise anything
            kept.recompile()  # of none so far: it empties the cache of this function
            kept.compile(signature)
    except Exception:
        # Nowhere to keep what was compiled, or no room there: it is compiled for this process alone. What is wrong with
        # the function itself is raised again here.
        return numba.njit(signature, **options)(function)
    kept.disable_compile()
    return kept


class Once:
    """A function that is compiled at its first use in a process, by whichever thread comes first.

    Args:
        build: compiles it, given the digest of its sources.
        modules: what it is made of besides its own file, which is all that numba's cache looks at.
    """

    def __init__(self, build: Callable[[str], Any], *modules: ModuleType) -> None:
        self._build, self._modules = build, modules
        self._lock = threading.Lock()
        self._function: Any = None

    def __call__(self) -> Any:
        """Return the function. Raises as `compiled` does, each time anew."""
        with self._lock:
            if self._function is None:
                digest = hashlib.sha256()
                for module in self._modules:
                    digest.update(Path(str(module.__file__)).read_bytes())
                self._function = self._build(digest.hexdigest())
            return self._function


@contextlib.contextmanager
def telling(tell: Callable[[], None] | None) -> Iterator[None]:
    """Call `tell` when numba begins to compile; what comes out of its cache is not compiled."""
    if tell is None:
        yield
        return
    listener = _Compiling(tell)
    with event.install_listener("numba:compile", listener):
        yield


class _Compiling(event.Listener):
    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell, self.told = tell, False

    def on_start(self, event: Any) -> None:
        if not self.told:
            self.told = True
            self.tell()

    def on_end(self, event: Any) -> None:
        """Nothing to tell."""
