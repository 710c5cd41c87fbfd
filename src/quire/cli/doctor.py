"""`quire doctor`: what this machine can do."""

from __future__ import annotations

import json

import typer


def command(
    *,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Say what this machine can do for quire: measured, in about five seconds."""
    import dataclasses
    import importlib.util
    import platform
    from pathlib import Path

    import torch

    from quire.training.machine import measure_machine
    from quire.training.plan_compile import LACKING

    machine = measure_machine()
    package = importlib.util.find_spec("rapidocr")
    places = (package.submodule_search_locations if package is not None else None) or []
    models = sorted(path.name for place in places for path in (Path(place) / "models").glob("*.onnx"))
    ocr = all(any(f"_{part}_" in name for name in models) for part in ("det", "rec"))
    facts = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        **dataclasses.asdict(machine),
        "ocr": ocr,
        "ocr_models": models,
    }
    if as_json:
        print(json.dumps(facts))
        return
    rows = {
        "Python": facts["python"],
        "torch": facts["torch"],
        "trains on": f"{machine.device} ({machine.processor})",
        "CPU instructions": facts["cpu_capability"],
        "cores": machine.cores,
        "memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
        **{f"{name} products": f"{rate:,.0f} GFLOP/s" for name, rate in machine.gflops.items()},
        "torch.compile": machine.compiler
        or f"no: {LACKING.get(machine.device, 'not on this device')}; models train without, slower",
        "text recognition": ", ".join(models) if ocr else "no: its models are missing",
    }
    for name, value in rows.items():
        print(f"{name:<20} {value}")
