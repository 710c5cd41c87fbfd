"""Estimates of runs: numbers worked out by hand, and what must hold for every run."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import UsageError
from quire.model.config import ModelConfig
from quire.model.size import count_parameters
from quire.settings import build, with_assignments
from quire.training.config import RunConfig
from quire.training.estimate import command, estimate
from quire.training.gpus import GPUS, find_gpu
from quire.training.layout import LINK_SHARE, USABLE, link_rate, step_traffic
from quire.training.shape import shape_for

GPT2 = ModelConfig(vocab_size=50257, hidden_size=768, num_layers=12, num_heads=12, context_length=1024)
# 12 blocks of 4 D^2 + 3 D F, and the head.
PRODUCTS = 12 * (4 * 768**2 + 3 * 768 * 2048) + 50257 * 768
A100, H100 = GPUS["a100-80"], GPUS["h100"]


def test_gpt2_small_on_ten_billion_tokens_and_eight_a100() -> None:
    """6 FLOPs for each number of a product, 12 D T for each block's attention: 8.5e18, 2.4 hours at 40 %."""
    run = estimate(GPT2, 10**10, A100, gpus=8, mfu=0.4)
    assert run.flops_per_token == 6 * PRODUCTS + 12 * 12 * 768 * 1024 == 854_438_400
    assert run.flops == 854_438_400 * 10**10
    assert 8e18 < run.flops < 1e19
    assert run.seconds is not None
    assert run.seconds == pytest.approx(8.544384e18 / (8 * 312e12 * 0.4), rel=1e-9)
    assert run.gpu_hours == pytest.approx(8.544384e18 / (312e12 * 0.4) / 3600)
    assert run.cost == pytest.approx(run.gpu_hours * A100.price)
    assert run.kilowatt_hours == pytest.approx(run.gpu_hours * 0.4)
    assert run.tokens_per_parameter == pytest.approx(1e10 / count_parameters(GPT2))


def test_traffic_by_hand() -> None:
    """Of n bytes an all-reduce over 8 sends 2 n 7 / 8; gathering twice in 16 bits and scattering in 32, n = 2, 2, 4."""
    n = count_parameters(GPT2)
    assert step_traffic(GPT2, 8, 1, shard=False) == 2 * 4 * n * 7 / 8
    assert step_traffic(GPT2, 8, 5, shard=False) == 2 * 4 * n * 7 / 8  # gradients are added up first
    assert step_traffic(GPT2, 8, 1, shard=True) == 8 * n * 7 / 8
    assert step_traffic(GPT2, 8, 5, shard=True) == 5 * 8 * n * 7 / 8
    assert step_traffic(GPT2, 8, 1, shard=True, half=False) == 12 * n * 7 / 8
    assert step_traffic(GPT2, 1, 1, shard=False) == 0


def test_links_are_as_fast_as_the_slower_of_node_and_network() -> None:
    assert link_rate(H100, 8, 1) == 450e9
    assert link_rate(H100, 8, 4) == 400e9  # eight ports of 400 Gbit/s
    assert link_rate(H100, 1, 4) == 50e9  # one of them
    assert link_rate(GPUS["rtx-4090"], 4, 2) == 12.5e9 / 2


def test_slow_links_hold_the_gpus_up_and_are_paid_for() -> None:
    slow = estimate(GPT2, 10**9, GPUS["rtx-4090"], gpus=1, nodes=8, batch_tokens=8192)
    ddp = next(one for one in slow.layouts if one.name == "DDP")
    assert ddp.traffic_seconds == pytest.approx(ddp.traffic / (12.5e9 / 8 * LINK_SHARE))
    assert ddp.exposed_seconds == pytest.approx(ddp.traffic_seconds - ddp.compute_seconds * 2 / 3)
    assert ddp.step_seconds > ddp.compute_seconds
    assert slow.chosen is not None
    assert slow.seconds == pytest.approx(slow.chosen.step_seconds * 10**9 / slow.batch_tokens)


@settings(max_examples=40, deadline=None)
@given(
    parameters=st.sampled_from([5e6, 1e8, 1.3e9, 8e9]),
    gpu=st.sampled_from(sorted(GPUS)),
    gpus=st.sampled_from([1, 2, 4, 8]),
    nodes=st.sampled_from([1, 2, 16]),
    optimizer=st.sampled_from(["muon", "adamw"]),
)
def test_what_must_hold_for_every_run(parameters, gpu, gpus, nodes, optimizer) -> None:
    model = shape_for(parameters)
    run = estimate(model, 10**11, GPUS[gpu], gpus=gpus, nodes=nodes, optimizer=optimizer)
    assert run.gpus == gpus * nodes
    assert run.batch % run.gpus == 0
    assert run.steps * run.batch_tokens >= run.tokens > (run.steps - 1) * run.batch_tokens
    usable = GPUS[gpu].memory * USABLE
    for one in run.layouts:
        rows = run.batch // run.gpus
        assert one.micro_batch * one.accumulation >= rows > one.micro_batch * (one.accumulation - 1)
        assert one.fits == (one.memory.total <= usable)
        ideal = run.flops_per_token * run.batch_tokens / (run.gpus * GPUS[gpu].flops * run.mfu)
        # Checkpointing goes forward twice, but not through the head: up to a third more.
        assert one.compute_seconds == pytest.approx(ideal) if not one.checkpointing else ideal < one.compute_seconds
        assert one.compute_seconds <= ideal * 4 / 3 * (1 + 1e-9)
    if run.chosen is None:
        assert not any(one.fits for one in run.layouts)
        assert run.gpus_needed is None or run.gpus_needed > run.gpus
        assert run.cost is run.seconds is run.gpu_hours is None
    else:
        assert run.chosen.fits
        assert all(run.chosen.step_seconds <= one.step_seconds for one in run.layouts if one.fits)


def test_twice_the_gpus_take_half_the_time_and_cost_the_same() -> None:
    runs = [estimate(GPT2, 10**10, H100, gpus=gpus) for gpus in (1, 2, 4, 8)]
    for fewer, more in itertools.pairwise(runs):
        assert fewer.batch_tokens == more.batch_tokens
        assert more.seconds == pytest.approx(fewer.seconds / 2)
        assert more.cost == pytest.approx(fewer.cost)


def test_half_the_share_takes_twice_the_time() -> None:
    whole, half = (estimate(GPT2, 10**10, H100, mfu=mfu) for mfu in (0.5, 0.25))
    assert half.seconds == pytest.approx(2 * whole.seconds)


def test_what_does_not_fit_says_how_many_would() -> None:
    model = shape_for(70e9)
    run = estimate(model, 10**12, H100, gpus=8)
    assert run.chosen is None
    assert run.gpus_needed is not None
    assert estimate(model, 10**12, H100, gpus=8, nodes=run.gpus_needed // 8).chosen is not None
    with pytest.raises(UsageError, match="does not fit"):
        command(run)


def test_chinchilla_of_the_same_arithmetic() -> None:
    run = estimate(GPT2, 20 * count_parameters(GPT2), H100)
    parameters, tokens = run.optimal
    assert run.tokens_per_parameter == 20
    assert parameters == pytest.approx(run.parameters)
    assert tokens == pytest.approx(run.tokens)
    parameters, tokens = estimate(GPT2, 80 * count_parameters(GPT2), H100).optimal
    assert parameters == pytest.approx(2 * run.parameters)
    assert tokens == pytest.approx(40 * run.parameters)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"gpus": 0}, "--gpus"),
        ({"nodes": 0}, "--nodes"),
        ({"mfu": 0.0}, "--mfu"),
        ({"mfu": 1.01}, "--mfu"),
        ({"mfu": math.nan}, "--mfu"),
        ({"price": -1.0}, "--price"),
        ({"price": math.inf}, "--price"),
        ({"batch_tokens": 0}, "--batch"),
    ],
)
def test_wrong_numbers_are_named(values, where) -> None:
    with pytest.raises(UsageError, match=f"^{where}"):
        estimate(GPT2, 10**9, H100, **values)


def test_no_tokens_are_an_error() -> None:
    with pytest.raises(UsageError, match=r"^--tokens"):
        estimate(GPT2, 0, H100)


@pytest.mark.parametrize("name", ["h100", "H100-SXM", "nvidia h100", "a100", "4090", "RTX_4090", "mi300x"])
def test_gpus_have_the_names_that_people_type(name) -> None:
    assert find_gpu(name).tflops > 100


def test_an_unknown_gpu_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match=r"Did you mean h200\? Known: a100-40, .*mi300x, cpu"):
        find_gpu("h20")


def test_the_table_is_whole() -> None:
    for key, gpu in GPUS.items():
        assert gpu.key == key
        assert gpu.source
        assert 50 < gpu.tflops < 3000
        assert 1e10 < gpu.memory < 1e12
        # Two bytes of every multiplication must not come from memory: hundreds of FLOPs for each byte.
        assert 50 < gpu.flops / gpu.memory_rate < 1000


@settings(max_examples=60, deadline=None)
@given(parameters=st.floats(math.log10(1e5), 12).map(lambda power: 10**power))
def test_a_shape_has_about_so_many_parameters(parameters) -> None:
    model = shape_for(parameters)
    assert count_parameters(model) == pytest.approx(parameters, rel=0.25 if parameters < 1e7 else 0.06)
    assert model.hidden_size % 32 == 0
    assert 12 < model.hidden_size / model.num_layers < 300 or parameters < 1e6


def test_a_vocabulary_larger_than_the_model_is_told() -> None:
    with pytest.raises(UsageError, match="no model of 100,000 parameters has a vocabulary of 50,257"):
        shape_for(1e5, vocab_size=50257)
    with pytest.raises(UsageError, match="30,000 to"):
        shape_for(10)


@pytest.mark.parametrize(("gpus", "nodes"), [(1, 1), (8, 1), (8, 4)])
def test_the_command_holds_the_plan(gpus, nodes) -> None:
    """What it sets is a configuration of this model; where one GPU has not the room, it shards."""
    model = shape_for(8e9)
    run = estimate(model, 10**12, GPUS["h200"], gpus=gpus, nodes=nodes)
    if run.chosen is None:
        assert gpus == 1
        return
    text = command(run)
    words = text.replace("\\\n", " ").split()
    if nodes > 1:
        assert words[:5] == ["torchrun", "--nnodes", "4", "--nproc-per-node", "8"]
    else:
        assert words[:3] == ["torchrun", "--nproc-per-node", "8"]
    assert words[words.index("-m") :][:3] == ["-m", "quire", "train"]
    assert "--shard" in words
    set_to = [word for before, word in itertools.pairwise(words) if before == "--set"]
    values = with_assignments({}, set_to)
    values["training"]["steps"] = int(words[words.index("--steps") + 1])
    values["model"]["vocab_size"] = values["tokens"]["vocab_size"]
    config = build(RunConfig, {"schedule": {}, **values})
    assert config.model == model
    assert config.training.batch_size * model.context_length == run.batch_tokens
    assert config.training.steps == run.steps
