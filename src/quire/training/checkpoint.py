"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder `checkpoints/step-0000500` of safetensors and JSON files, written under another name and
renamed when every byte is on the disk, so a folder with that name is whole. `state.json` lists the size and SHA-256
of the others; damage after the fact is found before anything is loaded. Nothing in it can run code.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from quire.errors import FormatError, QuireError
from quire.files import explain_os_error, file_sha256, fsync_folder
from quire.training.distributed import ALONE, Ranks
from quire.training.optimizer import Optimizer
from quire.training.precision import MixedPrecision

VERSION = 1
RANDOM_FILE = "random.safetensors"
AS_IT_WAS = "Resume with the settings the run was started with, or start a new run with another --out"

Shapes = dict[str, tuple[int, ...]]


@dataclass
class TrainingState:
    """Where a run stands, apart from tensors."""

    step: int = 0
    """Optimizer steps taken."""
    tokens: int = 0
    """Prediction targets seen."""
    seconds: float = 0.0
    """Training time, over all resumptions."""
    epoch: int = 0
    """The data position: which pass over the corpus ..."""
    window: int = 0
    """... and which window of its order comes next."""
    total_steps: int = 0
    """The length that the schedule aims at."""
    knots: list[tuple[int, float]] = field(default_factory=lambda: [(0, 0.0)])
    """The revisions of that length (see schedule.py)."""
    best_loss: float | None = None
    """The lowest validation loss so far, nats a token, ..."""
    best_step: int = 0
    """... the step it was measured at, ..."""
    worse: int = 0
    """... and how many evaluations since then were not better."""
    evaluated_step: int = -1
    """The step of the last evaluation."""
    skipped: int = 0
    """Steps that were not taken (see guard.py)."""
    skipped_in_a_row: int = 0
    """How many of those came last."""
    losses: list[float] = field(default_factory=list)
    """The mean losses of the last steps that were taken, ..."""
    norms: list[float] = field(default_factory=list)
    """... and the norms of their gradients."""
    anchors: list[int] = field(default_factory=list)
    """The steps of the last checkpoints that a run can go back to, oldest first."""
    returns: int = 0
    """How often it did, ..."""
    rate_factor: float = 1.0
    """... and what all learning rates are multiplied by since then."""
    micro_batch_size: int = 0
    """Windows in one pass, where memory forced fewer than the settings say; 0: as they say."""
    pending_loss: float = 0.0
    """The summed loss of the steps since the last line of metrics, ..."""
    pending_targets: int = 0
    """... and how many targets it is the loss of."""
    scaler: dict[str, int | float] = field(default_factory=dict)
    """The loss scale of float16."""
    batch_size: int = 0
    """Windows of a step; with them the data position is counted. 0: not recorded."""
    context_length: int = 0
    """Tokens of a window, likewise."""


def checkpoints_folder(run: Path) -> Path:
    """Return where the checkpoints of `run` lie."""
    return run / "quire" / "checkpoints"


def save_checkpoint(
    run: Path,
    state: TrainingState,
    model: nn.Module,
    optimizer: Optimizer,
    precision: MixedPrecision,
    ranks: Ranks = ALONE,
) -> Path:
    """Write a checkpoint of this moment, each of several ranks its part, and return its folder.

    Raises:
        QuireError: it could not be written (disk full, no permission); earlier checkpoints are untouched.
    """
    if ranks.count > 1:
        from quire.training.shared_checkpoint import save_shared  # its imports take a second

        return save_shared(run, state, model, optimizer, precision, ranks)
    folder = checkpoint_folder(run, state.step)
    part = folder.with_name(f".{folder.name}.part")
    state.scaler = precision.state()
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _save(part / "weights.safetensors", dict(model.named_parameters()))
        _save(part / "optimizer.safetensors", optimizer.state_tensors())
        _save(part / RANDOM_FILE, random_state())
        publish(part, folder, state, {file.name: describe_file(file) for file in sorted(part.iterdir())})
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise explain_os_error(error, folder) from error
    except safetensors.SafetensorError as error:
        # The Rust writer wraps the system's error in its own text ("No space left on device").
        shutil.rmtree(part, ignore_errors=True)
        raise QuireError(f"could not be written: {error}", where=folder, hint="Is the disk full?") from error
    return folder


def publish(part: Path, folder: Path, state: TrainingState, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Make a checkpoint of the files in `part`: with its state, on the disk to the last byte, under its name.

    Args:
        part: the folder that was written.
        folder: what it is to be called; one that is there is replaced.
        state: where the run stands.
        files: `describe_file` of each file in it.

    Raises:
        OSError: it cannot be written.
    """
    (part / "state.json").write_text(json.dumps({"version": VERSION, **asdict(state), "files": files}, indent=1))
    for file in part.iterdir():
        fsync_file(file)
    fsync_folder(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    fsync_folder(folder.parent)


def is_shared(folder: Path) -> bool:
    """Whether several ranks wrote this checkpoint."""
    return any(folder.glob("shard-*.safetensors"))


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of `run`, oldest first."""
    return sorted(p for p in checkpoints_folder(run).glob("step-*") if p.is_dir())


def prune_checkpoints(run: Path, keep: int, steps: Collection[int] = ()) -> None:
    """Delete all but the last `keep` checkpoints and those of `steps`, and what an interrupted save left behind."""
    for folder in list_checkpoints(run)[:-keep]:
        if step_of(folder) not in steps:
            shutil.rmtree(folder, ignore_errors=True)
    for part in checkpoints_folder(run).glob(".step-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def forget_checkpoints(run: Path, step: int) -> None:
    """Delete the checkpoints after `step`: the run has gone back to it."""
    for folder in list_checkpoints(run):
        if step_of(folder) > step:
            shutil.rmtree(folder, ignore_errors=True)


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return where the checkpoint of `step` lies."""
    return checkpoints_folder(run) / f"step-{step:07d}"


def step_of(folder: Path) -> int:
    """Return the step of a checkpoint's folder, or -1 where its name holds none."""
    number = folder.name.removeprefix("step-")
    return int(number) if number.isdigit() else -1


def latest_checkpoint(run: Path) -> tuple[Path, list[str]]:
    """Return the newest whole checkpoint, and one sentence for each newer one that is damaged.

    Raises:
        FormatError: there is none.
    """
    folder, problems = newest_whole(reversed(list_checkpoints(run)))
    if folder is not None:
        return folder, problems
    hint = "; ".join(problems) or "Start the run again without --resume"
    raise FormatError("no checkpoint to resume from", where=run, hint=hint)


def newest_whole(folders: Iterable[Path]) -> tuple[Path | None, list[str]]:
    """Return the first of `folders` that is a whole checkpoint, and one sentence for each damaged one before it."""
    problems = []
    for folder in folders:
        try:
            read_state(folder)
        except FormatError as error:
            problems.append(str(error))
        else:
            return folder, problems
    return None, problems


def read_state(folder: Path) -> TrainingState:
    """Return the state of a checkpoint after verifying every file of it.

    Raises:
        FormatError: a file is missing, cut short, changed, or of another version of quire.
    """
    path = folder / "state.json"
    try:
        content = json.loads(path.read_text("utf-8"))
        version, files = content.pop("version"), dict(content.pop("files"))
        described = {str(name): (facts["bytes"], facts["sha256"]) for name, facts in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"not a whole checkpoint: {error!r}", where=path) from None
    if version != VERSION:
        raise FormatError(f"checkpoint format {version}, this quire reads {VERSION}", where=path)
    for name, (num_bytes, digest) in described.items():
        file = folder / name
        if not file.is_file():
            raise FormatError("this file of the checkpoint is missing", where=file)
        if (size := file.stat().st_size) != num_bytes:
            raise FormatError(f"{size} bytes where {num_bytes} were written", where=file)
        if file_sha256(file) != digest:
            raise FormatError("its content is not what was written (SHA-256 differs)", where=file)
    try:
        state = TypeAdapter(TrainingState).validate_python(content)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        raise FormatError(f"not a training state: {name}: {problem['msg']}", where=path) from None
    if not described or not state.knots:
        raise FormatError("not a whole checkpoint: it names no files, or no length", where=path)
    if step_of(folder) not in (-1, state.step):
        raise FormatError(f"it is of step {state.step}, and its folder of another", where=path)
    return state


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, precision: MixedPrecision, ranks: Ranks = ALONE
) -> TrainingState:
    """Put model, optimizer, loss scale and random generators back as they were, and return the state.

    Raises:
        FormatError: the checkpoint is damaged, or of a model of another shape.
    """
    if ranks.count > 1 or is_shared(folder):
        from quire.training.shared_checkpoint import load_shared

        return load_shared(folder, model, optimizer, precision, ranks)
    state = read_state(folder)
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    parameters = dict(model.named_parameters())
    check_shapes(folder, shapes_of(parameters), shapes_of(weights))
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    for part in optimizer.parts:
        part.state.clear()  # a checkpoint before the first step has none
    moments = safetensors.torch.load_file(folder / "optimizer.safetensors")
    check_slots(folder, optimizer, moments)
    optimizer.load_state_tensors(moments)
    precision.load_state(state.scaler)
    restore_random_state(safetensors.torch.load_file(folder / RANDOM_FILE))
    return state


def random_state() -> dict[str, Tensor]:
    """Return the state of torch's random generators: the CPU's and every GPU's."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{i}": torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())}
    return states


def restore_random_state(states: Mapping[str, Tensor]) -> None:
    """Take back what `random_state` gave, for the generators that exist here."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"cuda.{i}" in states:
                torch.cuda.set_rng_state(states[f"cuda.{i}"], i)


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """Return the shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_shapes(folder: Path, want: Shapes, have: Shapes) -> None:
    """Raise `FormatError` where the tensors of a checkpoint, `have`, are not those of the model, `want`."""
    if have != want:
        different = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
        name = different[0]
        raise FormatError(
            f"a checkpoint of another model: {name} is {have.get(name)} there and {want.get(name)} here"
            f" ({len(different)} tensors differ)",
            where=folder,
            hint=AS_IT_WAS,
        )


def check_position(folder: Path, then: TrainingState, now: TrainingState) -> None:
    """Raise `FormatError` where the data position of a checkpoint, `then`, was counted in other windows than `now`."""
    for name in ("batch_size", "context_length"):
        before, here = getattr(then, name), getattr(now, name)
        if before not in (0, here):
            what = f"the run was begun with {name} = {before}, and is to go on with {here}"
            raise FormatError(what, where=folder, hint=AS_IT_WAS)
        setattr(then, name, here)


def check_slots(folder: Path, optimizer: Optimizer, stored: Collection[str]) -> None:
    """Raise `FormatError` where what is stored is not what `optimizer` keeps; before the first step that is nothing."""
    different = sorted(set(stored) ^ optimizer.slots()) if stored else []
    if different:
        where = "there" if different[0] in stored else "here"
        what = f"a checkpoint of another optimizer: {different[0]} is only {where} ({len(different)} tensors differ)"
        raise FormatError(what, where=folder, hint=AS_IT_WAS)


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    safetensors.torch.save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)


def describe_file(path: Path) -> dict[str, Any]:
    """Return what `state.json` keeps of a file: its size and its SHA-256."""
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def fsync_file(path: Path) -> None:
    """Make the bytes of `path` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
