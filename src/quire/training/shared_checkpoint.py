"""Checkpoints that several ranks write and any number of ranks reads.

Every rank writes what it holds by `torch.distributed.checkpoint`, into its own file; of copies, each is written once.
The files are safetensors whose header says which part of which tensor they have: torch's own format keeps that in a
pickle, and nothing that quire reads may run code. Around them the folder is what `checkpoint.py` says: whole or absent,
with sizes and SHA-256 of all files in `state.json`. On loading, each rank takes from all files what it needs now, so
the number of ranks may change, and one process reads what many wrote, and the reverse.

All ranks must see the same file system.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from quire.errors import QuireError
from quire.files import explain_os_error
from quire.training.checkpoint import (
    RANDOM_FILE,
    TrainingState,
    check_shapes,
    check_slots,
    checkpoint_folder,
    describe_file,
    publish,
    random_state,
    read_state,
    restore_random_state,
    shapes_of,
)
from quire.training.distributed import Ranks, is_lost
from quire.training.optimizer import Optimizer
from quire.training.precision import MixedPrecision


def save_shared(
    run: Path, state: TrainingState, model: nn.Module, optimizer: Optimizer, precision: MixedPrecision, ranks: Ranks
) -> Path:
    """Write a checkpoint of this moment, together with the other ranks, and return its folder.

    Raises:
        QuireError: a rank could not write its part; raised on all of them, and earlier checkpoints are untouched.
        RuntimeError: another rank has ended meanwhile; see `Ranks.explained`.
    """
    folder = checkpoint_folder(run, state.step)
    part = folder.with_name(f".{folder.name}.part")
    state.scaler = precision.state()
    tensors: dict[str, Any] = {name: parameter.detach() for name, parameter in model.named_parameters()}
    tensors |= optimizer.state_tensors()
    try:
        ranks.lead(lambda: _begin(part))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            writer = HuggingFaceStorageWriter(str(part), save_distributed=True)
            save(tensors, storage_writer=writer, process_group=ranks.control)
        # The n-th rank's files begin with "shard-0000n"; hashing them is divided as writing them was.
        mine = sorted(part.glob(f"shard-{ranks.rank + 1:05d}-*"))
        parts = ranks.gather(lambda: {file.name: describe_file(file) for file in mine})
        files = {name: facts for described in parts for name, facts in described.items()}
        ranks.lead(lambda: _end(part, folder, state, files))
    except (OSError, safetensors.SafetensorError, CheckpointException) as error:
        if ranks.first:
            shutil.rmtree(part, ignore_errors=True)
        for cause, _ in error.failures.values() if isinstance(error, CheckpointException) else ():
            if is_lost(cause):  # no fault of the disk: `Ranks.explained` says what it is
                raise cause from error
        raise _explain(error, folder) from error
    return folder


def load_shared(
    folder: Path, model: nn.Module, optimizer: Optimizer, precision: MixedPrecision, ranks: Ranks
) -> TrainingState:
    """Put model, optimizer and loss scale back as they were, each rank its own part, and return the state.

    Args:
        folder: a checkpoint that any number of ranks wrote, one among them.
        model: of these ranks; so is the optimizer.
        optimizer: takes the state.
        precision: takes the loss scale.
        ranks: who reads.

    Raises:
        FormatError: the checkpoint is damaged, or of a model of another shape.
    """
    state = ranks.lead(lambda: read_state(folder))
    written = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    parameters = dict(model.named_parameters())
    sizes: dict[str, Any] = {name: facts for name, facts in written.items() if "." in name}
    slots = {name: facts for name, facts in sizes.items() if name.rpartition(".")[0] in sizes}
    weights = {name: tuple(facts.size) for name, facts in sizes.items() if name not in slots}
    weights = {name: size for name, size in weights.items() if not name.startswith("cuda.")}  # generators' states
    check_shapes(folder, shapes_of(parameters), weights)
    check_slots(folder, optimizer, slots)
    moments: dict[str, Tensor] = {}
    for name, facts in slots.items():
        parameter = parameters[name.rpartition(".")[0]].detach()
        same = tuple(facts.size) == tuple(parameter.shape)  # a slot of another shape counts steps
        dtype = facts.properties.dtype
        moments[name] = torch.zeros_like(parameter, dtype=dtype) if same else torch.zeros(facts.size, dtype=dtype)
    tensors: dict[str, Any] = {**{name: parameter.detach() for name, parameter in parameters.items()}, **moments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells one process that it is one process
        reader = HuggingFaceStorageReader(str(folder))
        load(tensors, storage_reader=reader, process_group=ranks.control, no_dist=ranks.count == 1)
    for each in optimizer.parts:
        each.state.clear()  # a checkpoint before the first step has none
    optimizer.load_state_tensors(moments)
    precision.load_state(state.scaler)
    if ranks.count == 1:
        restore_random_state(safetensors.torch.load_file(folder / RANDOM_FILE))
    return state


def _begin(part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise explain_os_error(error, part) from error


def _end(part: Path, folder: Path, state: TrainingState, files: dict[str, dict[str, Any]]) -> None:
    try:
        safetensors.torch.save_file(random_state(), part / RANDOM_FILE)
        publish(part, folder, state, {**files, RANDOM_FILE: describe_file(part / RANDOM_FILE)})
    except OSError as error:
        raise explain_os_error(error, folder) from error


def _explain(error: BaseException, folder: Path) -> QuireError:
    """Return the first rank's failure in plain words; torch hands over those of all ranks with their tracebacks."""
    if isinstance(error, CheckpointException):
        rank, (cause, _) = min(error.failures.items(), key=lambda failure: failure[0])
        if isinstance(cause, OSError):
            return explain_os_error(cause, folder)
        return QuireError(f"rank {rank} could not write its part: {cause}", where=folder, hint="Is the disk full?")
    if isinstance(error, OSError):
        return explain_os_error(error, folder)
    return QuireError(f"could not be written: {error}", where=folder, hint="Is the disk full?")
