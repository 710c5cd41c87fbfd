import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from quire.cli.main import app
from quire.limits import usable_cores
from quire.training import machine as room
from quire.training.machine import find_compiler, limit_threads, product_rate, product_rates


def test_a_rate_is_what_the_time_of_a_product_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that each product moves on by 10 ms: 2 * 1024^3 FLOP in that time are 214.7 GFLOP/s.
    now = 0.0

    def product(a: torch.Tensor, b: torch.Tensor) -> None:
        nonlocal now
        now += 0.01 * (a.shape[0] / 1024) ** 3

    monkeypatch.setattr(room.time, "perf_counter", lambda: now)
    monkeypatch.setattr(room.torch, "mm", product)
    assert product_rate("cpu", torch.float32) == pytest.approx(214.748, rel=1e-3)


def test_a_format_the_processor_cannot_do_well_does_not_hold_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, widths = 0.0, set()

    def product(a: torch.Tensor, b: torch.Tensor) -> None:
        nonlocal now
        widths.add(a.shape[0])
        now += 100 * (a.shape[0] / 1024) ** 3

    monkeypatch.setattr(room.time, "perf_counter", lambda: now)
    monkeypatch.setattr(room.torch, "mm", product)
    assert product_rate("cpu", torch.float16) == pytest.approx(0.0215, rel=1e-2)
    assert widths == {256}


def test_a_program_that_comes_in_the_meantime_does_not_change_which_format_is_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # bfloat16 is twice as fast, and after eight of the fourteen products someone takes half of the processor.
    now, products = 0.0, 0

    def product(a: torch.Tensor, b: torch.Tensor) -> None:
        nonlocal now, products
        products += a.shape[0] == 1024
        busy = 2 if products > 8 else 1
        now += 0.01 * (a.shape[0] / 1024) ** 3 * busy / (2 if a.dtype == torch.bfloat16 else 1)

    monkeypatch.setattr(room.time, "perf_counter", lambda: now)
    monkeypatch.setattr(room.torch, "mm", product)
    rates = product_rates("cpu", {"float32": torch.float32, "bfloat16": torch.bfloat16})
    assert rates["bfloat16"] / rates["float32"] == pytest.approx(2, rel=0.01)


def test_torch_gets_no_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        monkeypatch.setattr(room, "usable_cores", lambda: 64)
        limit_threads()
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(room, "usable_cores", lambda: 1)
        limit_threads()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_compiler_counts_with_the_headers_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "own-c++")
    (tmp_path / "Python.h").write_text("")
    assert find_compiler() is None
    compiler = executable(tmp_path / "own-c++")
    assert find_compiler() == compiler
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(room.sys, "platform", "linux")
    executable(tmp_path / "clang++")
    assert find_compiler() is None  # torch looks for no other than g++ there
    compiler = executable(tmp_path / "g++")
    assert find_compiler() == compiler
    (tmp_path / "Python.h").unlink()
    assert find_compiler() is None


def test_on_a_gpu_triton_needs_a_c_compiler_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, capability = [None], [(9, 0)]
    monkeypatch.setattr(room.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: found[0])
    monkeypatch.setattr(room.torch.cuda, "get_device_capability", lambda: capability[0])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "Python.h").write_text("")
    executable(tmp_path / "g++")
    clang = executable(tmp_path / "clang")
    assert find_compiler("cuda") is None  # without Triton
    found[0] = object()  # type: ignore[call-overload]
    assert find_compiler("cuda") == clang
    gcc = executable(tmp_path / "gcc")
    assert find_compiler("cuda") == gcc
    monkeypatch.setenv("CC", "own-cc")
    assert find_compiler("cuda") is None
    monkeypatch.delenv("CC")
    capability[0] = (6, 1)  # Pascal
    assert find_compiler("cuda") is None
    assert find_compiler("mps") is None


def executable(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_doctor_tells_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"float32": 12.5, "bfloat16": 3.0, "float16": 3.0}
    monkeypatch.setattr(room, "product_rates", lambda device, formats: {name: rates[name] for name in formats})
    result = CliRunner().invoke(app, ["doctor", "--json"])
    told = json.loads(result.stdout)
    assert told["gflops"] == {"float32": 12.5, "bfloat16": 3.0, "float16": 3.0}
    assert told["cores"] == usable_cores()
    assert told["ocr"] is True
    text = CliRunner().invoke(app, ["doctor"]).stdout
    assert "12 GFLOP/s" in text
    assert told["processor"] in text
