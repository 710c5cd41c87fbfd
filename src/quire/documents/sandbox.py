"""Worker processes with a limit on time and memory: a task that crashes or hangs costs itself, never the others.

Every worker is a fresh interpreter (not a fork, and not `multiprocessing`'s spawn, which would run the user's script a
second time), in a session of its own, so that Ctrl-C in a terminal reaches the parent alone. A worker does one task at
a time. The parent watches the clock and each worker's resident memory; it kills the worker that passes a limit, records
why, and goes on with a fresh one. Resident memory is watched rather than capped by `RLIMIT_AS`, because inference
engines reserve far more address space than they ever touch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import IO, Any, Generic, Literal, TypeVar

import psutil  # type: ignore[import-untyped,unused-ignore]
from pydantic import Field

from quire.errors import QuireError
from quire.settings import Settings

T = TypeVar("T")
R = TypeVar("R")

WATCH_SECONDS = 0.1  # how often clocks and memory are looked at; a burst of allocation can pass the limit for so long
START_SECONDS = 300.0  # a worker that is not up by then will never be
STDERR_TAIL = 400  # characters of a dead worker's last words kept as detail


class PoolSettings(Settings):
    """How files are read side by side, and when a reader is given up."""

    workers: int = Field(default=0, ge=0, le=1024)
    """Worker processes that read files; 0 = one for each core this process may use."""
    seconds: float = Field(default=120.0, ge=0.1)
    """Seconds a reader may spend on one file, or on one page of a file whose reader reports its pages."""
    memory_mb: int = Field(default=4096, ge=256)
    """Resident memory in MB (10^6 bytes) that one worker may use before its file is given up."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task has no result. `reason` is a sentence for the user, `detail` what the worker said last."""

    kind: Literal["crashed", "killed", "time", "memory", "error"]
    reason: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Finished(Generic[T, R]):
    """A task that is over: with a `value`, or with a `failure`; `notes` is what the task told before either."""

    task: T
    value: R | None
    failure: Failure | None
    notes: dict[str, Any]
    seconds: float
    worker: int


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- inside a worker ------------------------------------------------------------------------------------------------

_channel: Connection[Any, Any] | None = None


def page_done() -> None:
    """Tell the parent that one page is finished: the time limit starts again. Does nothing outside a worker."""
    if _channel is not None:
        _channel.send(("page", None))


def note(**facts: Any) -> None:
    """Tell the parent facts that outlive a crash of the rest of the task. Does nothing outside a worker."""
    if _channel is not None:
        _channel.send(("note", facts))


def work(handle: int, parent: int) -> None:
    """Run as a worker on the inherited socket `handle` until the parent with process id `parent` closes it."""
    global _channel  # noqa: PLW0603 - one worker process has one channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    channel: Connection[Any, Any] = Connection(handle)
    try:
        function = pickle.loads(channel.recv_bytes())
    except Exception as error:
        channel.send(("broken", f"{type(error).__name__}: {error}"))
        return
    channel.send(("ready", None))
    _channel = channel
    # A closed socket means that the parent is gone or done.
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            channel.send_bytes(_answer(function, channel.recv()))


def _answer(function: Callable[[Any], Any], task: Any) -> bytes:
    try:
        return pickle.dumps(("result", function(task)), pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        return pickle.dumps(("failed", Failure("memory", "there was not enough memory to read it")))
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error}"
        detail = f"{os.path.basename(where.filename)}:{where.lineno} in {where.name}"
        return pickle.dumps(("failed", Failure("error", reason, detail)))


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its parent, however the parent ends (Linux), and be its first victim."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("800")
    if os.getppid() != parent:
        os._exit(1)


# ---- in the parent --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    channel: Connection[Any, Any]
    errors: IO[bytes]
    memory: psutil.Process
    ready: bool = False
    busy: bool = False
    task: Any = None
    started: float = 0.0  # when the task was given
    alive: float = 0.0  # when the worker came up, was given the task or last finished a page
    pages: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    def resident(self) -> int:
        """Bytes of resident memory, 0 for a process that has just ended."""
        try:
            return int(self.memory.memory_info().rss)
        except psutil.Error:
            return 0

    def last_words(self) -> str | None:
        size = os.fstat(self.errors.fileno()).st_size
        tail = os.pread(self.errors.fileno(), STDERR_TAIL, max(0, size - STDERR_TAIL))
        return tail.decode("utf-8", "replace").strip() or None

    def kill(self) -> int:
        """End the process and whatever it started; return its exit status."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.channel.close()
        status = self.process.wait()
        self.errors.close()
        return status


class Sandbox(Generic[T, R]):
    """A pool of worker processes that call `function` on tasks.

    Args:
        function: importable by name (a function of a module, not a lambda and not of `__main__`); takes a picklable
            task and returns a picklable result.
        workers: number of processes; 0 = one for each core this process may use.
        seconds: time limit of a task, which starts again at each `page_done()`.
        memory_mb: limit of a worker's resident memory in MB (10^6 bytes).

    Raises:
        TypeError: `function` cannot be imported by a worker.
    """

    def __init__(
        self, function: Callable[[T], R], *, workers: int = 0, seconds: float = 120.0, memory_mb: int = 4096
    ) -> None:
        if function.__module__ == "__main__":
            raise TypeError(f"{function.__qualname__} is in __main__: workers need a function of a module")
        self._function = pickle.dumps(function)
        self.workers = workers or cores()
        self.seconds = seconds
        self.memory_mb = memory_mb
        self._pool: list[_Worker] = []
        self._started = 0

    def __enter__(self) -> Sandbox[T, R]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker at once, busy or not."""
        while self._pool:
            self._pool.pop().kill()

    def map(self, tasks: Iterable[T]) -> Iterator[Finished[T, R]]:
        """Yield every task of `tasks` with its result or failure, in the order in which they finish.

        Raises:
            QuireError: a worker process cannot be started at all.
        """
        waiting = iter(tasks)
        try:
            while self._fill(waiting):
                for finished in self._listen():
                    self._fill(waiting)  # before the caller sees the result, so that no worker waits for the caller
                    yield finished
        finally:
            # A caller that leaves early must not meet the rest of these tasks in its next call.
            for worker in [worker for worker in self._pool if worker.busy]:
                self._remove(worker)

    def _fill(self, waiting: Iterator[T]) -> bool:
        """Give every idle worker a task; return whether any worker is busy."""
        idle = [worker for worker in self._pool if not worker.busy]
        while idle or len(self._pool) < self.workers:
            try:
                task = next(waiting)
            except StopIteration:
                break
            self._give(idle.pop() if idle else self._start(), task)
        return any(worker.busy for worker in self._pool)

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        errors = tempfile.TemporaryFile(mode="ab+")  # noqa: SIM115 - lives as long as the worker
        paths = [path or os.getcwd() for path in sys.path]
        handle = theirs.fileno()
        script = (
            f"import sys; sys.path[:] = {paths!r}; "
            f"from quire.documents.sandbox import work; work({handle}, {os.getpid()})"
        )
        # Workers are as many as the cores: a second level of threads in each would only get in the way.
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=errors,  # what a library prints must not mix with our own output
                stderr=errors,
                pass_fds=[handle],
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            raise QuireError(f"a worker process could not be started: {error.strerror}") from error
        theirs.close()
        self._started += 1
        worker = _Worker(self._started, process, ours, errors, psutil.Process(process.pid))
        self._pool.append(worker)
        try:
            ours.send_bytes(self._function)
        except ConnectionError:
            raise self._broken(worker, "it ended at once") from None
        return worker

    def _broken(self, worker: _Worker, reason: str) -> QuireError:
        words = worker.last_words()
        return QuireError(f"a worker process could not be started: {reason}" + (f": {words}" if words else ""))

    def _give(self, worker: _Worker, task: T) -> None:
        os.ftruncate(worker.errors.fileno(), 0)
        try:
            worker.channel.send(task)
        except ConnectionError:
            # It died while idle, which is nobody's fault: another one does the task.
            self._remove(worker)
            worker = self._start()
            worker.channel.send(task)
        worker.busy, worker.task, worker.pages, worker.notes = True, task, 0, {}
        worker.started = worker.alive = time.monotonic()

    def _remove(self, worker: _Worker) -> int:
        self._pool.remove(worker)
        return worker.kill()

    def _listen(self) -> Iterator[Finished[T, R]]:
        busy = {worker.channel: worker for worker in self._pool if worker.busy}
        spoke = wait(list(busy), timeout=WATCH_SECONDS)
        for channel, worker in list(busy.items()):
            finished = self._hear(worker) if channel in spoke else self._watch(worker)
            if finished is not None:
                yield finished

    def _hear(self, worker: _Worker) -> Finished[T, R] | None:
        try:
            kind, content = worker.channel.recv()
        except (EOFError, ConnectionError, pickle.UnpicklingError):
            return self._died(worker)
        worker.alive = time.monotonic()
        if kind == "ready":
            worker.ready, worker.started = True, worker.alive
        elif kind == "broken":
            raise self._broken(worker, content)
        elif kind == "page":
            worker.pages += 1
        elif kind == "note":
            worker.notes.update(content)
        else:
            finished = self._finished(worker, content)
            worker.busy, worker.task = False, None
            # Readers and allocators seldom give memory back: a worker that has grown starts anew.
            if worker.resident() > self.memory_mb * 1e6 / 2:
                self._remove(worker)
            return finished
        return None

    def _watch(self, worker: _Worker) -> Finished[T, R] | None:
        silent = time.monotonic() - worker.alive
        if not worker.ready:
            if silent > START_SECONDS:
                raise self._broken(worker, f"it was not up after {START_SECONDS:.0f} s")
            return None
        if worker.resident() > self.memory_mb * 1e6:
            failure = Failure("memory", f"used more than {self.memory_mb} MB")
        elif silent > self.seconds:
            failure = Failure("time", f"took longer than {self.seconds:g} s{_on_page(worker)}")
        else:
            return None
        self._remove(worker)
        return self._finished(worker, failure)

    def _died(self, worker: _Worker) -> Finished[T, R]:
        # The socket closes a moment before the process is gone: ask for its status before killing what is left of it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(timeout=START_SECONDS if not worker.ready else 5)
        words = worker.last_words()
        if not worker.ready:
            raise self._broken(worker, "it ended while starting")
        status = self._remove(worker)
        if status == -signal.SIGKILL:
            # Not by us: the file may be innocent, so this is a kind of its own.
            reason = "the reader was killed from outside (signal 9), as a system short of memory does"
            return self._finished(worker, Failure("killed", reason + _on_page(worker), words))
        if status < 0:
            reason = f"the reader crashed with signal {-status} ({signal.Signals(-status).name})"
        else:
            reason = f"the reader ended its process with exit code {status}"
        return self._finished(worker, Failure("crashed", reason + _on_page(worker), words))

    def _finished(self, worker: _Worker, content: Any) -> Finished[T, R]:
        failure = content if isinstance(content, Failure) else None
        value = None if failure is not None else content
        seconds = time.monotonic() - worker.started
        return Finished(worker.task, value, failure, worker.notes, seconds, worker.number)


def _on_page(worker: _Worker) -> str:
    return f" on page {worker.pages + 1}" if worker.pages else ""
