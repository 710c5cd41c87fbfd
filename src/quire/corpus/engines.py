"""Where files are read: worker processes of this machine, or a Ray cluster; either way by the same readers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

from pydantic import Field

from quire.corpus.reading import Reading, Task, read_task
from quire.documents.sandbox import Finished, PoolSettings, Sandbox
from quire.settings import Settings


class EngineSettings(Settings):
    """Where files are read; it changes nothing about the corpus."""

    name: Literal["local", "ray"] = "local"
    """Read with worker processes of this machine (local) or with Ray Data on a cluster (ray; needs the extra ray)."""
    address: str | None = Field(default=None, min_length=1)
    """A Ray cluster, such as auto or 10.0.0.1:6379, whose machines see the files at the same paths; unset = start one
    on this machine for the run."""


class Engine(Protocol):
    """Reads files side by side."""

    def map(self, tasks: Iterable[Task], /) -> Iterator[Finished[Task, Reading]]:
        """Yield every task with its reading or failure, in the order in which they finish; one call at a time."""
        ...


def check_installed(settings: EngineSettings) -> None:
    """Raise QuireError, before there is any work to lose, where what the engine needs is not installed."""
    if settings.name == "ray":
        from quire.corpus import ray_engine

        ray_engine.check_installed()


@contextlib.contextmanager
def opened(settings: EngineSettings, pool: PoolSettings) -> Iterator[Engine]:
    """Open the engine that `settings` name, with the workers and limits of `pool`; nothing of it runs on afterwards.

    Raises:
        QuireError: Ray is not installed, or no cluster answers.
    """
    if settings.name == "ray":
        from quire.corpus.ray_engine import RayEngine

        with RayEngine(settings.address, pool) as engine:
            yield engine
    else:
        with Sandbox(read_task, workers=pool.workers, seconds=pool.seconds, memory_mb=pool.memory_mb) as sandbox:  # type: Sandbox[Task, Reading]
            yield sandbox
