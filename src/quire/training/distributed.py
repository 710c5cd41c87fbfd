"""Several processes that train one model: who this one is, what they tell each other, and how they end together.

`torchrun` starts the same command once for each GPU (or several times on a CPU). Each process is a *rank*. All ranks
run the same code on their own share of each batch; rank 0 alone reads documents, plans, and writes files. What only it
knows is passed on by `Ranks.lead`, errors included. A process that was started alone is rank 0 of one, for which every
method here is the identity, so that the training loop is written once.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from quire.errors import QuireError, UsageError
from quire.limits import usable_cores
from quire.tokens.order import key_of

T = TypeVar("T")

# Others wait for rank 0 while it reads documents, which may take days; that a rank has died is noticed at once all the
# same, by its closed connection. Gradients are waited for as long as torch waits by default.
PATIENCE = timedelta(days=30)
# How long the ranks that say nothing wait for the one that tells what went wrong, before they end.
TELLING_SECONDS = 10
# How long a rank that is done waits for the others to be, which they are within the time of a message.
LEAVING_SECONDS = 60

_WHO = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun puts into the environment

# "store": the key-value store of the job; torchrun serves it, so that it outlives the ranks. "teller": see below.
_job: dict[str, Any] = {}


class Ranks:
    """This process among those that train one model together.

    Args:
        rank: its number, from 0.
        count: how many there are.
        local: its number on this machine.
        local_count: how many there are on this machine.
        control: the group for messages between the processors (gloo); None where there is one process.
    """

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        local: int = 0,
        local_count: int = 1,
        control: dist.ProcessGroup | None = None,
    ) -> None:
        self.rank, self.count, self.local, self.local_count = rank, count, local, local_count
        self.control = control

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the one that writes."""
        return self.rank == 0

    def lead(self, function: Callable[[], T]) -> T:
        """Run `function` on rank 0 while the others wait; return its result, or raise its error, on all ranks.

        Args:
            function: its result goes through pickle, from one process of this job to another.
        """
        if self.count == 1:
            return function()
        outcome: list[Any] = [None, None]
        if self.first:
            try:
                outcome[0] = function()
            except BaseException as error:
                dist.broadcast_object_list([None, _sendable(error)], src=0, group=self.control)
                raise
        dist.broadcast_object_list(outcome, src=0, group=self.control)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]  # type: ignore[no-any-return]

    def gather(self, function: Callable[[], T]) -> list[T]:
        """Run `function` on every rank and return all results in order; an error of any is raised on all.

        Args:
            function: must not wait for other ranks; its result goes through pickle.
        """
        if self.count == 1:
            return [function()]
        own: Exception | None = None
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = (function(), None)
        except Exception as error:
            own, outcome = error, (None, _sendable(error))
        outcomes: list[Any] = [None] * self.count
        dist.all_gather_object(outcomes, outcome, group=self.control)
        errors = [error for _, error in outcomes if error is not None]
        if errors:
            raise own or errors[0]
        return [result for result, _ in outcomes]

    def add(self, *numbers: float) -> list[float]:
        """Return the sums of each of `numbers` over all ranks, in float64: the same bits on every rank."""
        if self.count == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(values, group=self.control)
        return values.tolist()

    def share(self, *numbers: float) -> list[float]:
        """Return what rank 0 gave as `numbers`, on every rank."""
        if self.count == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.broadcast(values, src=0, group=self.control)
        return values.tolist()

    def device(self, wanted: str) -> torch.device:
        """Return the device of this rank: the GPU of its own number where `wanted` is a GPU.

        Raises:
            UsageError: there are more ranks on this machine than GPUs, or ranks cannot share the device.
        """
        device = torch.device(wanted)
        if self.count == 1:
            return device
        if device.type == "cuda":
            if self.local >= torch.cuda.device_count():
                raise UsageError(
                    f"{self.local_count} processes on a machine with {torch.cuda.device_count()} GPUs",
                    hint=f"torchrun --nproc-per-node {torch.cuda.device_count()} …, or --set training.device=cpu",
                )
            torch.cuda.set_device(self.local)
            return torch.device("cuda", self.local)
        if device.type != "cpu":
            raise UsageError(f"several processes cannot train on {device.type}", hint="Start without torchrun")
        return device

    def seed(self, seed: int, step: int) -> None:
        """Let the random numbers of `step` follow from seed, step and rank alone.

        Each rank drops other activations, and a run that is resumed, on however many ranks, needs no generator's
        state. One process draws on from where it is.
        """
        if self.count > 1:
            torch.manual_seed(key_of(seed, step, self.rank) >> 1)

    @contextlib.contextmanager
    def explained(self, run: Path) -> Iterator[None]:
        """Turn the failure of a message to another rank, which means that it ended, into a `QuireError`."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not is_lost(error):
                raise
            raise QuireError(
                "another process of this job has ended, so that none can go on",
                where=run,
                hint="Its own message, or torchrun's report below, says why. Go on from the last checkpoint by the "
                f"same torchrun with: quire train --resume --out {run}",
            ) from error


ALONE = Ranks()
"""The one rank of a process that was started by itself."""


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """Join the job that torchrun started this process for; `ALONE` where there is none, or of one process.

    Messages go over gloo, gradients over NCCL on GPUs and gloo on CPUs. The CPU's cores are divided among the ranks of
    this machine. A group that is there already (a script's own) is used and left as it is.
    """
    if not in_job():
        yield ALONE
        return
    own = not dist.is_initialized()
    if own:
        from torch._C._distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        store, rank, count = next(iter(rendezvous("env://", timeout=PATIENCE)))
        # torchrun's store lives on when it starts the job again, and holds the addresses of processes that are gone.
        _job["store"] = PrefixStore(f"quire/{_restarts()}", store)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=PrefixStore("group", _job["store"]), rank=rank, world_size=count)
    local_count = int(os.environ.get("LOCAL_WORLD_SIZE", dist.get_world_size()))
    control = dist.new_group(backend="gloo", timeout=PATIENCE)
    threads = torch.get_num_threads()
    # torchrun sets OMP_NUM_THREADS=1 where the user set nothing.
    torch.set_num_threads(max(1, usable_cores() // local_count))
    try:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        ranks = Ranks(dist.get_rank(), dist.get_world_size(), local, local_count, control)
        yield ranks
    except BaseException:
        # Before others see this connection close and think that they have something to tell.
        _is_teller()
        # With NCCL work under way the group cannot be left in order; this process ends, and that ends the job.
        if own and not torch.cuda.is_available():
            dist.destroy_process_group()
        raise
    finally:
        torch.set_num_threads(threads)
    if own:
        _leave_together(ranks)


def _leave_together(ranks: Ranks) -> None:
    """Leave the group when every rank has got its last message.

    One whose connection closes while gloo still works on a message may abort ("terminate called without an active
    exception"), and so may one whose group is taken down only as Python ends. So the ranks wait for each other at the
    store, which is no part of gloo, and what holds on to the group, such as the copies of the model, is let go before.
    """
    store = _job["store"]
    with contextlib.suppress(RuntimeError):  # one of them died at the very end: there is nobody to wait for
        if store.add("leaving", 1) == ranks.count:
            store.set("all are leaving", "yes")
        store.wait(["all are leaving"], timedelta(seconds=LEAVING_SECONDS))
    ranks.control = None
    gc.collect()
    dist.destroy_process_group()


def in_job() -> bool:
    """Whether torchrun started this process as one of several."""
    return all(name in os.environ for name in _WHO) and int(os.environ["WORLD_SIZE"]) > 1


def is_first() -> bool:
    """Whether this process is rank 0, or alone: the one that shows results."""
    return not in_job() or os.environ["RANK"] == "0"


def restarted() -> bool:
    """Whether torchrun has started this job again after a failure (--max-restarts)."""
    return in_job() and _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def tell_once(tell: Callable[[], None]) -> None:
    """Call `tell` on the first rank that comes here; the others return when it is done: one message for the job."""
    store = _job.get("store")
    if _is_teller():
        tell()
        if store is not None:
            with contextlib.suppress(RuntimeError):
                store.set("was told", "yes")
        return
    try:
        _job["store"].wait(["was told"], timedelta(seconds=TELLING_SECONDS))
    except RuntimeError:  # it ended before it could: better twice than never
        tell()


def _is_teller() -> bool:
    """Whether this process is the first of the job that has something to tell at its end."""
    store = _job.get("store")
    if store is None:
        return True
    if "teller" not in _job:
        try:
            _job["teller"] = store.add("told", 1) == 1
        except RuntimeError:  # the store has gone with its machine
            _job["teller"] = True
    return bool(_job["teller"])


def _sendable(error: BaseException) -> BaseException:
    """Return an error that another process can raise in the place of `error`."""
    if isinstance(error, (QuireError, KeyboardInterrupt)):
        return error
    return QuireError(f"another process of this job failed: {type(error).__name__}: {error}")


def is_lost(error: BaseException) -> bool:
    """Whether `error` says that another rank is gone. Gloo raises a plain RuntimeError that names its source file."""
    if not isinstance(error, RuntimeError):
        return False
    words = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)
