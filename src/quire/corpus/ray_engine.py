"""Reading files on a Ray cluster: bundles of tasks are rows of a Ray Data dataset, readings are the rows that come out.

The ledger stays with the parent, which records each reading as it comes, so that a killed run goes on where it stopped.
In each Ray worker process the readers run in a sandbox of one process, as they do in the local engine: its limits of
time and memory hold, and a crash costs one file. A Ray worker that dies costs its bundle a second try; so does a whole
machine, since the stage is made of stateless tasks and not of actors.
"""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from quire.corpus.reading import Reading, Task, read_task
from quire.documents.sandbox import Failure, Finished, PoolSettings, Sandbox, cores
from quire.errors import QuireError

# A bundle is a task of Ray's, which costs some milliseconds. It is also what a dying worker loses.
BUNDLE_FILES = 16
BUNDLE_BYTES = 2_000_000

# Files of which Ray Data is told at once: the parent holds no more names than these.
WINDOW_FILES = 20_000

# Further tries of a bundle whose worker died, before each of its files is tried alone.
RETRIES = 2

ANSWER_SECONDS = 10.0  # for the first word of a cluster

OBJECT_STORE_BYTES = 512_000_000  # of a cluster that is started here; readings pass through it and are gone


class RayEngine:
    """A connection to a Ray cluster; a context that ends what it started.

    Args:
        address: of a running cluster; None = start one on this machine.
        pool: workers (0 = one for each core of the cluster) and the limits of each file.

    Raises:
        QuireError: Ray is not installed.
    """

    def __init__(self, address: str | None, pool: PoolSettings) -> None:
        check_installed()
        self._address = address
        self._pool = pool
        self._started = False
        self._terminate = signal.getsignal(signal.SIGTERM)
        self._folder: str | None = None
        self._workers: dict[str, int] = {}

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        import ray

        if self._started:
            ray.shutdown()
            self._started = False
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, self._terminate)  # Ray has put its own in place
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def map(self, tasks: Iterable[Task]) -> Iterator[Finished[Task, Reading]]:
        """Yield every task with its reading or failure, in the order in which they come.

        Raises:
            QuireError: no cluster answers, or it stopped to answer.
        """
        waiting = iter(tasks)
        while window := list(itertools.islice(waiting, WINDOW_FILES)):
            self._connect()  # not before there is something to do: starting a cluster takes seconds
            left = {task.source: task for task in window}
            yield from self._read(list(bundles(window, 4 * self._width())), left)
            if len(left) == len(window) > 1:
                raise QuireError("no worker of the Ray cluster could read any file", hint=HINT)
            # What kills its Ray process time after time shall cost itself alone.
            yield from self._read([[task] for task in left.values()], left)
            for task in left.values():
                yield Finished(task, None, Failure("killed", "the Ray worker that read it died"), {}, 0.0, 0)

    def _read(self, rows: list[list[Task]], left: dict[str, Task]) -> Iterator[Finished[Task, Reading]]:
        """Read bundles and yield what came of their tasks, which are taken out of `left`."""
        if not rows:
            return
        import ray

        width = min(len(rows), self._width())
        logger = logging.getLogger("ray.data")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            for row in _dataset(rows, self._pool, width).iter_rows():
                worker, finished = pickle.loads(row["finished"])
                # A bundle that was tried twice may give a reading twice.
                if left.pop(finished.task.source, None) is not None:
                    yield replace(finished, worker=self._number(f"{worker} {finished.worker}"))
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise QuireError(f"the Ray cluster gave up: {_first_line(error)}", hint=HINT) from error
        finally:
            logger.setLevel(level)

    def _width(self) -> int:
        import ray

        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call,unused-ignore]
        return self._pool.workers or max(1, int(resources.get("CPU", 1)))

    def _number(self, worker: str) -> int:
        return self._workers.setdefault(worker, len(self._workers) + 1)

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        if self._address is not None:
            _check_answers(self._address)
        options: dict[str, Any] = {"configure_logging": True, "logging_level": logging.ERROR, "log_to_driver": False}
        if self._address is None:
            self._folder = tempfile.mkdtemp(prefix="quire-ray-")
            options |= {
                "address": "local",
                "num_cpus": self._pool.workers or cores(),
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": self._folder,
            }
        else:
            options["address"] = self._address
        try:
            ray.init(**options)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = "on this machine" if self._address is None else f"at {self._address}"
            raise QuireError(f"no Ray cluster {where}: {_first_line(error)}", hint=HINT) from error
        self._started = True


def check_installed() -> None:
    """Raise QuireError where Ray Data cannot be imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported: it asks nobody on the network
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        hint = "pip install 'quire[ray]', or use the local engine"
        raise QuireError("the engine ray needs Ray Data, which is not installed", hint=hint) from error


HINT = "What was read is kept: the same command goes on from here, with this engine or the local one"


def bundles(tasks: Sequence[Task], at_least: int) -> Iterator[list[Task]]:
    """Yield the tasks in their order, in lists of up to `BUNDLE_FILES` files and `BUNDLE_BYTES` bytes, or of one file.

    Args:
        tasks: what is to be read.
        at_least: so many lists, if there are so many tasks: each worker shall have a few.
    """
    most = max(1, min(BUNDLE_FILES, len(tasks) // at_least))
    bundle: list[Task] = []
    size = 0
    for task in tasks:
        if bundle and (len(bundle) == most or size + task.size > BUNDLE_BYTES):
            yield bundle
            bundle, size = [], 0
        bundle.append(task)
        size += task.size
    if bundle:
        yield bundle


def _remote_arguments() -> dict[str, Any]:
    return {"num_cpus": 1, "max_retries": RETRIES}  # by default Ray Data tries for ever


def _check_answers(address: str) -> None:
    """Raise QuireError where nothing listens at `address`; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return  # "auto" and the like, which Ray looks up without the network
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise QuireError(f"no Ray cluster at {address}: {_first_line(error)}", hint=HINT) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _dataset(rows: list[list[Task]], pool: PoolSettings, width: int) -> Any:
    """Return the dataset of the readings of bundles; each is handed over when it is there."""
    import ray.data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of settings of Ray's own, which are only copied
        before = ray.data.DataContext.get_current()
        ours = before.copy()
        ours.target_max_block_size = 1  # a block for each row: none waits for the rest of its bundle
        ours.max_errored_blocks = -1  # bundles whose workers died are missing from the rows, and no more than that
        ours.enable_progress_bars = False
        ours.print_on_execution_start = False
        ray.data.DataContext._set_current(ours)  # a dataset takes it along when it is made
        try:
            items = [{"bundle": pickle.dumps(bundle)} for bundle in rows]
            dataset: Any = ray.data.from_items(items, override_num_blocks=len(items))
            return dataset.flat_map(
                read_bundle,
                fn_args=(pool.seconds, pool.memory_mb, list(sys.path)),
                concurrency=width,
                ray_remote_args_fn=_remote_arguments,
            )
        finally:
            ray.data.DataContext._set_current(before)


# ---- inside a Ray worker --------------------------------------------------------------------------------------------

_sandbox: tuple[tuple[float, int], Sandbox[Task, Reading]] | None = None


def read_bundle(row: dict[str, Any], seconds: float, memory_mb: int, paths: list[str]) -> Iterator[dict[str, bytes]]:
    """Read the tasks of a bundle one after the other; the sandbox stays for the next bundle of this process."""
    sys.path.extend(path for path in paths if path not in sys.path)  # where the parent found its readers
    name = f"{os.uname().nodename} {os.getpid()}"
    for finished in _sandbox_with(seconds, memory_mb).map(pickle.loads(row["bundle"])):
        yield {"finished": pickle.dumps((name, finished))}


def _sandbox_with(seconds: float, memory_mb: int) -> Sandbox[Task, Reading]:
    global _sandbox  # noqa: PLW0603 - one Ray worker process has one sandbox
    if _sandbox is None or _sandbox[0] != (seconds, memory_mb):
        if _sandbox is not None:
            _sandbox[1].close()
        _sandbox = (seconds, memory_mb), Sandbox(read_task, workers=1, seconds=seconds, memory_mb=memory_mb)
    return _sandbox[1]
