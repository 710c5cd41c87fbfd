"""environment.jsonl: with what, where and when a run was started, one JSON object each time it was."""

from __future__ import annotations

import datetime
import json
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import quire
from quire.errors import FormatError
from quire.files import explain_os_error
from quire.limits import memory_limit, usable_cores
from quire.training.config import RunConfig
from quire.training.machine import cpu_name
from quire.training.meter import measured_rate

# What a command may hold and a report that is handed on must not: the user and password of a URL, a secret by its name.
USER = re.compile(r"(?<=://)[^@\s]*@")
SECRET = re.compile(r"(?i)(password|passwd|pwd|secret|token|key)=[^\s&'\"]+")


def environment_path(run: Path) -> Path:
    """Return where the starts of `run` are recorded."""
    return run / "quire" / "environment.jsonl"


def describe_environment(config: RunConfig, *, resumed: bool, processes: int = 1) -> dict[str, Any]:
    """Return what a report should say of this process and its machine; the torch threads are those in force.

    Args:
        config: the run's.
        resumed: whether this start goes on with an interrupted run.
        processes: how many train together; cores, memory and rate are those of this one's machine.
    """
    t = config.training
    cuda = torch.device(t.device).type == "cuda"
    threads = torch.get_num_threads()
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": command_line(sys.argv),
        "resumed": resumed,
        "quire": quire.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "processor": cpu_name(),
        "cores": usable_cores(),
        "processes": processes,
        "threads": threads,
        "memory_bytes": memory_limit(),
        "device": t.device,
        "gpu": torch.cuda.get_device_name(t.device) if cuda else None,
        "precision": t.precision,
        "compiled": t.compile,
        "gflops": round(measured_rate(t.device, t.precision, threads) / 1e9, 1),
    }


def command_line(words: Sequence[str]) -> str:
    """Return the words of a call as one would type them, without passwords."""
    program = Path(words[0]).name if words else ""
    name = "quire" if program == "__main__.py" else program
    return SECRET.sub(r"\1=…", USER.sub("…@", shlex.join([name, *words[1:]])))


def record_start(run: Path, config: RunConfig, *, resumed: bool, processes: int = 1) -> dict[str, Any]:
    """Append this start to environment.jsonl and return it. Raises `QuireError` where it cannot be written."""
    record = describe_environment(config, resumed=resumed, processes=processes)
    path = environment_path(run)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if resumed else "w", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    except OSError as error:
        raise explain_os_error(error, path) from error
    return record


def read_starts(run: Path) -> list[dict[str, Any]]:
    """Return the starts of a run in order; none where it was made before they were recorded.

    Raises:
        FormatError: a line before the last is not JSON.
    """
    path = environment_path(run)
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines()
    starts = []
    for number, line in enumerate(lines, 1):
        try:
            starts.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):  # the process was killed while it wrote
                break
            raise FormatError(f"line {number} is not JSON: {error}", where=path) from None
    return starts
