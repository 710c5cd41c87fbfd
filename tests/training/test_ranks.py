"""One rank by itself: what it says of others that are gone, what it draws, plans, and which device it takes."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.checkpoint.api import CheckpointException

from quire.errors import QuireError, UsageError
from quire.model.transformer import Transformer
from quire.training.checkpoint import TrainingState
from quire.training.distributed import ALONE, Ranks, joined, restarted, tell_once
from quire.training.machine import Machine
from quire.training.optimizer import Optimizer
from quire.training.plan_ranks import check_shard, for_ranks, of_all
from quire.training.precision import MixedPrecision
from quire.training.sharding import _height
from quire.training.shared_checkpoint import save_shared


def test_a_process_by_itself_is_rank_0_of_one(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with joined() as ranks:
        assert ranks is ALONE
    assert ranks.first
    assert not restarted()
    assert ranks.lead(lambda: 7) == 7
    assert ranks.gather(lambda: 7) == [7]
    assert ranks.add(1.5, 2.0) == ranks.share(1.5, 2.0) == [1.5, 2.0]
    before = torch.get_rng_state()
    ranks.seed(1, 2)
    assert torch.equal(torch.get_rng_state(), before)
    told = []
    tell_once(lambda: told.append(1))
    assert told == [1]
    with pytest.raises(RuntimeError, match="gloo"), ranks.explained(Path("run")):
        raise RuntimeError("gloo: connection closed")


def test_a_lost_connection_is_explained_and_a_bug_is_not():
    ranks = Ranks(0, 2)
    with (
        pytest.raises(QuireError, match=r"another process .* has ended.*--resume --out run"),
        ranks.explained(Path("run")),
    ):
        raise RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    with pytest.raises(RuntimeError, match="mat1"), ranks.explained(Path("run")):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_rank_that_ends_while_a_checkpoint_is_written_is_no_fault_of_the_disk(config, tmp_path, monkeypatch):
    trainer_config = config()
    model = Transformer(trainer_config.model)
    parts = (model, Optimizer(model, trainer_config.optimizer), MixedPrecision("float32", "cpu"), ALONE)

    def failing(cause):
        def save(*args, **options):
            raise CheckpointException("write", {1: (cause, None)})

        monkeypatch.setattr("quire.training.shared_checkpoint.save", save)
        with Ranks(0, 2).explained(tmp_path):
            save_shared(tmp_path, TrainingState(total_steps=5), *parts)

    with pytest.raises(QuireError, match="another process of this job has ended"):
        failing(RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer"))
    with pytest.raises(QuireError, match=r"rank 1 could not write its part: odd.*full"):
        failing(ValueError("odd"))
    with pytest.raises(QuireError, match="No space left"):
        failing(OSError(28, "No space left on device"))


def test_random_numbers_of_a_step_are_of_its_rank():
    drawn = set()
    for rank in range(2):
        for step in range(3):
            Ranks(rank, 2).seed(5, step)
            drawn.add(float(torch.rand(())))
    assert len(drawn) == 6
    Ranks(1, 2).seed(5, 2)
    assert float(torch.rand(())) in drawn


def test_devices_of_ranks(monkeypatch):
    ranks = Ranks(5, 8, local=1, local_count=4)
    assert ranks.device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="cannot train on mps"):
        ranks.device("mps")
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert ranks.device("cuda") == torch.device("cuda:1")
    assert chosen == [1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="4 processes on a machine with 1 GPUs"):
        ranks.device("cuda")
    assert ALONE.device("mps") == torch.device("mps")


@given(st.integers(1, 40), st.integers(1, 9))
@settings(deadline=None)
def test_slices_are_cut_as_fsdp_cuts_them(rows, count):
    chunks = [len(chunk) for chunk in torch.arange(rows).chunk(count)]
    assert [_height(rows, count, rank) for rank in range(count)] == chunks + [0] * (count - len(chunks))


def test_the_plan_of_ranks(config):
    machine = Machine("cpu", "a processor", 8, 64 << 30, {"float32": 100.0}, None)
    together = of_all(machine, Ranks(0, 3, local_count=3))
    assert together.gflops == {"float32": 300.0}
    assert together.memory_bytes == (64 << 30) // 3
    assert "3 processes" in together.name
    gpu = Machine("cuda", "a GPU", 8, 80 << 30, {"bfloat16": 1e5}, None)
    assert of_all(gpu, Ranks(0, 8, local_count=8)).memory_bytes == 80 << 30
    assert of_all(machine, ALONE) is machine
    reasons = {"training.batch_size": "so many tokens", "training.micro_batch_size": "the whole batch at once"}
    planned, why = for_ranks(config(training={"batch_size": 7, "micro_batch_size": 7}), reasons, {}, Ranks(0, 3))
    assert (planned.training.batch_size, planned.training.micro_batch_size) == (9, 3)
    assert why["training.batch_size"] == "so many tokens; 3 for each of 3 processes"
    kept, _ = for_ranks(config(), reasons, {"training": {"batch_size": 6}}, Ranks(0, 4))
    assert kept.training.batch_size == 6
    with pytest.raises(UsageError, match="nobody to share"):
        check_shard({"training": {"shard": True}}, ALONE)
