from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import UsageError
from quire.model.size import count_parameters
from quire.settings import build, merge
from quire.training.config import RunConfig, load_config, save_config
from quire.training.draft import check_groups, describe
from quire.training.machine import Machine
from quire.training.memory import USABLE, predict_run_memory
from quire.training.plan import (
    FEWEST_EPOCHS,
    FEWEST_STEPS,
    MOST_HALVINGS,
    PARAMETER_EPOCHS_PER_BYTE,
    batch_tokens,
    orthogonal_precision,
    plan_run,
    plan_tokens,
)
from quire.training.plan_shape import PARAMETERS_PER_BYTE, Sizes, heads_for

machines = st.builds(
    Machine,
    device=st.sampled_from(["cpu", "cuda"]),
    processor=st.just("a processor"),
    cores=st.integers(1, 64),
    memory_bytes=st.integers(2**30, 2**37),
    gflops=st.fixed_dictionaries(
        {"float32": st.floats(5, 50_000)},
        optional={"bfloat16": st.floats(5, 1_000_000), "float16": st.floats(5, 1_000_000)},
    ),
    compiler=st.sampled_from([None, "/usr/bin/g++"]),
)
LAPTOP = Machine("cpu", "a laptop", 4, 8 * 2**30, {"float32": 200.0, "bfloat16": 100.0}, None)


def sizes_of(corpus_bytes, vocab_size):
    tokens = max(1, corpus_bytes // 3)
    return Sizes(tokens * 9 // 10, corpus_bytes * 9 // 10, max(1, tokens // 10), vocab_size)


def plan(corpus_bytes, machine, given=None, measure=None):
    given = given or {}
    tokens = plan_tokens(corpus_bytes, given)
    return plan_run(sizes_of(corpus_bytes, tokens[0].vocab_size), machine, given, tokens, measure)


@given(st.integers(3_000, 10**10), machines, st.floats(0.1, 10_000))
@settings(max_examples=150, deadline=None)
def test_every_plan_is_a_valid_configuration_with_reasons(corpus_bytes, machine, minutes):
    config, reasons = plan(corpus_bytes, machine, {"training": {"minutes": minutes}})
    assert isinstance(config, RunConfig)
    t, m = config.training, config.model
    assert 1 <= t.micro_batch_size <= t.batch_size
    assert t.device == machine.device
    assert t.precision in machine.gflops
    assert m.vocab_size == config.tokens.vocab_size
    smallest = (m.hidden_size, m.num_layers) == (64, 3)
    assert smallest or count_parameters(m) <= PARAMETERS_PER_BYTE * corpus_bytes
    for key in ("model.hidden_size", "training.batch_size", "training.steps", "optimizer.learning_rate"):
        assert reasons[key]
    assert {row[0] for row in describe(config, reasons)} <= {
        f"{group}.{name}" for group, values in config.model_dump().items() for name in values
    }


@given(st.floats(0.5, 500), st.integers(100_000, 10**9))
@settings(max_examples=50, deadline=None)
def test_more_time_never_makes_a_smaller_model(minutes, corpus_bytes):
    short = plan(corpus_bytes, LAPTOP, {"training": {"minutes": minutes}})[0]
    long = plan(corpus_bytes, LAPTOP, {"training": {"minutes": 4 * minutes}})[0]
    assert count_parameters(long.model) >= count_parameters(short.model)


def test_what_is_set_stands_and_the_rest_follows():
    given_ = {
        "model": {"hidden_size": 96, "context_length": 64},
        "training": {"batch_size": 7, "precision": "float16"},
        "optimizer": {"kind": "adamw"},
    }
    config, reasons = plan(1_000_000, LAPTOP, given_)
    assert (config.model.hidden_size, config.model.context_length, config.training.batch_size) == (96, 64, 7)
    assert config.model.num_heads == 3
    assert config.training.precision == "float16"
    assert config.optimizer.kind == "adamw"
    assert reasons["model.hidden_size"] == "set by you"
    assert reasons["model.num_heads"] != "set by you"


@given(st.integers(100_000, 10**9), machines, st.floats(0.1, 10_000), st.sampled_from([64, 128, 320, 768]))
@settings(max_examples=100, deadline=None)
def test_a_short_run_has_smaller_steps_but_no_less_than_a_quarter(corpus_bytes, machine, minutes, width):
    config, reasons = plan(corpus_bytes, machine, {"training": {"minutes": minutes}, "model": {"hidden_size": width}})
    rows, context, steps = config.training.batch_size, config.model.context_length, config.training.steps
    usual = batch_tokens(config.model)
    wanted = [usual / 2**number / context for number in range(MOST_HALVINGS + 1)]  # windows, before they are whole
    halvings = [number for number, windows in enumerate(wanted) if abs(rows - windows) < 0.51 or rows == 1 > windows]
    assert halvings
    tokens = rows * context
    rounded = 1 + context / tokens  # of a window at most
    if halvings[0] > 0:  # before the last halving there would have been too few, and the reason says so
        assert steps * tokens < FEWEST_STEPS * 2 * tokens * rounded
        assert f"fewer than {FEWEST_STEPS} steps" in reasons["training.batch_size"]
    if halvings[-1] < MOST_HALVINGS:
        assert (steps + 1) * rounded > FEWEST_STEPS


def test_a_batch_or_a_number_of_steps_that_is_set_stands():
    width = {"hidden_size": 320, "num_layers": 7}
    short = plan(10**7, LAPTOP, {"training": {"minutes": 1.0}, "model": width})[0]
    long = plan(10**7, LAPTOP, {"training": {"minutes": 1000.0}, "model": width})[0]
    assert long.training.batch_size == pytest.approx(4 * short.training.batch_size, abs=2)
    assert (
        plan(10**7, LAPTOP, {"training": {"minutes": 1.0, "batch_size": 31}, "model": width})[0].training.batch_size
        == 31
    )
    counted = plan(10**7, LAPTOP, {"training": {"steps": 20}, "model": width})[0]
    assert counted.training.batch_size == long.training.batch_size


def test_the_speed_is_measured_with_the_batch_that_was_set():
    def rows_of(**training):
        timed = []

        def measure(model, rows, precision):
            timed.append(rows)
            return 0.05

        given_ = {"training": {"minutes": 0.1, **training}, "model": {"hidden_size": 64, "num_layers": 3}}
        config = plan(10**6, LAPTOP, given_, measure)[0]
        return timed[0], config.training.batch_size

    assert rows_of() == (4, 4)  # of 128 tokens: a quarter of the usual 2,048
    assert rows_of(batch_size=16) == (16, 16)


def test_a_vocabulary_smaller_than_the_tokenizer_s_is_refused():
    with pytest.raises(UsageError, match=r"model\.vocab_size: 300 are fewer than the tokenizer has: 512"):
        plan(100_000, LAPTOP, {"model": {"vocab_size": 300}})
    assert plan(100_000, LAPTOP, {"model": {"vocab_size": 600}})[0].model.vocab_size == 600


def test_steps_switch_the_clock_off():
    config, _ = plan(1_000_000, LAPTOP, {"training": {"steps": 123}})
    assert config.training.minutes is None
    assert config.training.steps == 123


def test_a_measurement_decides_precision_and_length():
    machine = Machine("cpu", "with matrix units", 2, 2**34, {"float32": 200.0, "bfloat16": 1000.0}, None)

    def slow_bfloat16(model, rows, precision):
        return 1.0 if precision == "bfloat16" else 0.25

    def fast_bfloat16(model, rows, precision):
        return 0.05 if precision == "bfloat16" else 0.25

    slow = plan(30_000_000, machine, measure=slow_bfloat16)[0]
    fast = plan(30_000_000, machine, measure=fast_bfloat16)[0]
    assert slow.training.precision == "float32"
    assert fast.training.precision == "bfloat16"
    work = [
        count_parameters(c.model) * c.training.steps * c.training.batch_size * c.model.context_length
        for c in (slow, fast)
    ]
    assert work[1] > 3 * work[0]


@given(st.integers(3_000, 10**8), machines, st.floats(0.1, 1000))
@settings(max_examples=60)
def test_no_plan_by_the_clock_has_a_text_learned_by_heart(corpus_bytes, machine, minutes):
    config, reasons = plan(corpus_bytes, machine, {"training": {"minutes": minutes}})
    t, parameters = config.training, count_parameters(config.model)
    sizes = sizes_of(corpus_bytes, config.model.vocab_size)
    epochs = t.steps * t.batch_size * config.model.context_length / sizes.train_tokens
    most = max(FEWEST_EPOCHS, PARAMETER_EPOCHS_PER_BYTE * sizes.train_bytes / parameters)
    assert t.max_epochs == pytest.approx(most, abs=0.06)
    assert t.steps == 1 or epochs <= t.max_epochs + 1e-9
    assert reasons["training.max_epochs"]


@pytest.mark.parametrize("corpus_bytes", [6_000, 20_000, 60_000])
def test_a_text_of_a_few_pages_is_seen_often_enough_to_learn_from(corpus_bytes):
    # For these even the smallest model is large: bounded as others are, it would stop after three epochs of 6 kB.
    config = plan(corpus_bytes, LAPTOP, {"training": {"minutes": 10}})[0]
    assert config.training.max_epochs >= FEWEST_EPOCHS == 25


def test_who_sets_float32_gets_it_in_every_product():
    machine = replace(LAPTOP, gflops={"float32": 100.0, "bfloat16": 400.0})
    assert plan(300_000, machine)[0].optimizer.orthogonal_precision == "bfloat16"
    given = {"training": {"precision": "float32"}}
    assert plan(300_000, machine, given)[0].optimizer.orthogonal_precision == "float32"
    assert orthogonal_precision(machine, given) == "float32"  # as the measured steps ask it
    mixed = {**given, "optimizer": {"orthogonal_precision": "bfloat16"}}
    assert plan(300_000, machine, mixed)[0].optimizer.orthogonal_precision == "bfloat16"


@given(st.integers(1, 600).map(lambda half: 2 * half))
def test_every_even_width_has_heads(width):
    heads = heads_for(width)
    assert width % heads == 0
    assert width // heads % 2 == 0
    assert heads == 1 or width // heads >= 32


def test_an_odd_width_is_refused_before_any_work():
    with pytest.raises(UsageError, match="an odd width has no heads of an even one"):
        check_groups({"model": {"hidden_size": 65}})
    check_groups({"model": {"hidden_size": 65, "num_heads": 3, "head_dim": 8}})


def test_a_time_that_a_small_text_does_not_need_is_not_used_and_this_is_said():
    config, reasons = plan(300_000, LAPTOP, {"training": {"minutes": 100}})
    assert "learned by heart" in reasons["training.steps"]
    assert not config.training.compile
    longer = plan(300_000, LAPTOP, {"training": {"minutes": 100, "max_epochs": 1000}})[0]
    assert longer.training.steps > 5 * config.training.steps
    assert plan(300_000, LAPTOP, {"training": {"steps": 77}})[0].training.max_epochs is None


@pytest.mark.parametrize("checkpointing", [False, True])
def test_passes_are_recorded_on_a_gpu_where_they_can_be(checkpointing):
    gpu = replace(LAPTOP, device="cuda", memory_bytes=80 * 2**30)
    given_ = {"training": {"activation_checkpointing": checkpointing}}
    assert plan(1_000_000, gpu, given_)[0].training.cuda_graphs is not checkpointing
    assert not plan(1_000_000, LAPTOP)[0].training.cuda_graphs


def test_a_small_corpus_seen_often_gets_dropout_and_early_stop():
    small = plan(50_000, LAPTOP, {"training": {"minutes": 10.0}})[0]
    large = plan(500_000_000, LAPTOP, {"training": {"minutes": 10.0}})[0]
    assert small.model.dropout > large.model.dropout == 0
    assert small.training.patience > 0


@pytest.mark.parametrize(("width", "pays_from"), [(96, 9.5), (224, 6.1)])
def test_the_larger_a_model_the_sooner_dropout_pays(width, pays_from):
    """Where half a million and three million parameters begin to gain by it in the sweep (docs/decisions.md)."""
    shape = {"hidden_size": width, "num_layers": 4 if width == 96 else 5, "num_heads": width // 32}
    shape |= {"context_length": 128}
    for times, dropout in ((0.9, 0.0), (1.1, 0.1)):
        seen = 1000 * 16 * 128
        sizes = Sizes(round(seen / (times * pays_from)), 270_000, 20_000, 1024)
        tokens = plan_tokens(300_000, {})
        given_ = {"model": shape, "training": {"steps": 1000, "batch_size": 16}}
        assert plan_run(sizes, LAPTOP, given_, tokens)[0].model.dropout == dropout


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"modle": {"hidden_size": 96}}, "unknown key 'modle', known there: model, optimizer, schedule, tokens"),
        ({"model": {"hiden_size": 96}}, "unknown key 'model.hiden_size', known there: context_length, dropout"),
        ({"model": 5}, r"'model' is a group of settings"),
        ({"optimizer": {"learning_rate": -1}}, "greater than 0"),
        ({"training": {"precision": "int8"}}, "'float32', 'bfloat16' or 'float16'"),
        ({"model": {"hidden_size": 96, "num_heads": 5, "head_dim": 7}}, "multiple of 2"),
        ({"training": {"threads": 100_000}}, "less than or equal to 1024"),
        ({"training": {"seed": 1 << 64}}, "less than 9223372036854775808"),
        ({"training": {"batch_size": 10**12}}, "less than or equal to 1048576"),
        ({"optimizer": {"epsilon": float("inf")}}, "finite"),
    ],
)
def test_wrong_settings_are_told_exactly(given_, said):
    with pytest.raises(UsageError, match=said):
        plan(1_000_000, LAPTOP, given_)


@given(st.integers(3_000, 10**9), machines)
@settings(max_examples=30, deadline=None)
def test_a_saved_configuration_reads_back_the_same(tmp_path_factory, corpus_bytes, machine):
    run = tmp_path_factory.mktemp("run")
    config, reasons = plan(corpus_bytes, machine)
    save_config(run, config, reasons, {"corpus": "somewhere"})
    again, why, source = load_config(run)
    assert (again, why, source) == (config, reasons, {"corpus": "somewhere"})
    stepped = plan(corpus_bytes, machine, {"training": {"steps": 5}})[0]
    save_config(run, stepped, {}, {})
    assert load_config(run)[0] == stepped


def machine_with(memory_bytes, device="cpu"):
    return Machine(device, "a machine", 4, memory_bytes, {"float32": 200.0, "bfloat16": 900.0}, None)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_micro_batch_is_the_largest_that_fits(device):
    given = {
        "model": {"hidden_size": 512, "num_layers": 8, "context_length": 512},
        "training": {"batch_size": 64, "steps": 10, "precision": "float32", "compile": False},
    }
    sizes, reasons = zip(
        *(
            (c.training.micro_batch_size, r)
            for c, r in (plan(10**7, machine_with(g << 30, device), given) for g in (3, 5, 8, 200))
        ),
        strict=True,
    )
    assert list(sizes) == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3] == 64
    for gibibytes, rows, why in zip((3, 5, 8, 200), sizes, reasons, strict=True):
        config = plan(10**7, machine_with(gibibytes << 30, device), given)[0]
        assert predict_run_memory(config) <= USABLE[device] * (gibibytes << 30)
        doubled = merge(config.model_dump(), {"training": {"micro_batch_size": 2 * rows, "batch_size": 128}})
        if rows < 64:
            assert predict_run_memory(build(RunConfig, doubled)) > USABLE[device] * (gibibytes << 30)
        assert f"of {(gibibytes << 30) / 1e9:.1f} GB" in why["training.micro_batch_size"]


def test_activations_are_computed_twice_only_where_not_even_one_window_fits():
    given = {
        "model": {"hidden_size": 512, "num_layers": 24, "context_length": 4096},
        "training": {"batch_size": 8, "steps": 10, "precision": "float32", "compile": False},
    }
    small, why = plan(10**7, machine_with(8 << 30), given)
    assert small.training.activation_checkpointing
    assert "not even one window fits" in why["training.activation_checkpointing"]
    assert predict_run_memory(small) <= USABLE["cpu"] * (8 << 30)
    assert not plan(10**7, machine_with(64 << 30), given)[0].training.activation_checkpointing
    # What the user says stands, and the micro-batch follows.
    set_by_user = merge(given, {"training": {"activation_checkpointing": True}})
    config = plan(10**7, machine_with(16 << 30), set_by_user)[0]
    without = plan(10**7, machine_with(16 << 30), merge(given, {"training": {"activation_checkpointing": False}}))[0]
    assert config.training.micro_batch_size > without.training.micro_batch_size
