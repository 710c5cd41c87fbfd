"""What compiling costs on this machine and what it gains: torch's caches, kept between runs, and a record beside them.

torch.compile translates a model into code for this machine: half a minute and more for a new shape, a few seconds for
one whose code lies in the cache. The cache is a folder of quire's own that outlives a restart of the machine, which
torch's default in the temporary folder does not. Beside torch's files lies a record for each shape that was compiled:
how long that took, cold and from the cache, and how fast a step was before and after. A plan asks it what compiling
will cost and gain. Nothing here is a condition of training: without a folder that can be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import statistics
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import quire
from quire.errors import QuireError
from quire.files import write_text
from quire.training.config import RunConfig
from quire.training.machine import cpu_name

MEASURED_STEPS = 8
"""Steps after which the first one is compared with the others: what it took longer was compiling."""
MOST_BYTES = 2 << 30
"""The cache is cut to half of this when it is larger; a shape takes 5 MB on a CPU."""
LEAST_FREE_BYTES = 256 << 20
"""Where the disk has less room, nothing is kept."""
YOUNG_SECONDS = 86_400.0  # what is younger may be in use by another run
LINKING_SECONDS = 10.0  # and this young it may still be written by one
OF_TORCH = re.compile(r"c[a-z2-7]{51}(\.main)?\.so")  # the names of what torch compiles
# Seconds to compile a model into an empty cache: so many, and so many for each block (docs/benchmarks.md).
COLD_SECONDS = {"cpu": (18.0, 4.0), "cuda": (20.0, 3.0)}
IN_16_BITS = {"cpu": 1.4}  # times as long, where numbers are of 16 bits: attention is then compiled as well
WARM_SHARE = 0.08  # of them, from the cache: 0.06 to 0.08 were measured
# By what compiling speeds up a step: 1.35 and 1.43 were measured at 3M and 10M parameters (docs/benchmarks.md).
USUAL_GAIN = {"cpu": 1.3, "cuda": 1.3}
LEAST_GAIN, MOST_GAIN = 1.0, 4.0  # what was measured beside these was measured while the machine had other work


@dataclass(frozen=True)
class Compilation:
    """What is known of one shape that was compiled on this machine.

    Args:
        device: "cpu" or "cuda".
        blocks: of the model.
        precision: number format of the passes.
        cold_seconds: time to compile it with nothing of it in the cache; None where that was not seen.
        warm_seconds: the same with all of it in the cache.
        eager_speed: tokens/s of training as they were measured without compiling.
        compiled_speed: tokens/s with it.
    """

    device: str
    blocks: int
    precision: str = "float32"
    cold_seconds: float | None = None
    warm_seconds: float | None = None
    eager_speed: float | None = None
    compiled_speed: float | None = None

    @property
    def was_compiled(self) -> bool:
        """Whether it was: a speed that a plan has measured is recorded before."""
        return self.cold_seconds is not None or self.warm_seconds is not None

    @property
    def gain(self) -> float | None:
        """How many times faster training is; None where that is not known."""
        if not self.eager_speed or not self.compiled_speed:
            return None
        return min(MOST_GAIN, max(LEAST_GAIN, self.compiled_speed / self.eager_speed))


@dataclass(frozen=True)
class Forecast:
    """What compiling is expected to cost and to gain.

    Args:
        seconds: that it takes.
        gain: by how many times training is faster then.
        reason: where the two are known from.
    """

    seconds: float
    gain: float
    reason: str

    @property
    def earned_back_after(self) -> float:
        """Seconds of training, compiling included, from which on it pays; infinite where it gains nothing."""
        return self.seconds / (1 - 1 / self.gain) if self.gain > 1 else float("inf")


@dataclass(frozen=True)
class History:
    """The shapes that were compiled on this machine with these versions, by `key_of`."""

    compilations: Mapping[str, Compilation] = field(default_factory=dict)

    def forecast(self, config: RunConfig) -> Forecast:
        """Return what compiling the model of `config` will cost: known, or scaled from others, or what is usual."""
        device = torch.device(config.training.device).type
        known = self.compilations.get(key_of(config)) if self.compilations else None
        others = [c for c in self.compilations.values() if c.device == device]
        gains = [c.gain for c in others if c.gain is not None]
        gain = statistics.median(gains) if gains else USUAL_GAIN.get(device, 1.0)
        whence = "as for other shapes here" if gains else "which is usual"
        if known is not None and known.gain is not None:
            gain, whence = known.gain, "measured"
        paces = [c.cold_seconds / usual_seconds(device, c.blocks, c.precision) for c in others if c.cold_seconds]
        cold = usual_seconds(device, config.model.num_layers, config.training.precision)
        cold *= statistics.median(paces) if paces else 1.0
        speed = f"{gain:.2g} times the speed, {whence}"
        if known is not None and known.was_compiled:
            seconds = known.warm_seconds or WARM_SHARE * (known.cold_seconds or cold)
            return Forecast(seconds, gain, f"this very shape is in the cache: about {seconds:.0f} s, for {speed}")
        measured = f", by what {len(paces)} others took here" if paces else ""
        return Forecast(cold, gain, f"not compiled here before: about {cold:.0f} s{measured}, for {speed}")


def usual_seconds(device: str, blocks: int, precision: str = "float32") -> float:
    """Return the seconds that compiling a model of so many blocks took where it was measured."""
    base, each = COLD_SECONDS.get(device, COLD_SECONDS["cpu"])
    return (base + each * blocks) * (1.0 if precision == "float32" else IN_16_BITS.get(device, 1.0))


def key_of(config: RunConfig) -> str:
    """Return a name for all that compiled code depends on: model, passes, number format, machine and versions."""
    t = config.training
    device = torch.device(t.device).type
    facts = {
        "model": config.model.model_dump(mode="json"),
        "passes": sorted({min(t.micro_batch_size, t.batch_size), t.batch_size % t.micro_batch_size} - {0}),
        "training": [t.precision, t.activation_checkpointing, t.deterministic],
        "machine": [device, cpu_name(), t.threads or torch.get_num_threads()]
        + ([torch.cuda.get_device_name(t.device)] if device == "cuda" and torch.cuda.is_available() else []),
        "versions": [quire.__version__, torch.__version__],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


# -- the folder ---------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return where compiled code is kept: $TORCHINDUCTOR_CACHE_DIR, or quire/compiled in the user's cache folder.

    That is $XDG_CACHE_HOME where it is set to an absolute path, else ~/.cache.
    """
    if chosen := os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "quire" / "compiled"


def keep_compiled() -> str | None:
    """From here on, let torch keep compiled code in `cache_folder`; return why it cannot be, or None where it can.

    What a compiler wrote that was killed is deleted: torch would load it, fail, and never compile that shape again. A
    folder that the user has named to torch is never cut.
    """
    cache_own_functions()
    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"can it be written?")
        if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
            return f"compiled code is not kept for later runs: the disk of {folder} is nearly full"
        delete_unfinished(folder)
        if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
            cut(folder, MOST_BYTES)
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    except (OSError, RuntimeError) as error:  # a RuntimeError where there is no home
        return f"compiled code is not kept for later runs: {error}"
    return None


def cache_own_functions() -> None:
    """Let torch keep graphs that hold functions with a way back of their own, as attention on a CPU is.

    The keys of its cache hold both ways of such a function as they were traced. Where torch does not know the switch,
    everything works as before: those graphs are traced and looked up piece by piece in each process.
    """
    with contextlib.suppress(ImportError, AttributeError):
        import torch._functorch.config as functorch

        functorch.autograd_cache_allow_custom_autograd_functions = True


def cut(folder: Path, most: int) -> None:
    """Where `folder` holds more than `most` bytes, delete the oldest files, none of the last day, down to half of it.

    torch compiles again what it misses of a shape, and the record of that shape is then written anew.
    """
    files = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another run deletes as well
            if path.is_file():
                files.append((path.stat().st_mtime, path.stat().st_size, path))
    size = sum(each for _, each, _ in files)
    if size <= most:
        return
    oldest = time.time() - YOUNG_SECONDS
    for changed, each, path in sorted(files):
        if size <= most // 2 or changed > oldest:
            break
        path.unlink(missing_ok=True)
        size -= each


def delete_unfinished(folder: Path) -> None:
    """Delete what torch compiled into `folder` and ends too early; what may be in the making is waited for."""
    for path in folder.rglob("*.so"):
        with contextlib.suppress(OSError):  # another run deletes as well
            while OF_TORCH.fullmatch(path.name) and not is_whole(path):
                if abs(time.time() - path.stat().st_mtime) > LINKING_SECONDS:
                    path.unlink()
                    break
                time.sleep(0.2)


def is_whole(library: Path) -> bool:
    """Whether the file of a compiled library reaches as far as its head says.

    Of ELF files of 64 bits the table of sections is the last thing in the file; of others only short ones are told.
    """
    with library.open("rb") as file:
        head = file.read(64)
    if len(head) < 64:
        return False
    if not head.startswith(b"\x7fELF\x02"):
        return True
    order = "<" if head[5] == 1 else ">"
    (table,) = struct.unpack_from(f"{order}Q", head, 40)
    size, count = struct.unpack_from(f"{order}HH", head, 58)
    return bool(table + size * count <= library.stat().st_size)


# -- the record ---------------------------------------------------------------------------------------------------


def records_folder() -> Path:
    """Return where the records lie, a file for each shape."""
    return cache_folder() / "quire-records"


def load_history() -> History:
    """Return what is recorded; a record that cannot be read is no record."""
    found = {}
    names = {each.name for each in dataclasses.fields(Compilation)}
    with contextlib.suppress(OSError, RuntimeError):
        for path in sorted(records_folder().glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                content = json.loads(path.read_text("utf-8"))
                found[path.stem] = Compilation(**{k: v for k, v in content.items() if k in names})
    return History(found)


def remember(config: RunConfig, **figures: float) -> Compilation | None:
    """Lay `figures`, fields of `Compilation`, over the record of this shape; None where it cannot be written."""
    key, device = key_of(config), torch.device(config.training.device).type
    before = load_history().compilations.get(key) or Compilation(
        device, config.model.num_layers, config.training.precision
    )
    rounded: dict[str, Any] = {name: round(value, 3) for name, value in figures.items()}
    now = dataclasses.replace(before, **rounded)
    try:
        write_text(records_folder() / f"{key}.json", json.dumps(dataclasses.asdict(now), indent=1) + "\n")
    except (QuireError, RuntimeError):
        return None
    return now


class CompileClock:
    """Finds out what compiling takes in the run that it is made for, and records it.

    Args:
        config: of the run.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self._missed = cache_misses()

    def note(self, durations: Sequence[float]) -> Compilation | None:
        """Record what the first steps of this process tell, which took `durations` seconds each."""
        usual = statistics.median(durations[1:])
        seconds = max(0.0, durations[0] - usual)
        t = self.config.training
        kind = "cold_seconds" if cache_misses() > self._missed else "warm_seconds"
        tokens = t.batch_size * self.config.model.context_length
        return remember(self.config, **{kind: seconds, "compiled_speed": tokens / max(1e-9, usual)})


def cache_misses() -> int:
    """Return how many graphs this process has compiled that torch's cache did not have."""
    counters: Any = torch._dynamo.utils.counters
    return int(counters["inductor"]["fxgraph_cache_miss"])
