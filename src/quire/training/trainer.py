"""The training loop: batches in, weights out, with everything needed to stop and go on at any step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quire.errors import QuireError
from quire.interop.huggingface import save_model_folder
from quire.model.transformer import Transformer
from quire.tokens.batches import Batch, BatchStream
from quire.tokens.dataset import TokenDataset
from quire.training.checkpoint import TrainingState, check_position, random_state, restore_random_state
from quire.training.compilation import MEASURED_STEPS, CompileClock, keep_compiled
from quire.training.compiled import CompiledLoss, compile_loss
from quire.training.config import RunConfig
from quire.training.determinism import deterministic_kernels
from quire.training.distributed import ALONE, Ranks
from quire.training.graphed import Passes
from quire.training.guard import judge, remember
from quire.training.interrupt import Interrupt
from quire.training.journal import Journal, Listener
from quire.training.length import RunLength, steps_for
from quire.training.machine import limit_threads
from quire.training.memory import (
    give_back_large_pieces,
    halve_micro_batch,
    is_out_of_memory,
    out_of_memory_among,
    release_memory,
)
from quire.training.meter import Meter
from quire.training.metrics import Record
from quire.training.optimizer import Optimizer
from quire.training.pace import Pace
from quire.training.precision import DTYPES, MixedPrecision
from quire.training.saves import Saves
from quire.training.schedule import Schedule
from quire.training.sharding import Parallel, whole_tensor
from quire.training.validation import quietly, validate


class Trainer:
    """Trains one model; `run` does the whole, `step` one step of it.

    Args:
        run: the run folder; metrics, checkpoints and the model are written there.
        config: the resolved configuration.
        data: token shards.
        listener: is called with every record that goes to metrics.jsonl, and with records of kind "note"
            (key "text") that do not; of several ranks, rank 0's is.
        ranks: the processes that train the model together; each has a Trainer, and all call the same methods.
    """

    def __init__(
        self,
        run: Path,
        config: RunConfig,
        data: TokenDataset,
        listener: Listener | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        t = config.training
        self.run_folder, self.config, self.data = run, config, data
        self.ranks = ranks
        self.device = ranks.device(t.device)
        if t.threads:
            torch.set_num_threads(t.threads)
        else:
            limit_threads()
        self.state = TrainingState(
            total_steps=t.steps, batch_size=t.batch_size, context_length=config.model.context_length
        )
        self.journal = Journal(run, data, t, listener, kept=ranks.first)
        self._compile_clock: CompileClock | None = None
        if t.compile:  # before torch.compile is called, which settles where it keeps its code
            if problem := keep_compiled():
                self._note(problem)
            elif ranks.count == 1:  # several wait for each other, which is not to be told from compiling
                self._compile_clock = CompileClock(config)
        torch.manual_seed(t.seed)
        model = Transformer(config.model)
        dtype = DTYPES[t.precision]
        self.parallel = Parallel(model, ranks, self.device, shard=t.shard, compile=t.compile, dtype=dtype)
        self.model = self.parallel.model
        self.model.activation_checkpointing = t.activation_checkpointing
        if t.activation_checkpointing and self.device.type == "cpu":
            give_back_large_pieces()
        self.optimizer = Optimizer(self.model, config.optimizer, self.parallel.orthogonalize, ranks.count)
        self.precision = MixedPrecision(t.precision, self.device.type)
        self.schedule = Schedule(config.schedule, t.steps)
        self.batches = self._stream(0, 0)
        whole = t.compile and not self.parallel.sharded  # slices are compiled block by block
        loss = compile_loss(self.model, self._note) if whole else self.model.loss
        self.summed_loss: Callable[[Tensor, Tensor], Tensor] = self.parallel.loss(loss)
        parameters = list(self.model.parameters())
        graphs = t.cuda_graphs and ranks.count == 1  # several exchange gradients within a pass
        self.passes = Passes(self._loss, parameters, self.precision, graphs=graphs, note=self._note)
        self._interrupt = Interrupt(patient=ranks.count > 1)
        step_tokens = t.batch_size * config.model.context_length
        self.length = RunLength(t.minutes, steps_for(t.max_epochs, data.train.num_tokens, step_tokens))
        parts = (self.model, self.optimizer, self.precision, ranks)
        self.saves = Saves(run, t, *parts, clock=self._now, note=self._note)
        self._pace = Pace(Meter.of(config, ranks.count) if ranks.first else None)
        self._began = time.perf_counter()
        self._compiled = loss if isinstance(loss, CompiledLoss) else None

    # -- one step ---------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Take one optimizer step: gradients of one batch, clipped, and the weights moved by them."""
        with self._pace.loading():
            batch = self.batches.next_batch()
        state = self.state
        self.optimizer.set_multiplier(self.schedule.multiplier(state.step) * state.rate_factor)
        self.ranks.seed(self.config.training.seed, state.step)
        summed = self._fitting_gradients(batch)
        # One wait for the device and not two: it clips while the processor has not yet seen the loss.
        loss, norm = torch.stack((summed, self._clip().to(summed))).tolist()
        loss, pressed = self.ranks.add(loss, self._interrupt.pressed)
        self._interrupt.agreed = pressed > 0
        targets = batch.num_targets + batch.elsewhere
        harm = judge(self.config.training, state, loss / max(1, targets), norm)
        if harm is None:
            self.optimizer.step()
            remember(state, loss / max(1, targets), norm)
            state.skipped_in_a_row = 0
            state.pending_loss += loss
            state.pending_targets += targets
        self.precision.update()
        self.passes.zero_gradients()
        state.step += 1
        state.tokens += targets
        position = self.batches.state()
        state.epoch, state.window = position["epoch"], position["window"]
        self._pace.targets += targets
        self._pace.norm = norm
        if harm is not None:
            self._skipped(harm, loss / max(1, targets), norm)

    def gradients(self, batch: Batch) -> Tensor:
        """Add up the gradients of the mean loss over `batch`, micro-batch by micro-batch; return its summed loss.

        The sum of each micro-batch's loss is divided by the number of targets of the whole batch, so the gradients
        are those of the one big batch, also where the last micro-batch is smaller or has fewer targets.

        Returns:
            The cross-entropy summed over the batch, this rank's share of it, in nats (a float32 scalar).
        """
        rows = self.micro_batch_size
        targets = max(1, batch.num_targets + batch.elsewhere)
        total = torch.zeros((), device=self.device)
        for start in range(0, len(batch.inputs), rows):
            x = self._to_device(batch.inputs[start : start + rows])  # (b, T)
            y = self._to_device(batch.targets[start : start + rows])  # (b, T)
            with self.parallel.passing(last=start + rows >= len(batch.inputs)):
                total += self.passes.run(x, y, targets, often=len(x) == min(rows, self.config.training.batch_size))
        return total

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        return self.summed_loss(x, y)  # what it is may change: the profiler puts a clock around it

    @property
    def micro_batch_size(self) -> int:
        """Windows in one pass: as the settings say, or fewer since memory ran out."""
        return self.state.micro_batch_size or self.config.training.micro_batch_size

    def _fitting_gradients(self, batch: Batch) -> Tensor:
        """Return `gradients(batch)`, in micro-batches that are halved until they fit the memory; it is said once."""
        before, reason = min(self.micro_batch_size, len(batch.inputs)), ""
        while True:
            random = random_state()
            try:
                summed = self.gradients(batch)
                if reason:
                    rows = self.state.micro_batch_size
                    self._note(
                        f"memory ran out ({reason}): from here on micro-batches of {rows} instead of {before} windows, "
                        f"whose gradients add up to the same batch"
                    )
                return summed
            except (RuntimeError, MemoryError) as error:
                if self._compiled is not None and self.ranks.count == 1 and self._compiled.gave_up(error):
                    self.passes.zero_gradients()
                    restore_random_state(random)
                    continue
                if not is_out_of_memory(error):
                    raise
                reason = shorten((str(error).strip() or type(error).__name__).splitlines()[0], 200, placeholder=" ...")
                if self.ranks.count > 1:
                    raise out_of_memory_among(self.ranks.rank, self.micro_batch_size, reason) from error
            # Outside of the handler: the error holds on to the frames of the pass, and with them to its tensors.
            self.passes.zero_gradients()
            release_memory(self.device)
            restore_random_state(random)  # dropout draws as if the batch had been cut like this from the start
            rows = min(self.micro_batch_size, len(batch.inputs))
            self.state.micro_batch_size = halve_micro_batch(rows, f"step {self.state.step}", reason)

    def _clip(self) -> Tensor:
        self.precision.unscale(self.optimizer.parts)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = whole_tensor(torch.nn.utils.get_total_norm(gradients))
        torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), self.config.optimizer.max_grad_norm, norm)
        return norm

    # -- steps that are not taken -----------------------------------------------------------------------------

    def _skipped(self, harm: str, loss: float, norm: float) -> None:
        state = self.state
        state.skipped += 1
        state.skipped_in_a_row += 1
        figures = {"loss": loss, "grad_norm": norm}
        known = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        self._event("skip", {**known, "reason": harm})
        if state.skipped_in_a_row == 1:
            self._note(f"step {state.step} is not taken: {harm}")
        if state.skipped_in_a_row >= self.config.training.max_skipped:
            self._go_back(harm)

    def _go_back(self, harm: str) -> None:
        left = self.state
        trouble = f"{left.skipped_in_a_row} steps in a row were not taken, the last because {harm}"
        self.state = state = self.saves.go_back(left, trouble)
        self.batches = self._stream(state.epoch, state.window)
        self.journal.open(state.step, state.returns)
        self._event("return", {"from_step": left.step, "returns": state.returns, "rate_factor": state.rate_factor})
        self._note(
            f"{trouble}: back from step {left.step} to the checkpoint of step {state.step}, "
            f"with learning rates times {state.rate_factor:g}"
        )
        self._pace.restart()
        self._pace.looked(self._now())

    # -- the whole run ----------------------------------------------------------------------------------------

    def run(self, *, resume: bool = False, stop_at: int | None = None) -> TrainingState:
        """Train to the end, or until Ctrl-C, early stop, or `stop_at` steps.

        Args:
            resume: go on from the newest whole checkpoint of the run folder.
            stop_at: save a checkpoint and return after so many steps in all.

        Raises:
            KeyboardInterrupt: after Ctrl-C, when the checkpoint is on the disk.
            QuireError: no checkpoint to resume from, disk full, memory too small, the run folder deleted, or many
                steps not taken in spite of returns to earlier checkpoints.
        """
        t = self.config.training
        if resume:
            self._resume()
        else:
            # Dropout's numbers follow the seed alone, whatever this process drew since the weights were made.
            torch.manual_seed(t.seed)
            self.journal.open(-1)
            self.length.begin(self.state, self.schedule)
        self._began = time.perf_counter() - self.state.seconds
        self.saves.begin(self.state.seconds)
        self.length.revised_at = self.state.seconds
        self._pace.looked(self.state.seconds)
        self.model.train()
        if not resume:
            self.saves.save_anchor(self.state)
        try:
            with self._interrupt.caught(), deterministic_kernels(self.device, wanted=t.deterministic):
                while self.state.step < self.schedule.total_steps and not self._stopping_early():
                    before = self.state.step
                    self.step()
                    if self.state.step > before:  # else the run went back to where it has looked already
                        self._after_step()
                    if self._is_interrupted or self.state.step == stop_at:
                        self.save()
                        break
                else:
                    self._finish()
        except BaseException:
            with contextlib.suppress(QuireError):  # what went wrong first is told
                self.journal.close()
            raise
        self.journal.close()
        if self._is_interrupted:
            raise KeyboardInterrupt
        return self.state

    def save(self) -> None:
        """Write a checkpoint of this moment, unless it is there, and delete the oldest."""
        self.saves.save(self.state)

    def _after_step(self) -> None:
        t, state = self.config.training, self.state
        self.journal.check_folder()
        state.seconds = self._now()
        self._pace.stepped(state.seconds)
        if self._compile_clock is not None and self._pace.steps == MEASURED_STEPS:
            self._record_compiling(self._compile_clock)
        self.length.revise_together(state, self._pace, self.schedule, self.ranks)
        last = state.step >= self.schedule.total_steps
        if state.step % t.log_interval == 0 or last:
            self.journal.steps_taken(state, self._pace, self.optimizer.learning_rate)
        if state.step % t.evaluation_interval == 0 or last:
            self._evaluate()
        if not last:  # the end is saved by `_finish`
            self.saves.after_step(state)
        self._pace.looked(self._now())

    def _record_compiling(self, clock: CompileClock) -> None:
        """Note how long compiling took in this run, for the plans of later ones; where it worked as it was planned."""
        if self._compiled is not None and self._compiled.works and not self.state.micro_batch_size:
            clock.note(list(self._pace.durations))

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

    def _resume(self) -> None:
        now = self.state
        self.state, folder = self.saves.load_newest()
        check_position(folder, self.state, now)
        self.schedule = Schedule(self.config.schedule, self.state.total_steps, self.state.knots)
        self.batches = self._stream(self.state.epoch, self.state.window)
        self.length.settle(self.state)
        self.journal.open(self.state.step, self.state.returns)
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
            best = self.parallel.whole()
            self.ranks.lead(lambda: save_model_folder(self.run_folder, best, self.data.tokenizer))
        else:
            state.worse += 1
        record = {"kind": "validation", "step": state.step, "tokens": state.tokens, "seconds": round(state.seconds, 3)}
        self.journal.write({**record, "loss": loss, "bits_per_byte": bits, "best": state.best_step == state.step})
        sample = ""
        if self.ranks.first or self.parallel.sharded:  # slices write together, or not at all
            with quietly(self.model), self.parallel.readable():
                sample = self.journal.samples.write(self.model, state.step, bits, keep=self.ranks.first)
        if sample:
            self.journal.listener({"kind": "sample", "step": state.step, "text": sample})
        state.seconds = self._now()

    def validate(self, tokens: int | None = None) -> tuple[float, float]:
        """Return the validation loss in nats a token and in bits per byte; arguments as for `validation.validate`."""
        return validate(self.model, self.data, self.precision, self.micro_batch_size, tokens, self.ranks)

    @property
    def _is_interrupted(self) -> bool:
        return self._interrupt.pressed if self.ranks.count == 1 else self._interrupt.agreed

    def _event(self, kind: str, figures: Record) -> None:
        state = self.state
        self.journal.write({"kind": kind, "step": state.step, "tokens": state.tokens, **figures})

    def _note(self, text: str) -> None:
        self.journal.note(self.state.step, text)

    # -- parts ------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return time.perf_counter() - self._began

    def _stream(self, epoch: int, window: int) -> BatchStream:
        t = self.config.training
        context = self.config.model.context_length
        place = {"epoch": epoch, "window": window, "rank": self.ranks.rank, "ranks": self.ranks.count}
        return BatchStream(self.data.train, context, t.batch_size, t.seed, **place)

    def _to_device(self, array: np.ndarray[Any, Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)
