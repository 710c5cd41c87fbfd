"""The whole configuration of a run: one tree of settings, saved as run.toml with the plan's reasons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field

from quire.errors import FormatError, UsageError
from quire.files import write_text
from quire.model.config import ModelConfig
from quire.settings import Settings, build, read_toml
from quire.tokens.settings import TokenSettings
from quire.training.optimizer import OptimizerSettings
from quire.training.schedule import ScheduleSettings


class TrainingSettings(Settings):
    """How long, how much at once, and how often to look."""

    minutes: float | None = Field(10.0, gt=0, le=525_600, allow_inf_nan=False)
    """Training time to use, in minutes; the number of steps follows the clock. None: take `steps` steps."""
    steps: int = Field(ge=1)
    """Optimizer steps; with `minutes`, the first estimate of them."""
    max_epochs: float | None = Field(None, gt=0, allow_inf_nan=False)
    """A run by the clock ends, its decay completed, when it has seen the training text so often, time left or not."""
    batch_size: int = Field(ge=1, le=1 << 20)
    """Windows of context_length tokens in one optimizer step, of all processes together."""
    micro_batch_size: int = Field(ge=1, le=1 << 20)
    """Windows in one forward and backward pass of a process; gradients of several passes add up to the batch's."""
    activation_checkpointing: bool = False
    """Keep only what enters each block and compute the rest again on the way back: less memory, a third more work."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the matrix products; weights stay in float32."""
    compile: bool = False
    """Whether to compile the model with torch.compile, which needs a C++ compiler."""
    cuda_graphs: bool = False
    """On an NVIDIA GPU, record a pass forward and back once and start its kernels together; one process alone does."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:0, mps; of several processes, each takes the GPU of its own number."""
    shard: bool = False
    """Of several processes, whether each holds a slice of the model and of the optimizer's state, and not a copy."""
    threads: int = Field(0, ge=0, le=1024)
    """CPU threads; 0 takes as many as torch would, but not more than the cores, which several processes divide."""
    deterministic: bool = True
    """Use only kernels that give the same bits every time; off may be faster on a GPU and loses exact resumption."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Decides initial weights, dropout and the order of the windows."""
    log_interval: int = Field(10, ge=1)
    """Steps between two lines of metrics."""
    evaluation_interval: int = Field(100, ge=1)
    """Steps between two evaluations on the validation text."""
    evaluation_tokens: int = Field(65536, ge=1)
    """Validation tokens of an evaluation, taken evenly from all; the closing score uses all."""
    patience: int = Field(0, ge=0)
    """Stop after so many evaluations in a row without a better validation loss; 0 never stops early."""
    checkpoint_interval: int = Field(500, ge=1)
    """Steps between two checkpoints."""
    checkpoint_seconds: float = Field(300.0, gt=0)
    """Seconds after which a checkpoint is written even between intervals."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the last checkpoints to keep."""
    spike_factor: float = Field(10.0, ge=0)
    """A step whose gradient is so many times longer than the median of the last 64 is not taken; 0 takes them all."""
    spike_deviations: float = Field(10.0, ge=0)
    """A step whose loss is so many standard deviations above the median of the last 64 is not taken; 0 takes all."""
    max_skipped: int = Field(20, ge=1)
    """Go back to a checkpoint after so many steps in a row not taken; float16 may skip 16 while it finds its scale."""
    return_rate: float = Field(0.5, gt=0, le=1)
    """Factor on all learning rates from such a return on."""
    max_returns: int = Field(3, ge=0)
    """Give up where the run would have to go back once more than so often."""
    sample_prompts: tuple[str, ...] = ()
    """Prompts to continue at each evaluation; empty: the first words of three validation texts."""
    sample_tokens: int = Field(60, ge=0)
    """Tokens of each sample; 0 writes none."""
    tensorboard: bool = False
    """Also write TensorBoard events, to RUN/quire/tensorboard; needs `pip install 'quire[tensorboard]'`."""


class RunConfig(Settings):
    """Everything that decides a run."""

    tokens: TokenSettings
    """Tokenizer and split."""
    model: ModelConfig
    """The transformer's shape."""
    optimizer: OptimizerSettings
    """How weights follow gradients."""
    schedule: ScheduleSettings
    """How the learning rate goes over the run."""
    training: TrainingSettings
    """How long, how much at once, how often to look."""


def run_toml(run: Path) -> Path:
    """Return where the configuration of `run` lies."""
    return run / "quire" / "run.toml"


def save_config(
    run: Path,
    config: RunConfig,
    reasons: Mapping[str, str],
    source: Mapping[str, Any],
    foretold: Mapping[str, float] | None = None,
) -> None:
    """Write the configuration, the plan's reason for each value, and where the text came from.

    Args:
        run: the run folder.
        config: every setting.
        reasons: by setting, such as "model.hidden_size".
        source: what identifies the text.
        foretold: what the plan expects of the run, by name: `predicted_bits_per_byte` is what the report shows.

    Raises:
        QuireError: the file cannot be written.
    """
    content = {
        "source": dict(source),
        **({"plan": dict(foretold)} if foretold else {}),
        **config.model_dump(mode="json", exclude_none=True),
        "reasons": dict(reasons),
    }
    # TOML has no null; `minutes` left out means that `steps` decides.
    write_text(run_toml(run), tomli_w.dumps(content))


def load_config(run: Path) -> tuple[RunConfig, dict[str, str], dict[str, Any]]:
    """Return what `save_config` wrote: configuration, reasons, source.

    Raises:
        FormatError: there is no run.toml, or it does not hold a configuration of this version.
    """
    path = run_toml(run)
    try:
        content = read_toml(path)
        reasons, source = content.pop("reasons", {}), content.pop("source", {})
        content.pop("plan", None)
        content.get("training", {}).setdefault("minutes", None)
        return build(RunConfig, content, where=str(path)), reasons, source
    except UsageError as error:
        raise FormatError(error.what, where=path, hint="Is this a run folder that `quire train` made?") from None
