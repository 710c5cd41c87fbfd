"""What this machine can do: cores, memory, graphics processor, compiler, and its measured matrix-product rates."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import statistics
import sys
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from quire.errors import UsageError
from quire.limits import memory_limit, usable_cores

# Products of this size are large enough to reach a CPU's rate and small enough that nine of them take a second.
CPU_PRODUCT = 1024
GPU_PRODUCT = 4096
REPEATS = 7
# A processor without instructions for a format can be a thousand times slower in it: a product of this size tells.
SMALL_PRODUCT = 256
LONGEST_PRODUCT = 0.2  # seconds
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """What was found out about a machine.

    Args:
        device: the fastest torch device: "cuda", "mps" or "cpu".
        processor: the name of the CPU, or of the GPU where that is the device.
        cores: CPU cores this process may use.
        memory_bytes: memory of the device; of a CPU, as much of it as this process may use.
        gflops: measured GFLOP/s of matrix products, by number format.
        compiler: path of the compiler that torch.compile would use for the device, or None.
    """

    device: str
    processor: str
    cores: int
    memory_bytes: int
    gflops: dict[str, float]
    compiler: str | None

    @property
    def name(self) -> str:
        """One line that says what machine this is."""
        rates = ", ".join(f"{kind} {rate:,.0f}" for kind, rate in self.gflops.items())
        return f"{self.processor}, {self.cores} cores, {self.memory_bytes / 2**30:.0f} GiB; GFLOP/s: {rates}"


def measure_machine(device: str | None = None) -> Machine:
    """Look at this machine and measure its matrix products, in a second or two.

    Args:
        device: a torch device to look at instead of the fastest.
    """
    limit_threads()
    device = device or fastest_device()
    kind = torch.device(device).type
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(device)
        processor, memory = properties.name, properties.total_memory
    else:
        processor, memory = cpu_name(), memory_limit()
    rates = product_rates(device, FORMATS)
    return Machine(
        device, processor, usable_cores(), memory, {k: v for k, v in rates.items() if v > 0}, find_compiler(kind)
    )


def check_device(device: str | None) -> None:
    """Raise `UsageError` where torch cannot compute on `device`; None is the fastest there is."""
    if device is None:
        return
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"device {device!r} cannot be used: {reason}", where="training.device", hint="`quire doctor` names what can"
        ) from None


def fastest_device() -> str:
    """Return "cuda" where a GPU of NVIDIA or AMD can be used, else "mps" on Apple's, else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def product_rate(device: str, dtype: torch.dtype) -> float:
    """Return the GFLOP/s of a square matrix product in `dtype`; 0 where the device has no such product."""
    return product_rates(device, {"": dtype})[""]


def product_rates(device: str, formats: Mapping[str, torch.dtype]) -> dict[str, float]:
    """Return the GFLOP/s of a square matrix product in each of `formats`, measured in turn.

    One product of each after the other, so that another program that comes or goes in the meantime slows all of
    them: which format is the faster does not hang on it. 0 for a format that the device has no product for.
    """
    size = CPU_PRODUCT if torch.device(device).type == "cpu" else GPU_PRODUCT
    rates = dict.fromkeys(formats, 0.0)
    large = {}
    for name, dtype in formats.items():
        try:
            small = _factor(SMALL_PRODUCT, device, dtype)
            # The fastest of the small ones: on a busy machine most of them may wait for their turn.
            rates[name] = 2 * SMALL_PRODUCT**3 / min(_product_seconds(small) for _ in range(REPEATS)) / 1e9
            if 2 * size**3 / rates[name] / 1e9 <= LONGEST_PRODUCT:
                large[name] = _factor(size, device, dtype)
        except RuntimeError:
            rates[name] = 0.0
    rounds = [{name: _product_seconds(a) for name, a in large.items()} for _ in range(REPEATS)]
    for name in large:
        rates[name] = 2 * size**3 / statistics.median(seconds[name] for seconds in rounds) / 1e9
    return rates


def _factor(size: int, device: str, dtype: torch.dtype) -> Tensor:
    # Not ones: a processor draws less power, and clocks higher, where the digits do not change.
    a = torch.randn(size, size, device=device).to(dtype)
    a @ a  # the first product also sets the library up
    return a


def _product_seconds(a: Tensor) -> float:
    _wait(a.device)
    began = time.perf_counter()
    torch.mm(a, a)
    _wait(a.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def limit_threads() -> None:
    """Let torch compute in no more threads than there are cores to use: it counts those of the machine."""
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def find_compiler(device: str = "cpu") -> str | None:
    """Return the compiler that torch.compile would use; None without one, or without what else it needs.

    On a CPU torch writes C++, for $CXX, or g++ (on macOS clang++). On a GPU it writes kernels for Triton, which comes
    with torch and compiles them by itself, but calls a C compiler for their launchers: $CC, gcc or clang. What either
    compiles is loaded as a Python extension, so without Python's own headers nothing is.

    Args:
        device: "cpu" or "cuda"; for others there is none.
    """
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return None
    if device == "cpu":
        return shutil.which(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))
    if device != "cuda" or importlib.util.find_spec("triton") is None or not _is_new_enough():
        return None
    if chosen := os.environ.get("CC"):
        return shutil.which(chosen)
    return shutil.which("gcc") or shutil.which("clang")


def _is_new_enough() -> bool:
    # Triton compiles for NVIDIA's GPUs from Volta on, and for those of AMD that torch itself is for.
    return torch.version.hip is not None or torch.cuda.get_device_capability() >= (7, 0)


def cpu_name() -> str:
    """Return what the system calls its processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the generic name is all there is
    return platform.processor() or platform.machine()
