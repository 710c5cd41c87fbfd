"""A run killed at random moments and resumed ends with the same weights, to the bit, as one that nobody touched.

    python benchmarks/kill_and_resume.py --times 100 --out kills.json

A short training run is started in a process of its own and killed (SIGKILL, which no program can catch) after a random
part of the time that an undisturbed run trained for: between steps, in the middle of a step, while a checkpoint is
written or an older one deleted, while the best model is saved. Then another process resumes it and runs to its end.
The processes are forked from one that has imported everything and trained nothing: to start Python and torch anew would
take four fifths of the time.

The SHA-256 of its final checkpoint's weights and optimizer state, and of its best model, must be those of the
undisturbed run. Where nothing was on the disk yet, it starts from the beginning, as `quire train --resume` does.

`--every` kills a resumed run again with that probability, so that several kills in one run are met as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

STEPS = 40
FILES = ("weights.safetensors", "optimizer.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=0.2, help="how often a resumed run is killed once more")
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    args = parser.parse_args()
    get_ready()
    with tempfile.TemporaryDirectory(prefix="quire-kills-") as folder:
        result = kill_many(Path(folder), args.times, args.seed, args.every)
    print(f"{result['identical']} of {result['runs']} identical, {result['kills']} kills")
    print(f"steps on the disk at the kills: {result['steps']}")
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    if result["identical"] != result["runs"]:
        sys.exit(1)


def kill_many(folder: Path, times: int, seed: int, every: float) -> dict[str, Any]:
    """Return how many of `times` runs, each killed at least once, ended as the undisturbed one."""
    tokens = folder / "tokens"
    end(start(prepare_tokens, tokens), "preparing the tokens")  # not here: its threads would not live through a fork
    whole = folder / "whole"
    process = start(train, whole, tokens)
    wait_for_training(whole, process)
    began = time.monotonic()
    end(process, "the undisturbed run")
    seconds = time.monotonic() - began
    expected = fingerprint(whole)
    draw = random.Random(seed)
    identical, steps, different = 0, [], []
    for number in range(times):
        run = folder / f"run-{number}"
        killed = False
        while True:
            process = start(train, run, tokens)
            wait_for_training(run, process)
            process.join(draw.uniform(0, seconds))
            if process.exitcode is None:
                process.kill()
                process.join()
                killed = True
                steps.append(step_on_disk(run))
            else:
                # It was done before its time came; that is no kill. Another try, unless it was killed before.
                end(process, f"run {number}")
                if killed:
                    break
                shutil.rmtree(run)
                continue
            if draw.random() >= every:
                break
        end(start(train, run, tokens), f"run {number}, resumed,")
        if fingerprint(run) == expected:
            identical += 1
        else:
            different.append(number)
        shutil.rmtree(run)
    return {
        "runs": times,
        "identical": identical,
        "kills": len(steps),
        "steps": steps,
        "different": different,
        "undisturbed_seconds": round(seconds, 2),
        "weights_sha256": expected["weights.safetensors"],
    }


def get_ready() -> None:
    """Import what a run needs, and measure what it measures of the machine, once for all that are forked."""
    import torch
    import torch._dynamo  # by the first optimizer

    import quire.training.trainer  # noqa: F401  by `train`
    from quire.training.meter import measured_rate

    torch.set_num_threads(1)
    measured_rate("cpu", "float32", 1)


def start(work: Any, *arguments: Path) -> ForkProcess:
    """Start a function in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def end(process: ForkProcess, what: str) -> None:
    """Wait for a process that must succeed."""
    process.join()
    if process.exitcode:
        raise SystemExit(f"{what} ended with code {process.exitcode}")


def wait_for_training(run: Path, process: ForkProcess) -> None:
    """Return when the run writes its metrics; a run that is resumed has them already."""
    while not (run / "quire" / "metrics.jsonl").exists() and process.is_alive():
        time.sleep(0.002)


def step_on_disk(run: Path) -> int:
    """Return the step of the newest checkpoint, -1 without one."""
    steps = [int(path.name.removeprefix("step-")) for path in (run / "quire" / "checkpoints").glob("step-*")]
    return max(steps, default=-1)


def fingerprint(run: Path) -> dict[str, str]:
    """Return the SHA-256 of what the run ended with."""
    last = run / "quire" / "checkpoints" / f"step-{STEPS:07d}"
    files = [*(last / name for name in FILES), run / "model.safetensors"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Texts:
    """A small corpus in memory, as `prepare` takes it: sentences of a few words in all orders."""

    def __init__(self) -> None:
        draw = random.Random(1)
        words = ("the", "quire", "of", "paper", "is", "folded", "bound", "read", "by", "an", "old", "clerk", "again")
        self.texts = [" ".join(draw.choice(words) for _ in range(800)) for _ in range(10)]
        self.num_documents = len(self.texts)
        self.num_bytes = sum(map(len, self.texts))
        self.fingerprint = "kill-and-resume"

    def documents(self) -> Any:
        for number in range(self.num_documents):
            yield argparse.Namespace(id=number, document=self.document(number))

    def document(self, number: int) -> Any:
        from quire.documents.document import Document

        return Document(self.texts[number], f"{number}.txt", "text/plain", f"{number:064x}")


def prepare_tokens(folder: Path) -> None:
    from quire.tokens.settings import TokenSettings
    from quire.tokens.shards import prepare

    prepare(Texts(), folder, TokenSettings(vocab_size=300))


def train(run: Path, tokens: Path) -> None:
    """Train, or go on where a killed process left the run."""
    import torch

    from quire.settings import build
    from quire.tokens.dataset import TokenDataset
    from quire.training.checkpoint import list_checkpoints
    from quire.training.config import RunConfig
    from quire.training.trainer import Trainer

    torch.set_num_threads(1)
    data = TokenDataset.open(tokens)
    config = build(
        RunConfig,
        {
            "tokens": {"vocab_size": 300},
            "model": {
                "vocab_size": data.tokenizer.vocab_size,
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 2,
                "context_length": 32,
                "dropout": 0.1,
            },
            "optimizer": {},
            "schedule": {"warmup_steps": 5},
            "training": {
                "minutes": None,
                "steps": STEPS,
                "batch_size": 6,
                "micro_batch_size": 4,
                "evaluation_interval": 7,
                "checkpoint_interval": 3,
                "log_interval": 1,
                "sample_tokens": 4,
                "threads": 1,
            },
        },
    )
    Trainer(run, config, data).run(resume=bool(list_checkpoints(run)))


if __name__ == "__main__":
    main()
