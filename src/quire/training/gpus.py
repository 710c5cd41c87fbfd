"""What graphics processors can do, as their makers state it: the table that `quire plan` computes with.

Rates are of dense products of 16-bit numbers with sums in float32; where a data sheet gives the rate "with sparsity",
half of it stands here. Prices are no facts: they are round figures for an hour of rent, assumed where none is given.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from quire.errors import UsageError

CPU = "cpu"


@dataclass(frozen=True)
class Gpu:
    """One kind of processor.

    Attributes:
        key: what it is called on the command line.
        name: its full name.
        tflops: peak of dense matrix products, in 1e12 FLOP/s.
        precision: the number format that this peak is of.
        memory: bytes; a data sheet's GB are taken as 1e9, which is less than the card really has.
        memory_rate: bytes a second between memory and processor.
        link: bytes a second that one can send to its neighbours in a node while it receives as much.
        link_name: what that link is.
        network: bytes a second that a node of `per_node` can send to other nodes.
        per_node: how many usually stand in one machine.
        watts: its power limit.
        price: assumed rent of an hour, in dollars.
        source: where the figures are from.
    """

    key: str
    name: str
    tflops: float
    precision: str
    memory: float
    memory_rate: float
    link: float
    link_name: str
    network: float
    per_node: int
    watts: float
    price: float
    source: str

    @property
    def flops(self) -> float:
        """Peak in FLOP/s."""
        return self.tflops * 1e12


def _gpu(
    key: str,
    name: str,
    tflops: float,
    memory: float,
    memory_rate: float,
    link: tuple[str, float],
    network_gbit: float,
    watts: float,
    price: float,
    source: str,
    precision: str = "bfloat16",
) -> Gpu:
    # Data sheets count both directions of a link; a ring uses each by itself.
    return Gpu(
        key,
        name,
        tflops,
        precision,
        memory * 1e9,
        memory_rate * 1e9,
        link[1] * 1e9 / 2,
        link[0],
        network_gbit * 1e9 / 8,
        8,
        watts,
        price,
        source,
    )


# GB/s in both directions together, as the data sheets give them.
PCIE3, PCIE4, PCIE5 = ("PCIe 3.0 x16", 32.0), ("PCIe 4.0 x16", 64.0), ("PCIe 5.0 x16", 128.0)
NVLINK3, NVLINK4, NVLINK5 = ("NVLink 3", 600.0), ("NVLink 4", 900.0), ("NVLink 5", 1800.0)
INFINITY = ("Infinity Fabric", 896.0)
# Gbit/s of the network of a node: eight ports of 200 (DGX A100) or 400 (DGX H100 and later, eight-way MI300X
# platforms), and one or four of 100 in machines without such a network.
GPUS = {
    gpu.key: gpu
    for gpu in (
        # key, name, TFLOP/s, GB, GB/s, link, Gbit/s of a node, W, $ an hour, source
        _gpu("a100-40", "NVIDIA A100 SXM 40 GB", 312, 40, 1555, NVLINK3, 1600, 400, 1.3, "A100 data sheet"),
        _gpu("a100-80", "NVIDIA A100 SXM 80 GB", 312, 80, 2039, NVLINK3, 1600, 400, 1.8, "A100 data sheet"),
        _gpu("h100", "NVIDIA H100 SXM 80 GB", 989, 80, 3350, NVLINK4, 3200, 700, 2.5, "H100 data sheet"),
        _gpu("h100-pcie", "NVIDIA H100 PCIe 80 GB", 756, 80, 2000, PCIE5, 400, 350, 2.2, "H100 data sheet"),
        _gpu("h200", "NVIDIA H200 SXM 141 GB", 989, 141, 4800, NVLINK4, 3200, 700, 3.0, "H200 data sheet"),
        _gpu("b200", "NVIDIA B200 SXM 180 GB", 2250, 180, 8000, NVLINK5, 3200, 1000, 5.0, "DGX B200 data sheet"),
        _gpu("l4", "NVIDIA L4 24 GB", 121, 24, 300, PCIE4, 100, 72, 0.6, "L4 data sheet"),
        _gpu("l40s", "NVIDIA L40S 48 GB", 362, 48, 864, PCIE4, 100, 350, 1.0, "L40S data sheet"),
        _gpu("rtx-3090", "GeForce RTX 3090 24 GB", 71, 24, 936, PCIE4, 100, 350, 0.2, "GA102 white paper"),
        _gpu("rtx-4090", "GeForce RTX 4090 24 GB", 165.2, 24, 1008, PCIE4, 100, 450, 0.4, "Ada white paper"),
        _gpu("rtx-5090", "GeForce RTX 5090 32 GB", 209.5, 32, 1792, PCIE5, 100, 575, 0.7, "RTX Blackwell white paper"),
        _gpu("t4", "NVIDIA T4 16 GB", 65, 16, 320, PCIE3, 100, 70, 0.35, "T4 data sheet", "float16"),
        _gpu("mi300x", "AMD Instinct MI300X 192 GB", 1307.4, 192, 5300, INFINITY, 3200, 750, 2.5, "MI300X data sheet"),
    )
}
# What people type.
ALIASES = {
    "a100": "a100-80",
    "a100-sxm": "a100-80",
    "h100-sxm": "h100",
    "3090": "rtx-3090",
    "4090": "rtx-4090",
    "5090": "rtx-5090",
    "rtx3090": "rtx-3090",
    "rtx4090": "rtx-4090",
    "rtx5090": "rtx-5090",
    "mi300": "mi300x",
}


def find_gpu(name: str) -> Gpu:
    """Return the GPU of this name; `cpu` is this machine's processor, measured now.

    Raises:
        UsageError: there is none in the table.
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-").removeprefix("nvidia-")
    if key == CPU:
        return measured_cpu()
    found = GPUS.get(ALIASES.get(key, key))
    if found is None:
        near = difflib.get_close_matches(key, [*GPUS, *ALIASES], 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"unknown GPU {name!r}", where="--gpu", hint=f"{hint}Known: {', '.join(GPUS)}, {CPU}")
    return found


def measured_cpu() -> Gpu:
    """Return this machine's processor with its measured rate in float32, of which training on CPUs is a known share."""
    import torch

    from quire.limits import memory_limit, usable_cores
    from quire.training.machine import cpu_name, product_rate

    return Gpu(
        key=CPU,
        name=f"{cpu_name()}, {usable_cores()} cores",
        tflops=product_rate("cpu", torch.float32) / 1e3,
        precision="float32",
        memory=float(memory_limit()),
        memory_rate=20e9,
        link=1e9,
        link_name="memory",
        network=1e9 / 8,
        per_node=1,
        watts=100.0,
        price=0.05,
        source="measured here, products of 1024 x 1024 matrices",
    )
