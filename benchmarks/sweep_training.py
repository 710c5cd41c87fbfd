"""One training run of a sweep, with everything a step needs on the device, so that a step is one CUDA graph.

The parts are quire's: model, optimizer, schedule, precision, the order of the windows. What is left out is what the
Trainer does around a step (samples, checkpoints, skipped steps), because each needs the loss on the host. The learning
rates are tensors that the graph reads at its own step counter. `reference_losses` takes the same steps in the plain
way, with numbers for rates and batches from the host: the two must agree.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quire.model.loss import IGNORED
from quire.model.transformer import Transformer
from quire.tokens.batches import BatchStream, EpochWindows
from quire.training.machine import product_rates
from quire.training.optimizer import Optimizer, OptimizerSettings, orthogonalize_here
from quire.training.precision import DTYPES, MixedPrecision
from quire.training.schedule import Schedule, ScheduleSettings
from sweep_corpora import PackedCorpus, Row
from sweep_grid import Run, model_config

SCORED_TOKENS = 16_384  # tokens scored at once


def key_of(run: Run) -> tuple[Any, ...]:
    """Return what a captured step depends on; all else is in tensors that the next run writes anew."""
    return (run.size, run.corpus, run.batch, run.dropout, run.beta1, run.beta2, run.momentum)


def precision_of(run: Run, device: str) -> str:
    """bfloat16 where products are large enough to gain by it; else float32, in TF32 products on a GPU."""
    sizes = ("10M",) if device == "cuda" else ("3M", "10M")
    return "bfloat16" if run.size in sizes and (device == "cuda" or products_gain()) else "float32"


@functools.cache
def products_gain() -> bool:
    """Whether matrix products on this machine's CPU are faster in bfloat16 than in float32."""
    rates = product_rates("cpu", DTYPES)
    return rates["bfloat16"] > 1.2 * rates["float32"]


def settings_of(run: Run) -> OptimizerSettings:
    """Return the optimizer's settings of a run."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return OptimizerSettings(
        learning_rate=run.learning_rate,
        matrix_learning_rate=run.matrix_learning_rate,
        beta1=run.beta1,
        beta2=run.beta2,
        momentum=run.momentum,
        weight_decay=run.weight_decay,
        orthogonal_precision="bfloat16" if device == "cuda" else precision_of(run, device),
    )  # type: ignore[call-arg]


def schedule_of(run: Run) -> Schedule:
    """Return the schedule of a run."""
    settings = ScheduleSettings(warmup_steps=run.warmup, decay_fraction=run.decay_fraction)  # type: ignore[call-arg]
    return Schedule(settings, run.steps)


def new_model(run: Run, vocab_size: int) -> Transformer:
    """Return the model of a run as its seed makes it."""
    torch.default_generator.manual_seed(run.seed)  # and not that of the GPU, which runs in progress draw dropout from
    return Transformer(model_config(run.size, vocab_size, run.dropout))


def windows(row: Row, run: Run) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the first target and the end of every window of a run, (steps, B) each, as `BatchStream` gives them."""
    bounds: list[tuple[int, int]] = []
    epoch = 0
    while len(bounds) < run.steps * run.batch:
        cut = EpochWindows.of(row.num_tokens, run.context, run.seed, epoch)
        bounds += cut.bounds(0, cut.count)
        epoch += 1
    array = np.array(bounds[: run.steps * run.batch], dtype=np.int64).reshape(run.steps, run.batch, 2)
    return array[..., 0], array[..., 1]


def reference_losses(run: Run, corpus: PackedCorpus, device: str, steps: int) -> list[float]:
    """Return the losses of the first steps, taken one by one as `quire.training.trainer.Trainer.step` does."""
    model = new_model(run, corpus.facts["vocab_size"]).to(device)
    optimizer = Optimizer(model, settings_of(run))
    precision, schedule = MixedPrecision(precision_of(run, device), device), schedule_of(run)
    stream = BatchStream(corpus.train, run.context, run.batch, run.seed)
    losses = []
    for step in range(steps):
        batch = stream.next_batch()
        optimizer.set_multiplier(schedule.multiplier(step))
        with precision.autocast():
            loss = model.loss(torch.from_numpy(batch.inputs).to(device), torch.from_numpy(batch.targets).to(device))
        (loss / batch.num_targets).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), 1.0, norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()) / batch.num_targets)
    return losses


class DeviceCorpus:
    """The rows of a corpus on the device, each also shifted by one: what is read where the other is foretold."""

    def __init__(self, corpus: PackedCorpus, device: str) -> None:
        self.facts, self.train, self.device = corpus.facts, corpus.train, device
        self.rows = {}
        self.fresh: dict[tuple[str, int], dict[str, Tensor]] = {}
        for side, row in (("train", corpus.train), ("validation", corpus.validation)):
            targets = torch.from_numpy(row.ids).to(device)  # (N,)
            first = torch.tensor([row.end_of_text], device=device)
            self.rows[side] = (torch.cat((first, targets[:-1])), targets)
        self.end_of_text = corpus.train.end_of_text

    def fresh_weights(self, run: Run) -> dict[str, Tensor]:
        """Return the first weights of a run on the device, made once for each size and seed."""
        key = (run.size, run.seed)
        if key not in self.fresh:
            model = new_model(run, self.facts["vocab_size"]).to(self.device)
            self.fresh[key] = {name: parameter.detach() for name, parameter in model.named_parameters()}
            if self.device == "cuda":
                torch.cuda.current_stream().synchronize()
        return self.fresh[key]

    def batch(self, side: str, begins: Tensor, ends: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs and targets (B, T) of windows, and how many targets there are."""
        inputs, targets = self.rows[side]
        places = begins[:, None] + offsets  # (B, T)
        inside = places < ends[:, None]
        places = places.clamp(max=len(targets) - 1)
        outside = ~inside
        # Not torch.where, which would copy a number from the host, and a graph cannot.
        x = inputs[places].masked_fill(outside, self.end_of_text)
        y = targets[places].masked_fill(outside, IGNORED)
        return x, y, inside.sum()


class Slot:
    """Takes runs of one key, one after another; between `load` and `finish` nothing waits for the device.

    Args:
        run: any run of the key.
        corpus: its corpus.
        device: "cpu" or "cuda".
        steps: of the longest run of the key.
        graph: whether to capture the step.
        evaluations: of a run, the last one at its end.
    """

    def __init__(
        self, run: Run, corpus: DeviceCorpus, device: str, steps: int, *, graph: bool, evaluations: int = 8
    ) -> None:
        self.run, self.corpus, self.device, self.graph = run, corpus, device, graph
        self.evaluations = evaluations
        self.stream = torch.cuda.Stream() if device == "cuda" else None
        self.events: deque[Any] = deque()
        self.ordered = (-1, 0)  # seed and steps of the windows that are on the device
        self.model = new_model(run, corpus.facts["vocab_size"]).to(device)
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream())
        self.precision = MixedPrecision(precision_of(run, device), device)
        with self._on_stream():
            self.counter = torch.zeros(1, dtype=torch.int64, device=device)
            self.begins = torch.zeros((steps, run.batch), dtype=torch.int64, device=device)
            self.ends = torch.full((steps, run.batch), run.context, dtype=torch.int64, device=device)
            # Of each step: Muon's rate, AdamW's rate, and what matrices and tables keep in spite of weight decay.
            self.rates = torch.zeros((steps, 4), device=device)
            self.losses = torch.zeros(steps, device=device)
            self.offsets = torch.arange(run.context, device=device)
            self.matrix_rate = torch.zeros((), device=device)
            self.rate = torch.zeros((), device=device)
            self.scored_rows = max(1, SCORED_TOKENS // run.context)
            self.scored_counter = torch.zeros(1, dtype=torch.int64, device=device)
            self.row_numbers = torch.arange(self.scored_rows, device=device)
            self.total = torch.zeros((), dtype=torch.float64, device=device)
            self.curve = torch.zeros(evaluations, dtype=torch.float64, device=device)
        self.optimizer = self._optimizer(run)
        roles = self.optimizer.parts
        self.matrices = [p for group in roles[0].param_groups for p in group["params"]]
        self.tables = list(roles[1].param_groups[0]["params"])
        self.train_step: Any = self._train_step
        self.score_step: Any = self._score_step
        if graph:
            self.train_graph = self._capture(self._train_step)
            self.model.eval()
            self.score_graph = self._capture(self._score_step)
            self.model.train()
            self.train_step, self.score_step = self.train_graph.replay, self.score_graph.replay

    def _optimizer(self, run: Run) -> Optimizer:
        """quire's optimizer, its rates in tensors: AdamW reads one, Muon's updates are multiplied by the other."""

        def orthogonalizer(updates: list[Tensor], rows: int, dtype: torch.dtype) -> list[Tensor]:
            return list(torch._foreach_mul(orthogonalize_here(updates, rows, dtype), self.matrix_rate))

        settings = settings_of(run).model_copy(update={"weight_decay": 0.0, "matrix_learning_rate": 1.0})
        optimizer = Optimizer(self.model, settings, orthogonalizer)
        for group in optimizer.parts[1].param_groups:
            group["lr"] = self.rate
            group["capturable"] = self.device == "cuda"
        return optimizer

    def _on_stream(self) -> Any:
        return torch.cuda.stream(self.stream)  # does nothing where there is none

    def _capture(self, step: Any) -> torch.cuda.CUDAGraph:
        assert self.stream is not None
        with self._on_stream():
            for _ in range(2):
                step()
                self.optimizer.zero_grad()
            self.stream.synchronize()
            # Not `torch.cuda.graph`, which waits for all streams: the other slots go on meanwhile.
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                step()
            finally:
                graph.capture_end()
        return graph

    def _train_step(self) -> None:
        begins = self.begins.index_select(0, self.counter)[0]  # (B,)
        ends = self.ends.index_select(0, self.counter)[0]
        rates = self.rates.index_select(0, self.counter)[0]  # (4,)
        x, y, count = self.corpus.batch("train", begins, ends, self.offsets)
        with self.precision.autocast():
            loss = self.model.loss(x, y)
        (loss / count).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), 1.0, torch.nn.utils.get_total_norm(gradients))
        with torch.no_grad():
            self.matrix_rate.copy_(rates[0])
            self.rate.copy_(rates[1])
            torch._foreach_mul_(self.matrices, rates[2])
            torch._foreach_mul_(self.tables, rates[3])
            self.losses.index_copy_(0, self.counter, (loss.detach() / count)[None])
        self.optimizer.step()
        self.counter.add_(1)

    @torch.no_grad()
    def _score_step(self) -> None:
        begins = (self.scored_counter * self.scored_rows + self.row_numbers) * len(self.offsets)
        length = len(self.corpus.rows["validation"][1])
        ends = torch.clamp(begins + len(self.offsets), max=length)
        x, y, _ = self.corpus.batch("validation", begins, ends, self.offsets)
        with self.precision.autocast():
            self.total.add_(self.model.loss(x, y))
        self.scored_counter.add_(1)

    def load(self, run: Run) -> None:
        """Begin a run: fresh weights, no optimizer state, its order of windows and its rates."""
        assert key_of(run) == key_of(self.run), "a slot serves runs of one key"
        self.run, self.done, self.began = run, 0, time.time()
        self.seen = 0
        schedule, steps = schedule_of(run), run.steps
        factors = np.array([schedule.multiplier(step) for step in range(steps)])
        matrix, rate = factors * run.matrix_learning_rate, factors * run.learning_rate
        table = np.stack((matrix, rate, 1 - matrix * run.weight_decay, 1 - rate * run.weight_decay), axis=1)
        fresh = self.corpus.fresh_weights(run)
        at = [round(steps * (k + 1) / self.evaluations) for k in range(self.evaluations)]
        self.evaluate_at = sorted(set(at) - {0})
        with self._on_stream(), torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(fresh[name])
            for part in self.optimizer.parts:
                for state in part.state.values():
                    for value in state.values():
                        value.zero_()
            if self.ordered[0] != run.seed or self.ordered[1] < steps:
                for place, bounds in zip((self.begins, self.ends), windows(self.corpus.train, run), strict=True):
                    place[:steps].copy_(torch.from_numpy(bounds))
                self.ordered = (run.seed, steps)
            self.rates[:steps].copy_(torch.from_numpy(table))
            self.counter.zero_()
            self.curve.zero_()

    def advance(self, steps: int) -> bool:
        """Hand up to `steps` more steps to the device. Returns whether the run has any left."""
        with self._on_stream():
            for _ in range(min(steps, self.run.steps - self.done)):
                self.train_step()
                if not self.graph:
                    self.optimizer.zero_grad()
                self.done += 1
                if self.done in self.evaluate_at:
                    self._evaluate()
            if self.stream is not None:
                event = torch.cuda.Event()
                event.record(self.stream)
                self.events.append(event)
        return self.done < self.run.steps

    def _evaluate(self) -> None:
        length = len(self.corpus.rows["validation"][1])
        self.total.zero_()
        self.scored_counter.zero_()
        self.model.eval()
        for _ in range(math.ceil(length / (self.scored_rows * len(self.offsets)))):
            self.score_step()
        self.model.train()
        self.curve[self.seen].copy_(self.total)
        self.seen += 1

    @property
    def waiting(self) -> int:
        """How many calls of `advance` the device has not yet finished."""
        while self.events and self.events[0].query():
            self.events.popleft()
        return len(self.events)

    def finish(self) -> dict[str, Any]:
        """Return what came of the run; all its steps must have been handed out."""
        run, facts = self.run, self.corpus.facts
        with self._on_stream():
            nats = self.curve[: self.seen].tolist()
            losses = self.losses[: run.steps].tolist()
        bits = [value / math.log(2) / facts["validation_bytes"] for value in nats]
        part = max(1, run.steps // 20)
        finite = all(map(math.isfinite, bits))
        return {
            **dataclasses.asdict(run),
            "parameters": self.model.num_parameters(),
            "vocab_size": facts["vocab_size"],
            "tokens": run.tokens,
            "epochs": round(run.tokens / facts["train_tokens"], 3),
            "train_bytes": facts["train_bytes"],
            "final": round(bits[-1], 5) if finite else None,
            "best": round(min(bits), 5) if finite else None,
            "curve": [[step, round(b, 5)] for step, b in zip(self.evaluate_at, bits, strict=True)] if finite else [],
            "first_losses": [round(loss, 5) for loss in losses[:20:4]],
            "train_loss": round(sum(losses[-part:]) / part, 5) if finite else None,
            "precision": self.precision.precision,
            "seconds": round(time.time() - self.began, 2),
        }
