"""One model on several ranks: copies whose gradients are added (DDP), or slices that are gathered when needed (FSDP2).

Both give the gradients of the one big batch. The loss of each rank is a sum over its own targets, divided by the number
of targets of all ranks; so gradients are *added* over ranks, where DDP and FSDP2 by themselves take the mean, which
would be wrong wherever ranks have different numbers of targets.

Sources: Li et al. 2020, PyTorch Distributed (arXiv:2006.15704); Zhao et al. 2023, PyTorch FSDP (arXiv:2304.11277). The
division of Muon's matrices over ranks: Liu et al. 2025, Muon is Scalable for LLM Training (arXiv:2502.16982).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from quire.model.transformer import Transformer
from quire.training.compiled import Loss
from quire.training.distributed import Ranks
from quire.training.optimizer import orthogonalize, orthogonalize_here


class Parallel:
    """How the ranks of one job hold one model.

    Args:
        model: with the same weights on every rank, on the CPU; after this use the attribute.
        ranks: the job; one rank changes nothing.
        device: where this rank computes.
        shard: hold a slice of weights, gradients and optimizer state on each rank, and not a copy.
        compile: compile block by block, where the model is sharded; a model that is not is compiled as a whole.
        dtype: the number format of matrix products, in which slices of blocks are gathered. The slices themselves,
            their sums of gradients, embedding and head stay in float32.

    Attributes:
        model: on the device, sharded where wanted.
    """

    def __init__(
        self,
        model: Transformer,
        ranks: Ranks,
        device: torch.device,
        *,
        shard: bool,
        compile: bool,
        dtype: torch.dtype,
    ) -> None:
        self.ranks = ranks
        self.sharded = shard and ranks.count > 1
        self.model = _shard(model, ranks, device, compile, dtype) if self.sharded else model.to(device)
        self._dtype = dtype
        self._replica: Any = None

    def loss(self, loss: Loss) -> Loss:
        """Return `loss`, a function of the model, with the gradients of all ranks added up in its backward pass."""
        if self.ranks.count == 1 or self.sharded:  # the slices are added up by the model itself
            return loss
        device = self.model.cos.device
        with warnings.catch_warnings():
            # torch 2.13 would have the argument under another name, which earlier ones do not know.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            self._replica = nn.parallel.DistributedDataParallel(
                _Objective(self.model, loss),
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )
        # A hook may have no annotations, or those that torch expects; never their text.
        self._replica.register_comm_hook(None, lambda state, bucket: _add_up(bucket))
        return cast(Loss, self._replica)

    @contextlib.contextmanager
    def passing(self, *, last: bool) -> Iterator[None]:
        """Run one forward and backward pass of a step; copies exchange gradients in the last one alone.

        Slices do so in each pass: gradients of the whole model, waiting for the last one, would not fit.
        """
        with contextlib.nullcontext() if last or self._replica is None else self._replica.no_sync():
            yield

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        """Let the model be used by other calls than its forward pass: embedding and head are gathered meanwhile."""
        if not self.sharded:
            yield
            return
        root = cast(Any, self.model)
        root.unshard()
        narrow = self._dtype != torch.float32
        try:
            with torch.autocast(self.model.cos.device.type, self._dtype, enabled=narrow):
                yield
        finally:
            root.reshard()

    def whole(self) -> Transformer:
        """Return the model with all its weights: on rank 0, gathered to the CPU; elsewhere as it is. All ranks call."""
        if not self.sharded:
            return self.model
        weights = {}
        for name, parameter in self.model.named_parameters():
            full = whole_tensor(parameter.detach())
            if self.ranks.first:
                weights[name] = full.cpu()
        if not self.ranks.first:
            return self.model
        with torch.device("meta"):
            whole = Transformer(self.model.config)
        whole.load_state_dict(weights, strict=True, assign=True)
        return whole

    def orthogonalize(self, updates: list[Tensor], rows: int, dtype: torch.dtype) -> list[Tensor]:
        """Orthogonalize the updates of Muon, each matrix on one rank; all ranks call with theirs.

        Args:
            updates: of one shape (m, n); where sharded, this rank's rows of each.
            rows: m.
            dtype: the number format of the work.

        Returns:
            The same parts of the orthogonalized matrices.
        """
        if self.ranks.count == 1:
            return orthogonalize_here(updates, rows, dtype)
        divide = _divide_slices if self.sharded else _divide_copies
        return divide(updates, rows, dtype, self.ranks)


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor of which each rank holds a slice or a summand as the whole that it is; others as they are."""
    # A DTensor, whose class is costly to import.
    return cast(Tensor, tensor.full_tensor()) if hasattr(tensor, "full_tensor") else tensor


class _Objective(nn.Module):
    """A loss as a module, which is what DistributedDataParallel wraps."""

    def __init__(self, model: Transformer, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return self._loss(tokens, targets)


def _add_up(bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    return cast("torch.futures.Future[Tensor]", work.get_future().then(lambda done: done.value()[0]))


def _shard(model: Transformer, ranks: Ranks, device: torch.device, compile: bool, dtype: torch.dtype) -> Transformer:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    # The residual stream stays in float32, as autocast leaves it: inputs are not cast.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    mesh = init_device_mesh(device.type, (ranks.count,))
    # Block by block: the model goes to the device in slices and never has to fit it as a whole.
    for block in model.model.layers:
        if compile:
            block.compile(dynamic=False)
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "loss")
    model.to(device)  # what is no parameter: the tables of the rotary positions
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo adds, and knows no weighted sum
    return model


def _divide_copies(updates: list[Tensor], rows: int, dtype: torch.dtype, ranks: Ranks) -> list[Tensor]:
    # Matrix i is orthogonalized on rank i mod W and sent to all, so that the copies stay equal to the bit.
    each = -(-len(updates) // ranks.count)
    mine = updates[ranks.rank :: ranks.count]
    done = updates[0].new_zeros(each, *updates[0].shape)  # (each, m, n)
    if mine:
        done[: len(mine)] = orthogonalize(torch.stack(mine).to(dtype))  # copied into the format of the updates
    gathered = updates[0].new_empty(ranks.count, *done.shape)  # (W, each, m, n)
    dist.all_gather(list(gathered.unbind()), done)
    return [gathered[i % ranks.count, i // ranks.count] for i in range(len(updates))]


def _divide_slices(updates: list[Tensor], rows: int, dtype: torch.dtype, ranks: Ranks) -> list[Tensor]:
    # Every rank has some rows of each of N matrices. Rank i mod W gets all rows of matrix i, orthogonalizes it, and
    # gives each rank its rows back: two exchanges of as many numbers as a rank holds.
    count, columns = ranks.count, updates[0].shape[1]
    owned = [len(range(owner, len(updates), count)) for owner in range(count)]
    heights = [_height(rows, count, rank) for rank in range(count)]
    mine = owned[ranks.rank]
    sent = [owned[to] * heights[ranks.rank] * columns for to in range(count)]
    received = [mine * heights[source] * columns for source in range(count)]
    outgoing = torch.cat([updates[i].flatten() for owner in range(count) for i in range(owner, len(updates), count)])
    incoming = outgoing.new_empty(sum(received))
    dist.all_to_all_single(incoming, outgoing, received, sent)
    if mine:
        slices = zip(torch.split(incoming, received), heights, strict=True)
        parts = [part.view(mine, height, columns) for part, height in slices]
        whole = orthogonalize(torch.cat(parts, dim=1).to(dtype)).to(outgoing.dtype)  # (mine, m, n)
        incoming = torch.cat([part.flatten() for part in torch.split(whole, heights, dim=1)])
    dist.all_to_all_single(outgoing, incoming, sent, received)
    done = [Tensor()] * len(updates)
    for owner, part in enumerate(torch.split(outgoing, sent)):
        if owned[owner]:
            matrices = part.view(owned[owner], heights[ranks.rank], columns).unbind()
            done[owner::count] = list(matrices)
    return done


def _height(rows: int, count: int, rank: int) -> int:
    """Return how many of `rows` FSDP2 gives to `rank`: equal slices but for the last ones, as torch.chunk cuts them."""
    each = -(-rows // count)
    return max(0, min(each, rows - rank * each))
