"""Which learning rates, batch, weight decay and dropout are best, for what size and what corpus?

    python benchmarks/sweep.py pack --out corpora.npz essays-0.3=300000:ESSAYS shakespeare-1=1000000:FILE.txt …
    python benchmarks/sweep.py list --corpora corpora.npz
    python benchmarks/sweep.py run --corpora corpora.npz --out sweep.jsonl --minutes 3.5

`pack` makes corpora of texts, cut to so many bytes. `list` prints the runs, the most important ones first, with an
estimate of what each costs. `run` takes them in this order and appends a line of JSON to the file for each that ends;
runs that are in the file already are not taken again, and what is not done in the time is left out.

On a GPU a process works on several runs at once, each on a stream of its own, with the step as one CUDA graph: small
models leave most of a GPU idle, and most of the time of a step goes into starting kernels. The first steps of a run
are checked against the same steps taken in the plain way. Without graphs (`--no-graph`, or where capturing them
fails), several processes share the GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import multiprocessing
import os
import queue
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from sweep_corpora import pack, unpack
from sweep_grid import Run, flops, grid

CHUNK, AHEAD = 32, 4  # steps handed to the device at once, and how many such chunks before it has finished the first
MOST_MEMORY = 45 << 30  # of a GPU; above it, slots that are idle are given up
# FLOP/s that training is expected to reach, and seconds of a step that no smaller model is faster than, with other runs
# beside it; to plan with. An H100 took 220 to 270 steps a second of all runs together.
EXPECTED = {
    "0.2M": (3e13, 0.003),
    "0.5M": (4e13, 0.003),
    "0.9M": (4e13, 0.0035),
    "2M": (5e13, 0.004),
    "3M": (6e13, 0.004),
    "10M": (1e14, 0.008),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="make corpora of texts")
    packing.add_argument("--out", type=Path, required=True)
    packing.add_argument("corpus", nargs="+", metavar="NAME=BYTES:PATH[,PATH…]")
    for name, text in (("list", "print the runs"), ("run", "take them")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--corpora", type=Path, required=True, help="what `pack` wrote")
        command.add_argument("--quick", action="store_true", help="short runs of small models, for a CPU")
        command.add_argument("--only", default="", metavar="WORD=VALUE,…", help="runs with these values, as size=0.5M")
        command.add_argument("--limit", type=int, help="the first so many runs")
    command.add_argument("--out", type=Path, required=True, help="a line of JSON for each run is appended here")
    command.add_argument("--minutes", type=float, default=3.8, help="wall time of the whole")
    command.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    command.add_argument("--processes", type=int, default=1)
    command.add_argument("--slots", type=int, default=16, help="runs at once in a process, on a GPU with graphs")
    command.add_argument("--no-graph", action="store_true", help="take every step in the plain way")
    command.add_argument("--evaluations", type=int, default=8, help="of a run; the whole validation text each time")
    command.add_argument("--threads", type=int, default=1, help="CPU threads of a process")
    args = parser.parse_args()
    if args.command == "pack":
        wanted = []
        for text in args.corpus:
            name, _, rest = text.partition("=")
            size, _, paths = rest.partition(":")
            wanted.append((name, int(size), [Path(path) for path in paths.split(",")]))
        pack(args.out, wanted)
        return
    began = time.time()
    facts = {name: corpus.facts for name, corpus in unpack(args.corpora).items()}
    runs = chosen(grid(facts, quick=args.quick), args.only)[: args.limit]
    if args.command == "list":
        show(runs, facts)
    else:
        take(runs, args, began)


def chosen(runs: list[Run], only: str) -> list[Run]:
    """Return the runs whose fields have the values of `only`, such as "size=0.5M,corpus=shakespeare-1"."""
    for condition in filter(None, only.split(",")):
        field, _, value = condition.partition("=")
        runs = [run for run in runs if str(getattr(run, field)) == value]
    return runs


def show(runs: list[Run], facts: dict[str, Any]) -> None:
    """Print the runs and what they are expected to cost on one H100."""
    total = 0.0
    for number, run in enumerate(runs):
        seconds = expected_seconds(run, facts)
        total += seconds
        settings = {key: value for key, value in dataclasses.asdict(run).items() if key not in ("size", "corpus")}
        print(f"{number:4} {run.size:>5} {run.corpus:14} {seconds:6.2f} s {total:7.1f} s  {json.dumps(settings)}")
    print(f"{len(runs)} runs, about {total:.0f} s of one GPU")


def expected_seconds(run: Run, facts: dict[str, Any]) -> float:
    """Return about how much of an H100's time a run takes while others go on beside it."""
    rate, least = EXPECTED[run.size]
    return max(flops(run, facts[run.corpus]["vocab_size"]) / rate, run.steps * least)


def take(runs: list[Run], args: argparse.Namespace, began: float) -> None:
    """Take the runs in worker processes and write down what comes of each."""
    deadline = began + args.minutes * 60
    done = set()
    if args.out.exists():
        for line in args.out.read_text("utf-8").splitlines():
            record = json.loads(line)
            done.add(tuple(record.get(field.name) for field in dataclasses.fields(Run))[1:])
    left = [run for run in runs if dataclasses.astuple(run)[1:] not in done]
    context = multiprocessing.get_context("spawn")
    waiting, results = context.Queue(), context.Queue()
    for run in left:
        waiting.put(run)
    options = {
        "corpora": args.corpora,
        "device": args.device,
        "graph": not args.no_graph,
        "slots": args.slots,
        "threads": args.threads,
        "evaluations": args.evaluations,
        "deadline": deadline,
        "longest": longest(left),
    }
    workers = []

    def start(count: int) -> None:
        for _ in range(count):
            check = not workers
            worker = context.Process(target=work, args=(waiting, results, {**options, "check": check}), daemon=True)
            worker.start()
            workers.append(worker)

    start(args.processes)
    recorded = 0
    with args.out.open("a", encoding="utf-8") as file:
        while time.time() < deadline + 5 and (any(worker.is_alive() for worker in workers) or not results.empty()):
            try:
                record = results.get(timeout=0.5)
            except queue.Empty:
                continue
            if "note" in record:
                print(f"{time.time() - began:6.1f} s  {record['note']}", flush=True)
                if record.get("plain"):  # graphs do not work here
                    options["graph"] = False
                    start(12 - len(workers))
                continue
            file.write(json.dumps(record) + "\n")
            file.flush()
            recorded += 1
            words = (record["size"], record["corpus"], record["question"], record["steps"], record["final"])
            print(f"{time.time() - began:6.1f} s  {recorded:4}/{len(left)}  {' '.join(map(str, words))}", flush=True)
    for worker in workers:
        worker.terminate()
    waiting.cancel_join_thread()
    print(f"{recorded} of {len(left)} runs in {time.time() - began:.0f} s")


def longest(runs: list[Run]) -> dict[Any, int]:
    """Return for each key of a slot the steps of its longest run."""
    steps: dict[Any, int] = {}
    for run in runs:
        key = (run.size, run.corpus, run.batch)
        steps[key] = max(steps.get(key, 0), run.steps)
    return steps


def work(waiting: Any, results: Any, options: dict[str, Any]) -> None:
    """The life of a worker process: tell of everything that goes wrong, and of every run that ends."""
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")  # streams beyond that wait for one another
    try:
        Worker(waiting, results, options).work()
    except Exception:
        results.put({"note": f"a worker ended: {traceback.format_exc()}"})
        sys.exit(1)


class Worker:
    """Takes runs from the queue, several at once."""

    def __init__(self, waiting: Any, results: Any, options: dict[str, Any]) -> None:
        import torch

        from sweep_training import DeviceCorpus

        self.waiting, self.results, self.options = waiting, results, options
        self.device = options["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
        self.name = torch.cuda.get_device_name() if self.device == "cuda" else "cpu"
        torch.set_num_threads(options["threads"])
        if self.device == "cuda":
            torch.set_float32_matmul_precision("high")
            torch.backends.cuda.enable_cudnn_sdp(False)
        self.packed = unpack(options["corpora"])
        self.corpora = {name: DeviceCorpus(corpus, self.device) for name, corpus in self.packed.items()}
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.graph = options["graph"] and self.device == "cuda"
        self.idle: list[Any] = []
        self.steps = 0

    def note(self, text: str, **more: Any) -> None:
        self.results.put({"note": text, **more})

    def work(self) -> None:
        """Work until no run or no time is left."""
        if self.options["check"]:
            self.check()
        active: list[tuple[Any, bool]] = []  # slot, and whether it has steps to hand out
        slots = self.options["slots"] if self.graph else 1
        empty = False
        began = looked = time.time()
        while time.time() < self.options["deadline"]:
            while len(active) < slots and not empty:
                try:
                    run = self.waiting.get(timeout=1.0)
                except queue.Empty:
                    empty = True
                    break
                slot = self.begin(run)
                if slot is not None:
                    active.append((slot, True))
            if not active:
                break
            busy = False
            for number, (slot, more) in enumerate(active):
                if more and slot.waiting < AHEAD:
                    before = slot.done
                    active[number] = (slot, slot.advance(CHUNK))
                    self.steps += slot.done - before
                    busy = True
            for slot, more in list(active):
                if not more and slot.waiting == 0:
                    self.results.put({**slot.finish(), "device": self.name, "graph": self.graph})
                    active.remove((slot, more))
                    self.idle.append(slot)
                    busy = True
            if not busy:
                time.sleep(0.0005)
            if time.time() - looked > 20:
                looked = time.time()
                self.note(f"{self.steps / (looked - began):,.2f} steps/s, {len(self.idle) + len(active)} slots")

    def begin(self, run: Run) -> Any:
        """Return a slot that has begun `run`; None where that fails, which is told."""
        import torch

        from sweep_training import Slot, key_of

        try:
            slot = next((slot for slot in self.idle if key_of(slot.run) == key_of(run)), None)
            if slot is None:
                if self.device == "cuda" and torch.cuda.memory_reserved() > MOST_MEMORY:
                    torch.cuda.synchronize()
                    self.idle.clear()
                    gc.collect()  # a slot and its optimizer refer to one another
                    torch.cuda.empty_cache()
                if self.device == "cpu":
                    self.idle.clear()
                steps = self.options["longest"].get((run.size, run.corpus, run.batch), run.steps)
                slot = Slot(
                    run,
                    self.corpora[run.corpus],
                    self.device,
                    max(steps, run.steps),
                    graph=self.graph,
                    evaluations=self.options["evaluations"],
                )
            else:
                self.idle.remove(slot)
            slot.load(run)
            return slot
        except Exception:
            self.note(f"{run}: {traceback.format_exc()}")
            return None

    def check(self) -> None:
        """Compare the steps of a slot with those taken in the plain way; without graphs where they do not work."""
        from sweep_training import Slot, reference_losses

        name = min(self.corpora, key=lambda name: self.corpora[name].facts["train_tokens"])
        facts = {name: self.corpora[name].facts}
        for run in check_runs(facts, self.device):
            wanted = reference_losses(run, self.packed[name], self.device, run.steps)
            try:
                slot = Slot(run, self.corpora[name], self.device, run.steps, graph=self.graph)
                slot.load(run)
                slot.advance(run.steps)
                found = slot.losses[: run.steps].tolist() if slot.stream is None else self._fetched(slot, run.steps)
            except Exception:
                if not self.graph:
                    raise
                self.graph = False
                self.note(f"no CUDA graphs, going on without them: {traceback.format_exc()}", plain=True)
                return
            error = max(abs(a - b) / a for a, b in zip(wanted, found, strict=True))
            self.note(f"check {run.size}: losses {wanted[0]:.4f} to {wanted[-1]:.4f}, off by at most {error:.1e}")
            if self.graph:
                self._time(slot, run)
            if not error < 1e-2 and self.graph:
                self.graph = False
                self.note("the graph does not do what it should, going on without it", plain=True)
                return

    def _fetched(self, slot: Any, steps: int) -> list[float]:
        slot.stream.synchronize()
        values: list[float] = slot.losses[:steps].tolist()
        return values

    def _time(self, slot: Any, run: Run) -> None:
        slot.load(run)
        began = time.perf_counter()
        slot.advance(run.steps)
        handed = time.perf_counter() - began
        slot.stream.synchronize()
        each = (time.perf_counter() - began) / run.steps
        self.note(f"{run.size}: {1e3 * each:.2f} ms a step alone, {1e6 * handed / run.steps:.0f} us to hand it out")


def check_runs(facts: dict[str, Any], device: str) -> list[Run]:
    """Return the runs of the check: one of each number format."""
    from sweep_grid import Cell

    name = next(iter(facts))
    sizes = ("0.5M", "10M") if device == "cuda" else ("0.5M",)
    return [
        dataclasses.replace(
            Cell(size, name, facts[name]).run("check", dropout=0.0, weight_decay=0.3), steps=20, warmup=5
        )
        for size in sizes
    ]


if __name__ == "__main__":
    main()
