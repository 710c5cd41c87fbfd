"""Compiled code is kept between runs, what compiling took is on record, and the plan follows the record."""

import dataclasses
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.training.compilation import (
    MOST_GAIN,
    Compilation,
    CompileClock,
    Forecast,
    History,
    cache_folder,
    cut,
    delete_unfinished,
    is_whole,
    keep_compiled,
    key_of,
    load_history,
    records_folder,
    remember,
    usual_seconds,
)
from quire.training.machine import Machine, find_compiler
from quire.training.plan import plan_run, plan_tokens
from quire.training.plan_shape import Sizes

MACHINE = Machine("cpu", "a laptop", 4, 8 << 30, {"float32": 200.0}, "/usr/bin/g++")


def plan(minutes, history=None, machine=MACHINE, **training):
    given_ = {"training": {"minutes": minutes, **training}}
    tokens = plan_tokens(1_000_000, given_)
    sizes = Sizes(300_000, 900_000, 30_000, tokens[0].vocab_size)
    return plan_run(sizes, machine, given_, tokens, history=history)


def compiled_before(config, **figures):
    """A history in which the shape of `config` was compiled."""
    changed = config.model_copy(update={"training": config.training.model_copy(update={"compile": True})})
    return History({key_of(changed): Compilation("cpu", config.model.num_layers, **figures)})


# -- the plan -----------------------------------------------------------------------------------------------------


def test_a_short_run_is_compiled_where_its_code_is_there_already_and_not_otherwise():
    cold, why = plan(1.0)
    assert not cold.training.compile
    assert "not compiled here before: about" in why["training.compile"]
    assert "earned back only after" in why["training.compile"]
    history = compiled_before(cold, cold_seconds=40.0, warm_seconds=3.0, eager_speed=1000.0, compiled_speed=1400.0)
    warm, why = plan(1.0, history)
    assert warm.training.compile
    assert why["training.compile"].startswith(
        "this very shape is in the cache: about 3 s, for 1.4 times the speed, measured; earned back after 10 s"
    )
    assert warm.training.steps > 1.2 * cold.training.steps
    assert (
        "not compiled here before"
        in plan(1.0, history, **{"precision": "float32", "batch_size": 3})[1]["training.compile"]
    )


def test_what_was_measured_of_others_scales_what_is_expected():
    config, _ = plan(4.0)
    usual = usual_seconds("cpu", config.model.num_layers)
    assert config.training.compile  # 4 minutes earn the usual time back
    slow = History({"other": Compilation("cpu", 6, cold_seconds=3 * usual_seconds("cpu", 6))})
    config, why = plan(4.0, slow)
    assert not config.training.compile
    assert f"about {3 * usual:.0f} s, by what 1 others took here" in why["training.compile"]
    assert plan(20.0, slow)[0].training.compile
    useless = History({"other": Compilation("cpu", 6, cold_seconds=30.0, eager_speed=100.0, compiled_speed=90.0)})
    config, why = plan(60.0, useless)
    assert not config.training.compile
    assert why["training.compile"].startswith("it gains nothing")
    of_a_gpu = History({"other": Compilation("cuda", 6, cold_seconds=1000.0)})
    assert plan(4.0, of_a_gpu)[0] == plan(4.0)[0]


def test_16_bits_on_a_cpu_are_more_to_compile_and_what_one_format_took_tells_of_the_other():
    assert usual_seconds("cpu", 6, "bfloat16") > usual_seconds("cpu", 6, "float32")
    assert usual_seconds("cuda", 6, "bfloat16") == usual_seconds("cuda", 6, "float32")
    config, _ = plan(4.0)
    for precision in ("float32", "bfloat16"):
        took = 2 * usual_seconds("cpu", 6, precision)
        twice = History({"other": Compilation("cpu", 6, precision, cold_seconds=took)})
        assert twice.forecast(config).seconds == pytest.approx(2 * History().forecast(config).seconds)


def test_a_speed_that_a_plan_has_measured_is_no_compilation():
    config, _ = plan(1.0)
    assert not plan(1.0, compiled_before(config, eager_speed=1000.0))[0].training.compile


def test_what_lacks_is_told_by_device():
    nothing = dataclasses.replace(MACHINE, compiler=None)
    assert plan(100.0, machine=nothing)[1]["training.compile"].startswith("no C++ compiler")
    gpu = dataclasses.replace(nothing, device="cuda")
    assert plan(100.0, machine=gpu)[1]["training.compile"].startswith("no Triton with a C compiler")
    assert plan(100.0, machine=dataclasses.replace(MACHINE, device="mps"))[1]["training.compile"] == (
        "not on this device"
    )


@given(st.floats(0.5, 300), st.floats(1.001, 4))
def test_from_the_moment_it_is_earned_back_more_is_trained_with_it(seconds, gain):
    forecast = Forecast(seconds, gain, "")
    at = forecast.earned_back_after
    for budget, better in ((0.9 * at, False), (1.1 * at, True)):
        assert ((budget - seconds) * gain > budget) == better


# -- the record ---------------------------------------------------------------------------------------------------


def test_a_record_is_filled_step_by_step_and_damaged_ones_are_none(config):
    first = remember(config(), eager_speed=100.0)
    assert first == Compilation("cpu", 2, eager_speed=100.0)
    assert remember(config(), cold_seconds=30.0, compiled_speed=150.0).gain == 1.5
    assert remember(config(), warm_seconds=2.0).cold_seconds == 30.0
    assert remember(config(model={"dropout": 0.2}), compiled_speed=1e9, eager_speed=1.0).gain == MOST_GAIN
    (records_folder() / "cut-off.json").write_text('{"device": "cp')
    (records_folder() / "strange.json").write_text("[1]")
    known = load_history().compilations
    assert len(known) == 2
    assert known[key_of(config())] == Compilation("cpu", 2, "float32", 30.0, 2.0, 100.0, 150.0)


def test_all_that_changes_the_code_changes_the_key(config):
    others = [
        config(),
        config(model={"num_layers": 3}),
        config(model={"dropout": 0.0}),
        config(training={"micro_batch_size": 3}),
        config(training={"batch_size": 7}),  # its last pass has another shape
        config(training={"precision": "bfloat16"}),
        config(training={"activation_checkpointing": True}),
        config(training={"threads": 7}),
    ]
    assert len({key_of(each) for each in others}) == len(others)
    assert key_of(config(training={"steps": 99})) == key_of(config())  # 6 and 4 windows at once: passes of 4 and 2
    assert key_of(config(training={"batch_size": 10})) == key_of(config())


def test_the_first_step_less_the_usual_one_is_what_compiling_took(config):
    clock = CompileClock(config())
    found = clock.note([31.0, 1.0, 1.1, 0.9, 1.0, 5.0, 1.0, 1.0])
    assert found.warm_seconds == 30.0  # nothing was compiled in this process: torch found all in its cache
    assert found.compiled_speed == pytest.approx(6 * 32 / 1.0)


# -- the folder ---------------------------------------------------------------------------------------------------


def test_the_folder_is_the_user_s_cache_or_the_one_named_to_torch(own_cache, monkeypatch, tmp_path):
    assert cache_folder() == own_cache / "quire" / "compiled"
    assert keep_compiled() is None
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(own_cache / "quire" / "compiled")
    assert (own_cache / "quire" / "compiled").stat().st_mode & 0o077 == 0  # what lies there is run: it is one's own
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "named"))
    assert keep_compiled() is None
    assert cache_folder() == tmp_path / "named"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # the specification says that such a one is to be ignored
    assert cache_folder() == Path.home() / ".cache" / "quire" / "compiled"


def test_where_nothing_can_be_written_nothing_is_kept(own_cache, monkeypatch, config):
    (own_cache / "quire").write_text("a file where the folder would be")
    assert "compiled code is not kept" in keep_compiled()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ  # torch takes its own temporary folder
    assert remember(config(), cold_seconds=1.0) is None
    assert load_history() == History()


def test_where_the_disk_is_nearly_full_nothing_is_kept(monkeypatch):
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr("quire.training.compilation.shutil.disk_usage", lambda _: usage)
    assert "nearly full" in keep_compiled()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def test_the_oldest_files_go_and_those_of_today_stay(tmp_path):
    for number in range(10):
        path = tmp_path / "ab" / f"{number}.so"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (number, number)) if number < 8 else None
    cut(tmp_path, 1000)
    assert len(list(tmp_path.rglob("*.so"))) == 10
    cut(tmp_path, 999)
    assert sorted(path.name for path in tmp_path.rglob("*.so")) == [f"{number}.so" for number in range(6, 10)]
    cut(tmp_path, 100)
    assert sorted(path.name for path in tmp_path.rglob("*.so")) == ["8.so", "9.so"]


def elf(size: int) -> bytes:
    """An ELF file of 64 bits whose table of two sections ends at `size`."""
    head = bytearray(b"\x7fELF\x02\x01\x01".ljust(64, b"\0"))
    struct.pack_into("<Q", head, 40, size - 128)
    struct.pack_into("<HH", head, 58, 64, 2)
    return bytes(head).ljust(size, b"\0")


@given(length=st.integers(0, 400))
def test_a_library_that_ends_before_its_last_byte_is_told(length, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "kernel.so"
    path.write_bytes(elf(400)[:length])
    assert is_whole(path) == (length == 400)


def test_the_libraries_of_this_python_are_whole():
    found = list(Path(torch.__file__).parent.glob("lib/*.so"))
    assert all(map(is_whole, found))
    assert found or sys.platform != "linux"


def test_what_a_killed_compiler_left_goes_unless_it_is_in_the_making(own_cache, monkeypatch):
    folder = own_cache / "quire" / "compiled" / "ab"
    folder.mkdir(parents=True)
    named = {name: f"c{name:a<51}.so" for name in ("whole", "cut", "empty", "young")}
    contents = {"whole": elf(400), "cut": elf(400)[:399], "empty": b"", "young": b""}
    for name, content in contents.items():
        (folder / named[name]).write_bytes(content)
    (folder / "libncurses.so").write_text("INPUT(libncurses.so.6 -ltinfo)")  # no file of torch's
    (folder / "kernel.cpp").write_bytes(b"")
    for path in folder.iterdir():
        if path.name != named["young"]:
            os.utime(path, (1, 1))

    def linked_meanwhile(seconds):
        (folder / named["young"]).write_bytes(elf(400))

    monkeypatch.setattr("quire.training.compilation.time.sleep", linked_meanwhile)
    delete_unfinished(folder.parent)
    left = {path.name for path in folder.iterdir()}
    assert left == {"kernel.cpp", "libncurses.so", named["whole"], named["young"]}


SAME_KEYS = """
import sys, torch
from quire.training.compilation import cache_own_functions
cache_own_functions()

class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float(sys.argv[1])

x = torch.ones(64, requires_grad=True)
torch.compile(Scaled.apply, fullgraph=True)(x).sum().backward()
counters = torch._dynamo.utils.counters["aot_autograd"]
print(x.grad[0].item(), counters["autograd_cache_hit"], counters["autograd_cache_bypass"])
"""


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
def test_functions_that_differ_only_on_the_way_back_are_kept_apart(tmp_path):
    """Each in a process of its own, all with one cache: what is found there is the very same function."""
    found = []
    for factor in ("3", "5", "3"):
        command = [sys.executable, "-c", SAME_KEYS, factor]
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(done.stdout.split())
    assert found == [["3.0", "0", "0"], ["5.0", "0", "0"], ["3.0", "1", "0"]]


def test_records_are_json_that_a_reader_understands(config):
    remember(config(), cold_seconds=12.3456)
    (file,) = records_folder().iterdir()
    assert json.loads(file.read_text()) == {
        "device": "cpu",
        "blocks": 2,
        "precision": "float32",
        "cold_seconds": 12.346,
        "warm_seconds": None,
        "eager_speed": None,
        "compiled_speed": None,
    }
