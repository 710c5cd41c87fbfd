"""The training loop: batches in, weights out, with everything needed to stop and go on at any step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quire.errors import QuireError
from quire.interop.huggingface import save_model_folder
from quire.model.loss import IGNORED
from quire.model.transformer import Transformer
from quire.tokens.batches import Batch, BatchStream
from quire.tokens.dataset import TokenDataset
from quire.training.checkpoint import (
    TrainingState,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from quire.training.compiled import compile_loss
from quire.training.config import RunConfig
from quire.training.determinism import deterministic_kernels
from quire.training.interrupt import Interrupt
from quire.training.meter import Meter
from quire.training.metrics import MetricsWriter, Record, truncate_metrics
from quire.training.optimizer import Optimizer
from quire.training.pace import Pace
from quire.training.precision import MixedPrecision
from quire.training.samples import SampleWriter
from quire.training.schedule import Schedule
from quire.training.validation import quietly, validate

# A run with a time budget looks at the clock after so many steps (the first ones compile, or warm up), and then every
# so many seconds; it changes its length when the end would miss the budget by more than the tolerance.
FIRST_REVISION_STEPS = 8
SLOW_STEPS = 3
REVISION_SECONDS = 5.0
REVISION_TOLERANCE = 0.02

Listener = Callable[[Record], None]


class Trainer:
    """Trains one model; `run` does the whole, `step` one step of it.

    Args:
        run: the run folder; metrics, checkpoints and the model are written there.
        config: the resolved configuration.
        data: token shards.
        listener: is called with every record that goes to metrics.jsonl, and with records of kind "note"
            (key "text") that do not.
    """

    def __init__(self, run: Path, config: RunConfig, data: TokenDataset, listener: Listener | None = None) -> None:
        t = config.training
        self.run_folder, self.config, self.data = run, config, data
        self.listener = listener or (lambda record: None)
        self.device = torch.device(t.device)
        if t.threads:
            torch.set_num_threads(t.threads)
        torch.manual_seed(t.seed)
        self.model = Transformer(config.model).to(self.device)
        self.optimizer = Optimizer(self.model, config.optimizer)
        self.precision = MixedPrecision(t.precision, self.device.type)
        self.state = TrainingState(total_steps=t.steps)
        self.schedule = Schedule(config.schedule, t.steps)
        self.batches = self._stream(0, 0)
        self.summed_loss: Callable[[Tensor, Tensor], Tensor] = self.model.loss
        if t.compile:
            self.summed_loss = compile_loss(self.model, self._note)
        self.samples = SampleWriter(run, data, t)
        self._interrupt = Interrupt()
        self._length_is_final = False
        self._saved_step = -1
        self._saved_at = 0.0
        self._pace = Pace(Meter.of(config))
        self._began = time.perf_counter()

    # -- one step ---------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Take one optimizer step: gradients of one batch, clipped, and the weights moved by them."""
        with self._pace.loading():
            batch = self.batches.next_batch()
        self.optimizer.set_multiplier(self.schedule.multiplier(self.state.step))
        loss = self.gradients(batch)
        norm = float(self._clip())
        state = self.state
        if math.isfinite(norm):
            self.optimizer.step()
            state.skipped_in_a_row = 0
        else:
            state.skipped += 1
            state.skipped_in_a_row += 1
        self.precision.update()
        self.optimizer.zero_grad()
        state.step += 1
        targets = int((batch.targets != IGNORED).sum())
        state.tokens += targets
        position = self.batches.state()
        state.epoch, state.window = position["epoch"], position["window"]
        state.pending_loss += float(loss)
        state.pending_targets += targets
        self._pace.targets += targets
        self._pace.norm = norm
        if state.skipped_in_a_row >= self.config.training.max_skipped:
            raise QuireError(
                f"the gradients of {state.skipped_in_a_row} steps in a row were not finite",
                where=f"step {state.step}",
                hint="Lower the learning rate (--set optimizer.matrix_learning_rate=…) or train in float32",
            )

    def gradients(self, batch: Batch) -> Tensor:
        """Add up the gradients of the mean loss over `batch`, micro-batch by micro-batch; return its summed loss.

        The sum of each micro-batch's loss is divided by the number of targets of the whole batch, so the gradients
        are those of the one big batch, also where the last micro-batch is smaller or has fewer targets.

        Returns:
            The cross-entropy summed over the batch, in nats (a float32 scalar).
        """
        rows = self.config.training.micro_batch_size
        targets = max(1, int((batch.targets != IGNORED).sum()))
        total = torch.zeros((), device=self.device)
        for start in range(0, len(batch.inputs), rows):
            x = self._to_device(batch.inputs[start : start + rows])  # (b, T)
            y = self._to_device(batch.targets[start : start + rows])  # (b, T)
            with self.precision.autocast():
                loss = self.summed_loss(x, y)
            self.precision.backward(loss / targets)
            total += loss.detach()
        return total

    def _clip(self) -> Tensor:
        self.precision.unscale(self.optimizer.parts)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), self.config.optimizer.max_grad_norm, norm)
        return norm

    # -- the whole run ----------------------------------------------------------------------------------------

    def run(self, *, resume: bool = False, stop_at: int | None = None) -> TrainingState:
        """Train to the end, or until Ctrl-C, early stop, or `stop_at` steps.

        Args:
            resume: go on from the newest whole checkpoint of the run folder.
            stop_at: save a checkpoint and return after so many steps in all.

        Raises:
            KeyboardInterrupt: after Ctrl-C, when the checkpoint is on the disk.
            QuireError: no checkpoint to resume from, disk full, gradients not finite for many steps.
        """
        t = self.config.training
        if resume:
            self._resume()
        else:
            # Dropout's numbers follow the seed alone, whatever this process drew since the weights were made.
            torch.manual_seed(t.seed)
            truncate_metrics(self.run_folder, -1)
            self.samples.forget_after(-1)
        self.metrics = MetricsWriter(self.run_folder)
        self._began = time.perf_counter() - self.state.seconds
        self._saved_at = self.state.seconds
        self._revised_at = self.state.seconds
        self._pace.looked(self.state.seconds)
        self.model.train()
        try:
            with self._interrupt.caught(), deterministic_kernels(self.device, wanted=t.deterministic):
                while self.state.step < self.schedule.total_steps and not self._stopping_early():
                    self.step()
                    self._after_step()
                    if self._interrupt.pressed or self.state.step == stop_at:
                        self.save()
                        break
                else:
                    self._finish()
        except BaseException:
            with contextlib.suppress(QuireError):  # what went wrong first is told
                self.metrics.close()
            raise
        self.metrics.close()
        if self._interrupt.pressed:
            raise KeyboardInterrupt
        return self.state

    def save(self) -> None:
        """Write a checkpoint of this moment, unless it is there, and delete the oldest."""
        if self._saved_step != self.state.step:
            save_checkpoint(self.run_folder, self.state, self.model, self.optimizer, self.precision)
            prune_checkpoints(self.run_folder, self.config.training.keep_checkpoints)
            self._saved_step = self.state.step
        self._saved_at = self._now()

    def _after_step(self) -> None:
        t, state = self.config.training, self.state
        state.seconds = self._now()
        self._pace.stepped(state.seconds)
        self._revise_length()
        last = state.step >= self.schedule.total_steps
        if state.step % t.log_interval == 0 or last:
            self._record(self._train_record())
        if state.step % t.evaluation_interval == 0 or last:
            self._evaluate()
        due = state.step % t.checkpoint_interval == 0 or self._now() - self._saved_at > t.checkpoint_seconds
        if due and not last:
            self.save()
        self._pace.looked(self._now())

    def _finish(self) -> None:
        if self.state.evaluated_step != self.state.step:
            self._evaluate()
        self.save()

    def _stopping_early(self) -> bool:
        patience = self.config.training.patience
        if patience and self.state.worse >= patience:
            self._note(
                f"stopped early at step {self.state.step}: {self.state.worse} evaluations in a row were not better "
                f"than the one at step {self.state.best_step}"
            )
            return True
        return False

    def _revise_length(self) -> None:
        minutes, state = self.config.training.minutes, self.state
        first = state.step == FIRST_REVISION_STEPS
        late = self._pace.steps >= SLOW_STEPS and state.seconds - self._revised_at > REVISION_SECONDS
        if minutes is None or self._length_is_final or not (first or late):
            return
        self._revised_at = state.seconds
        left = minutes * 60 - state.seconds
        pace = self._pace.seconds_per_step()
        total = max(state.step + 1, state.step + int(left / pace))
        if first or abs(total - self.schedule.total_steps) > REVISION_TOLERANCE * (total - state.step) + 1:
            self.schedule.revise(state.step, total)
            state.total_steps, state.knots = total, self.schedule.knots

    def _resume(self) -> None:
        folder, problems = latest_checkpoint(self.run_folder)
        for problem in problems:
            self._note(f"a damaged checkpoint was passed over: {problem}")
        self.state = load_checkpoint(folder, self.model, self.optimizer, self.precision)
        self.schedule = Schedule(self.config.schedule, self.state.total_steps, self.state.knots)
        self.batches = self._stream(self.state.epoch, self.state.window)
        self._saved_step = self.state.step
        # The length was measured already. It stays, so that the same checkpoint always gives the same weights.
        self._length_is_final = len(self.state.knots) > 1 or self.state.step >= FIRST_REVISION_STEPS
        truncate_metrics(self.run_folder, self.state.step)
        self.samples.forget_after(self.state.step)
        self._note(f"resumed at step {self.state.step} from {folder}")

    # -- looking at it ----------------------------------------------------------------------------------------

    def _evaluate(self) -> None:
        state, t = self.state, self.config.training
        loss, bits = self.validate(t.evaluation_tokens)
        state.evaluated_step = state.step
        if state.best_loss is None or loss < state.best_loss:
            # A loss that is not a number is beaten by every other.
            state.best_loss = loss if math.isfinite(loss) else None
            state.best_step, state.worse = state.step, 0
            # The run folder always holds the best model so far: it can be used while training goes on.
            save_model_folder(self.run_folder, self.model, self.data.tokenizer)
        else:
            state.worse += 1
        record = {"kind": "validation", "step": state.step, "tokens": state.tokens, "seconds": round(state.seconds, 3)}
        self._record({**record, "loss": loss, "bits_per_byte": bits, "best": state.best_step == state.step})
        with quietly(self.model):
            sample = self.samples.write(self.model, state.step, bits)
        if sample:
            self.listener({"kind": "sample", "step": state.step, "text": sample})
        state.seconds = self._now()

    def validate(self, tokens: int | None = None) -> tuple[float, float]:
        """Return the validation loss in nats a token and in bits per byte; arguments as for `validation.validate`."""
        return validate(self.model, self.data, self.precision, self.config.training.micro_batch_size, tokens)

    def _train_record(self) -> Record:
        state, pace = self.state, self._pace
        split = self.data.train
        loss = state.pending_loss / max(1, state.pending_targets)
        record = {
            "kind": "train",
            "step": state.step,
            "tokens": state.tokens,
            "seconds": round(state.seconds, 3),
            "epoch": round(state.tokens / max(1, split.num_tokens), 4),
            "loss": loss,
            "bits_per_byte": loss / math.log(2) * split.num_tokens / max(1, split.num_bytes),
            "lr": self.optimizer.learning_rate,
            "grad_norm": pace.norm,
            **pace.figures(),
            "total_steps": self.schedule.total_steps,
        }
        if state.skipped:
            record["skipped"] = state.skipped
        pace.restart()
        state.pending_loss, state.pending_targets = 0.0, 0
        return record

    def _record(self, record: Record) -> None:
        self.metrics.write(record)
        self.listener(record)

    def _note(self, text: str) -> None:
        self.listener({"kind": "note", "step": self.state.step, "text": text})

    # -- parts ------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return time.perf_counter() - self._began

    def _stream(self, epoch: int, window: int) -> BatchStream:
        t = self.config.training
        context = self.config.model.context_length
        return BatchStream(self.data.train, context, t.batch_size, t.seed, epoch=epoch, window=window)

    def _to_device(self, array: np.ndarray[Any, Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)
