"""Optimizers by role: Muon for the hidden matrices, AdamW for embeddings, head and norms; or AdamW alone.

Source: AdamW, Loshchilov and Hutter 2019 (arXiv:1711.05101). Muon, Jordan et al. 2024; its quintic iteration
is the one that `torch.optim.Muon` uses, so the two agree (tests/training/test_optimizer.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from quire.settings import Settings
from quire.training.precision import DTYPES

# Coefficients of the quintic a x + b x^3 + c x^5 that pushes every singular value towards 1 in five steps.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
# Numbers in the matrices that are orthogonalized at once: what a step needs besides the weights stays bounded.
STACKED = 1 << 26
ADAM_SLOTS = ("step", "exp_avg", "exp_avg_sq")


class OptimizerSettings(Settings):
    """How weights follow gradients."""

    kind: Literal["muon", "adamw"] = "muon"
    """Which optimizer moves the hidden matrices: muon, or adamw for everything."""
    learning_rate: float = Field(0.006, gt=0, le=1)
    """Peak learning rate of AdamW: embeddings, head and norms (and the matrices too, where kind is adamw)."""
    matrix_learning_rate: float = Field(0.02, gt=0, le=1)
    """Peak learning rate of Muon for the hidden matrices."""
    beta1: float = Field(0.8, ge=0, lt=1)
    """AdamW's decay of the running mean of gradients."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """AdamW's decay of the running mean of squared gradients."""
    epsilon: float = Field(1e-10, gt=0)
    """AdamW's addend under the fraction."""
    momentum: float = Field(0.95, ge=0, lt=1)
    """Muon's (Nesterov) momentum."""
    orthogonal_precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the products that orthogonalize Muon's updates; what they add up to stays float32."""
    weight_decay: float = Field(0.1, ge=0, le=10)
    """Decoupled weight decay of matrices, times the learning rate; norms are never decayed."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients whose global norm is larger are scaled down to it."""


def orthogonalize(updates: Tensor) -> Tensor:
    """Return for each matrix a near-orthogonal one with the same row and column spaces (Newton-Schulz).

    Args:
        updates: (N, m, n), any float dtype; the work is done in that dtype.
    """
    a, b, c = NEWTON_SCHULZ
    tall = updates.size(-2) > updates.size(-1)
    x = updates.mT.contiguous() if tall else updates  # (N, small, large)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT  # (N, small, small)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


Orthogonalizer = Callable[[list[Tensor], int, torch.dtype], list[Tensor]]
"""(updates of one shape, rows of the whole matrices, number format of the work) -> the orthogonalized updates."""


def orthogonalize_here(updates: list[Tensor], rows: int, dtype: torch.dtype) -> list[Tensor]:
    """Orthogonalize whole matrices of one shape in this process, all at once."""
    stacked = torch.stack(updates).to(dtype)  # (N, rows, columns)
    return list(orthogonalize(stacked).to(updates[0].dtype).unbind())


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalized, for matrices; those of one shape go through it together.

    Args:
        params: two-dimensional parameters.
        lr: learning rate, before the factor sqrt(max(1, rows / columns)).
        momentum: Nesterov momentum.
        weight_decay: decoupled, times the learning rate.
        dtype: of the products of the orthogonalization. In bfloat16 their error is less than what five steps of
            Newton-Schulz leave undone anyway.
        orthogonalizer: what makes the updates orthogonal; where a process holds a part of each matrix, it knows how.
        processes: among how many the orthogonalizer divides the matrices.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
        orthogonalizer: Orthogonalizer = orthogonalize_here,
        processes: int = 1,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype, self.orthogonalizer, self.processes = dtype, orthogonalizer, processes
        for group in self.param_groups:
            if any(p.ndim != 2 for p in group["params"]):
                raise ValueError("Muon is for matrices: every parameter must have two dimensions")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                together = max(1, STACKED // parameters[0].numel()) * self.processes
                for start in range(0, len(parameters), together):
                    self._move(parameters[start : start + together], group)

    def _move(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Move parameters of one shape, all of which have a gradient."""
        rows, columns = parameters[0].shape
        gradients = [local(p.grad) for p in parameters if p.grad is not None]
        for p in parameters:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [local(self.state[p]["momentum_buffer"]) for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])  # Nesterov
        updates = self.orthogonalizer(list(ahead), rows, self.dtype)
        # A tall matrix has more outputs than inputs; its rows get the same root-mean-square as a square one's.
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        tensors = [local(p) for p in parameters]
        if group["weight_decay"]:
            torch._foreach_mul_(tensors, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(tensors, updates, alpha=-rate)


class Optimizer:
    """The optimizers of one model, moved together and scaled by one schedule.

    Args:
        model: parameters are sorted by role: two-dimensional ones inside the blocks are the hidden matrices,
            other two-dimensional ones (embedding, head) are tables, the rest are vectors (norms).
        settings: rates and decays.
        orthogonalizer: see `Muon`, and
        processes: there too.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        orthogonalizer: Orthogonalizer = orthogonalize_here,
        processes: int = 1,
    ) -> None:
        self.settings = settings
        self.names: dict[str, nn.Parameter] = dict(model.named_parameters())
        roles: dict[str, list[nn.Parameter]] = {"matrix": [], "table": [], "vector": []}
        for name, parameter in self.names.items():
            roles[role_of(name, parameter)].append(parameter)
        s = settings
        fused = all(p.device.type in ("cpu", "cuda") for p in self.names.values())
        adam: list[dict[str, Any]] = [
            {"params": roles["table"], "lr": s.learning_rate, "weight_decay": s.weight_decay},
            {"params": roles["vector"], "lr": s.learning_rate, "weight_decay": 0.0},
        ]
        self.parts: list[torch.optim.Optimizer] = []
        if s.kind == "muon" and roles["matrix"]:
            dtype, rate = DTYPES[s.orthogonal_precision], s.matrix_learning_rate
            muon = Muon(roles["matrix"], rate, s.momentum, s.weight_decay, dtype, orthogonalizer, processes)
            self.parts.append(muon)
        else:
            adam.append({"params": roles["matrix"], "lr": s.learning_rate, "weight_decay": s.weight_decay})
        adam = [group for group in adam if group["params"]]
        self.parts.append(torch.optim.AdamW(adam, betas=(s.beta1, s.beta2), eps=s.epsilon, fused=fused))
        for part in self.parts:
            for group in part.param_groups:
                group["peak"] = group["lr"]

    @property
    def learning_rate(self) -> float:
        """The present learning rate of the hidden matrices."""
        part = self.parts[0] if self.settings.kind == "muon" else self.parts[-1]
        return float(part.param_groups[-1]["lr"])

    def set_multiplier(self, multiplier: float) -> None:
        """Set every learning rate to its peak times `multiplier`."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak"] * multiplier

    def step(self) -> None:
        """Move the parameters by their gradients."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def slots(self) -> set[str]:
        """Return the names of all state that there is after a step, as `state_tensors` has them."""
        names = {id(parameter): name for name, parameter in self.names.items()}
        kept = {part: ("momentum_buffer",) if isinstance(part, Muon) else ADAM_SLOTS for part in self.parts}
        return {
            f"{names[id(p)]}.{slot}"
            for part, slots in kept.items()
            for group in part.param_groups
            for p in group["params"]
            for slot in slots
        }

    def state_tensors(self) -> dict[str, Tensor]:
        """Return all state as flat named tensors: `<parameter>.<slot>`."""
        tensors = {}
        for name, parameter in self.names.items():
            for part in self.parts:
                for slot, value in part.state.get(parameter, {}).items():
                    tensors[f"{name}.{slot}"] = torch.as_tensor(value)
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state_tensors` gave. Raises KeyError for a parameter that this model does not have."""
        owner = {id(p): part for part in self.parts for group in part.param_groups for p in group["params"]}
        for key, value in tensors.items():
            name, _, slot = key.rpartition(".")
            parameter = self.names[name]
            # AdamW's fused step wants its step counter as a float32 tensor on the parameter's device.
            owner[id(parameter)].state[parameter][slot] = value.clone().to(parameter.device)


def local(tensor: Tensor) -> Tensor:
    """Return the part of a sharded tensor that this process holds, sharing its memory; others as they are."""
    return cast(Tensor, tensor.to_local()) if hasattr(tensor, "to_local") else tensor  # DTensor is costly to import


def role_of(name: str, parameter: Tensor) -> str:
    """Return "matrix", "table" or "vector": how a parameter is optimized."""
    if parameter.ndim < 2:
        return "vector"
    return "matrix" if ".layers." in f".{name}" else "table"
