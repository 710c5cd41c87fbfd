"""One contender of benchmarks/training_peers.py, in a process of its own: `python training_contender.py TASK.json`.

Each has its own loop, and is told before each step whether to go on:

- quire: the steps of quire's own trainer; against the clock, what `quire train` plans for the time.
- trainer: transformers' Qwen3 and its Trainer, with the defaults of `TrainingArguments` but for rate and warmup.
- litgpt: `litgpt.pretrain.setup` with a configuration of Qwen3 in this size, which always compiles: eager here means
  that torch.compile is switched off under it.
- nanogpt: the recipe of nanogpt_recipe.py; against the clock in its own size, else GPT-2's layout in the size asked.

The peers' schedules count steps and know no clock. Against the clock they keep their form and follow the time instead,
which no user of theirs could do without a trial run: their decay is complete when the time is over.

Answers are JSON objects, each on a line of the standard output; what the libraries print goes to the standard error.
A peer's environment need not have quire: it is imported for quire's own contenders alone.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training_task import Ended, Logits, OnCommand, Task, UntilTime, answer, peak_memory, score

Between = OnCommand | UntilTime

WARMUP = 0.05
"""Share of the time in which the peers' rates rise, as in nanoGPT's recipe: the Trainer's default is none, and litgpt's
2,000 steps are longer than the whole run."""


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Args:
        logits: the model, for the closing score.
        context: tokens in a window of it.
        end_of_text: the token before the first.
        parameters: of the model; a tied head counts once.
        figures: steps and tokens taken.
    """

    logits: Logits
    context: int
    end_of_text: int
    parameters: int
    figures: dict[str, Any]


def stopped(task: Task, model: torch.nn.Module, logits: Logits, between: Between, context: int, batch: int) -> Trained:
    """Return `Trained` of a model that `between` has stopped."""
    model.eval()
    figures = {"steps": between.taken, "tokens": between.taken * batch * context}
    # Tokenizers of quire have their end-of-text as the first id; what is stored says so too: it ends the row.
    end_of_text = int(task.row("validation")[-1])
    return Trained(logits, context, end_of_text, sum(p.numel() for p in model.parameters()), figures)


def train_quire(task: Task, between: Between, *, kind: str = "muon", planned: bool = False) -> Trained:
    """Train with quire: Muon, or AdamW alone; `planned`: width and depth too are what the plan chooses."""
    from quire.interop.huggingface import load_model_folder
    from quire.tokens.dataset import TokenDataset

    data = TokenDataset.open(Path(task.tokens))
    run = Path(task.out) / "run"
    if isinstance(between, OnCommand):
        trainer = _quire_trainer(task, run, data, kind)
        _quire_steps(trainer, between)
        return stopped(task, trainer.model, trainer.model, between, task.shape["context_length"], task.batch)
    from quire.tokens.settings import TokenSettings
    from quire.training.machine import measure_machine
    from quire.training.pace import time_step
    from quire.training.plan import plan_run
    from quire.training.plan_shape import Sizes
    from quire.training.trainer import Trainer

    # The time is for training, as it is for the others: no samples, no checkpoints on the way.
    lean = {"sample_tokens": 0, "patience": 0, "checkpoint_interval": 10**9, "evaluation_tokens": 4096}
    given: dict[str, Any] = {"training": lean, "optimizer": {"kind": kind}}
    if not planned:
        given["model"] = {key: value for key, value in task.shape.items() if key != "vocab_size"}
    sizes = Sizes(data.train.num_tokens, data.train.num_bytes, data.validation.num_tokens, data.tokenizer.vocab_size)
    machine = measure_machine(task.device)

    def left(spare: float) -> float:  # minutes, less what the end of training needs
        return max(1.0, between.end - time.time() - spare) / 60

    given["training"] = {**lean, "minutes": left(3.0)}
    config, _ = plan_run(
        sizes,
        machine,
        given,
        (TokenSettings(), {}),
        lambda model, rows, form: time_step(model, rows, form, task.device),
    )
    timed = config.training.model_copy(update={"minutes": left(1.0)})
    state = Trainer(run, config.model_copy(update={"training": timed}), data).run()
    model, tokenizer = load_model_folder(run, task.device)
    model.eval()
    figures = {
        "steps": state.step,
        "tokens": state.tokens,
        "precision": config.training.precision,
        "compiled": config.training.compile,
    }
    return Trained(model, config.model.context_length, tokenizer.end_of_text, model.num_parameters(), figures)


def _quire_trainer(task: Task, run: Path, data: Any, kind: str) -> Any:
    from quire.model.config import ModelConfig
    from quire.tokens.settings import TokenSettings
    from quire.training.config import RunConfig, TrainingSettings
    from quire.training.machine import measure_machine
    from quire.training.optimizer import OptimizerSettings
    from quire.training.plan import orthogonal_precision
    from quire.training.schedule import ScheduleSettings
    from quire.training.trainer import Trainer

    config = RunConfig(
        tokens=TokenSettings(),
        model=ModelConfig(**task.shape),
        optimizer=OptimizerSettings(kind=kind, orthogonal_precision=orthogonal_precision(measure_machine(task.device))),
        schedule=ScheduleSettings(),
        training=TrainingSettings(
            minutes=None,
            steps=10**6,
            batch_size=task.batch,
            micro_batch_size=task.batch,
            precision=task.precision,
            compile=task.compiled,
            device=task.device,
        ),
    )
    return Trainer(run, config, data)


def _quire_steps(trainer: Any, between: Between) -> None:
    from quire.training.determinism import deterministic_kernels

    trainer.model.train()
    with contextlib.suppress(Ended), deterministic_kernels(trainer.device, wanted=True):  # as in a run
        while True:
            between()
            trainer.step()


def windows_of(task: Task, length: int) -> Tensor:
    """Return the training tokens cut into windows of `length`."""
    row = task.row("train")
    count = len(row) // length
    return torch.from_numpy(row[: count * length].astype("int64")).view(count, length)


def train_transformers(task: Task, between: Between) -> Trained:
    """Train transformers' Qwen3 with its Trainer."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed

    shape = task.shape
    set_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=shape["vocab_size"],
            hidden_size=shape["hidden_size"],
            num_hidden_layers=shape["num_layers"],
            num_attention_heads=shape["num_heads"],
            num_key_value_heads=shape["num_kv_heads"],
            head_dim=shape["head_dim"],
            intermediate_size=shape["intermediate_size"],
            max_position_embeddings=shape["context_length"],
            rope_parameters={"rope_type": "default", "rope_theta": shape["rope_theta"]},
            tie_word_embeddings=True,
            use_cache=False,
        )
    )

    class Told(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            between()

    class ByTheClock(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            # Its default form, straight lines up and then down to 0, of the time instead of the steps.
            def multiplier(step: int) -> float:
                done = max(1e-3, between.share())
                return min(done / WARMUP, (1 - done) / (1 - WARMUP))

            rule = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, multiplier)
            self.lr_scheduler = rule
            return rule

    windows = windows_of(task, shape["context_length"])
    arguments = TrainingArguments(
        output_dir=str(Path(task.out) / "trainer"),
        max_steps=10**6,
        per_device_train_batch_size=task.batch,
        learning_rate=task.learning_rate,
        bf16=task.precision == "bfloat16",
        torch_compile=task.compiled,
        use_cpu=task.device == "cpu",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_drop_last=True,
    )
    examples = [{"input_ids": window, "labels": window} for window in windows]
    trainer = ByTheClock(model=model, args=arguments, train_dataset=examples, callbacks=[Told()])
    with contextlib.suppress(Ended):
        trainer.train()
    # Without what mixed precision wrapped around its forward pass: everyone is scored in float32.
    plain = trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False, keep_torch_compile=False)
    return stopped(
        task, plain, lambda tokens: plain(input_ids=tokens).logits, between, shape["context_length"], task.batch
    )


def train_litgpt(task: Task, between: Between) -> Trained:
    """Train litgpt's Qwen3 with `litgpt.pretrain.setup`."""
    import torch._dynamo
    from litgpt import Config, pretrain
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.data import DataModule
    from torch.utils.data import DataLoader, IterableDataset

    shape = task.shape
    torch._dynamo.config.disable = not task.compiled
    config = Config(
        name="Qwen3",
        block_size=shape["context_length"],
        vocab_size=shape["vocab_size"],
        padded_vocab_size=shape["vocab_size"],
        n_layer=shape["num_layers"],
        n_head=shape["num_heads"],
        n_embd=shape["hidden_size"],
        n_query_groups=shape["num_kv_heads"],
        head_size=shape["head_dim"],
        intermediate_size=shape["intermediate_size"],
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=1e-6,
        mlp_class_name="LLaMAMLP",
        rope_base=int(shape["rope_theta"]),
        norm_qk=True,
    )
    windows = windows_of(task, shape["context_length"] + 1)

    class Batches(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Tensor]:
            while True:
                for rows in torch.randperm(len(windows)).split(task.batch):
                    if len(rows) == task.batch:
                        between()
                        yield windows[rows]

    class Tokens(DataModule):
        def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
            pass  # the tokens are there, in the sizes of the task

        def train_dataloader(self) -> Any:
            return DataLoader(Batches(), batch_size=None)

        def val_dataloader(self) -> Any:  # two batches of it are tried before training
            return DataLoader(windows[: 2 * task.batch], batch_size=task.batch)

    seen: dict[str, Any] = {}
    fit, rate = pretrain.fit, pretrain.get_lr

    def watched(**arguments: Any) -> None:
        seen.update(arguments)
        fit(**arguments)

    pretrain.fit = watched
    # Its own schedule, half a cosine after a straight warmup, of the time instead of the steps.
    pretrain.get_lr = lambda peak, it, warmup, last, lowest: rate(peak, max(1e-3, between.share()), WARMUP, 1.0, lowest)
    with contextlib.suppress(Ended):
        pretrain.setup(
            "Qwen3",
            config,
            out_dir=Path(task.out) / "litgpt",
            precision="bf16-mixed" if task.precision == "bfloat16" else "32-true",
            data=Tokens(),
            train=TrainArgs(
                save_interval=None,
                log_interval=10,
                global_batch_size=task.batch,
                micro_batch_size=task.batch,
                max_tokens=10**12,
                max_norm=1.0,
                min_lr=4e-5,
                lr_warmup_steps=None,
                tie_embeddings=True,
            ),
            eval=EvalArgs(interval=10**9, final_validation=False),
            optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": task.learning_rate}},
            devices=1,
            logger_name="csv",
        )
    model = seen["state"]["model"].module  # neither compiled nor in mixed precision
    return stopped(task, model, model, between, shape["context_length"], task.batch)


def train_nanogpt(task: Task, between: Between) -> Trained:
    """Train by nanoGPT's recipe."""
    import nanogpt_recipe as recipes

    timed = isinstance(between, UntilTime)
    recipe = recipes.RECIPES[task.device] if timed else recipes.of_shape(task.shape, task.batch)
    models: list[torch.nn.Module] = []
    with contextlib.suppress(Ended):
        recipes.train(
            recipe,
            task.shape["vocab_size"],
            task.row("train"),
            torch.device(task.device),
            between,
            between.share,
            precision=task.precision,
            compiled=task.compiled,
            started=models.append,
        )
    return stopped(task, models[0], models[0], between, recipe.context, recipe.batch)


LOOPS: dict[str, Callable[[Task, Between], Trained]] = {
    "quire": train_quire,
    "quire-adamw": lambda task, between: train_quire(task, between, kind="adamw"),
    "quire-planned": lambda task, between: train_quire(task, between, planned=True),
    "trainer": train_transformers,
    "litgpt": train_litgpt,
    "nanogpt": train_nanogpt,
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = Task(**json.loads(Path(sys.argv[1]).read_text("utf-8")))
    between = OnCommand(task, answers) if task.seconds is None else UntilTime(task)
    trained = LOOPS[task.contender](task, between)
    spent = time.time() - task.began
    result: dict[str, Any] = {**peak_memory(task.device), **trained.figures}
    if task.seconds is not None:
        row = task.row("validation")
        nats = score(trained.logits, row, trained.end_of_text, trained.context, task.device)
        result |= {
            "seconds": spent,
            "parameters": trained.parameters,
            "nats_per_token": nats / len(row),
            "bits_per_byte": nats / math.log(2) / task.index["splits"]["validation"]["num_bytes"],
        }
    answer(answers, result)


if __name__ == "__main__":
    main()
