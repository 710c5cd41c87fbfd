"""nanoGPT's published recipe for a small model of one text, written anew from what is public about it.

nanoGPT (https://github.com/karpathy/nanoGPT) is no package that pip installs, so it cannot stand beside the other peers
as it is. Its README and its configurations give every number of the recipe; the model is GPT-2's (Radford et al. 2019):
learned positions, LayerNorm before attention and before a feed-forward part of four times the width with GELU, one
table for embedding and head. Nothing here is copied; where this differs in speed from nanoGPT, the fault is here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Recipe:
    """The numbers of a recipe.

    Args:
        layers: blocks.
        heads: attention heads in each.
        width: of the residual stream.
        context: tokens in a window.
        batch: windows in a step.
        steps: of the whole run.
        dropout: on embeddings, attention and what blocks write.
        bias: whether linear parts and LayerNorm have biases.
    """

    layers: int
    heads: int
    width: int
    context: int
    batch: int
    steps: int
    dropout: float = 0.0
    bias: bool = False


# The two of the README for tinyshakespeare.
RECIPES = {
    "cpu": Recipe(layers=4, heads=4, width=128, context=64, batch=12, steps=2000),
    "cuda": Recipe(layers=6, heads=6, width=384, context=256, batch=64, steps=5000, dropout=0.2),
}
PEAK, LOWEST = 1e-3, 1e-4
"""Learning rates: after the warmup, and where half a cosine ends."""
WARMUP = 100
"""Steps in which the rate rises in a straight line."""
WEIGHT_DECAY, BETAS, LONGEST_GRADIENT = 0.1, (0.9, 0.99), 1.0


def of_shape(shape: dict[str, int], batch: int) -> Recipe:
    """Return a recipe for the layout of GPT-2 in another size: width, blocks, heads and context of `shape`."""
    return replace(
        RECIPES["cpu"],
        layers=shape["num_layers"],
        heads=shape["num_heads"],
        width=shape["hidden_size"],
        context=shape["context_length"],
        batch=batch,
    )


class Block(nn.Module):
    """Attention and feed-forward part, each added to the stream."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        width, bias = recipe.width, recipe.bias
        self.heads, self.dropout = recipe.heads, recipe.dropout
        self.before_attention = nn.LayerNorm(width, bias=bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.attended = nn.Linear(width, width, bias=bias)
        self.before_wide = nn.LayerNorm(width, bias=bias)
        self.wide = nn.Linear(width, 4 * width, bias=bias)
        self.narrow = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        q, k, v = self.qkv(self.before_attention(x)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropped = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropped, is_causal=True)  # (B, H, T, K)
        y = self.attended(y.transpose(1, 2).reshape(rows, length, width))  # (B, T, D)
        x = x + F.dropout(y, self.dropout, self.training)
        y = self.narrow(F.gelu(self.wide(self.before_wide(x))))
        return x + F.dropout(y, self.dropout, self.training)


class GPT2(nn.Module):
    """Tokens (B, T) in, logits (B, T, V) out."""

    def __init__(self, recipe: Recipe, vocab_size: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.tokens = nn.Embedding(vocab_size, recipe.width)
        self.positions = nn.Embedding(recipe.context, recipe.width)
        self.blocks = nn.ModuleList(Block(recipe) for _ in range(recipe.layers))
        self.norm = nn.LayerNorm(recipe.width, bias=recipe.bias)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # what writes to the stream begins smaller, the more blocks write
                writes = name.endswith(("attended.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * recipe.layers) if writes else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]  # (B, T, D)
        x = F.dropout(x, self.recipe.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats."""
        return F.cross_entropy(self(tokens).flatten(0, 1).float(), targets.flatten())


def learning_rate(done: float, steps: int) -> float:
    """Return the rate when the share `done` of the run is: the warmup is as long as in a run of `steps`."""
    warmup = WARMUP / steps
    if done < warmup:
        # Not quite 0 at the start, or the first step would be lost.
        return PEAK * (done * steps + 1) / (WARMUP + 1)
    return LOWEST + (PEAK - LOWEST) * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warmup) / (1 - warmup))))


def train(
    recipe: Recipe,
    vocab_size: int,
    row: np.ndarray,
    device: torch.device,
    between: Callable[[], None],
    share: Callable[[], float],
    *,
    precision: str = "float32",
    compiled: bool = False,
    started: Callable[[GPT2], None] = lambda model: None,
) -> None:
    """Train until `between` raises.

    Args:
        recipe: shape and batch.
        vocab_size: V.
        row: the training tokens.
        device: where.
        between: called before each step.
        share: returns the part of the run that is done, for the learning rate.
        precision: "float32", or "bfloat16" for autocast.
        compiled: whether torch.compile is used.
        started: is given the model before the first step.
    """
    torch.manual_seed(1337)
    model = GPT2(recipe, vocab_size).to(device)
    started(model)
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=PEAK,
        betas=BETAS,
        fused=device.type in ("cpu", "cuda"),
    )
    loss_of = torch.compile(model.loss, dynamic=False) if compiled else model.loss
    numbers = torch.from_numpy(row.astype(np.int64))
    chance = torch.Generator().manual_seed(1337)
    offsets = torch.arange(recipe.context + 1)
    while True:
        between()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share(), recipe.steps)
        starts = torch.randint(len(numbers) - recipe.context, (recipe.batch, 1), generator=chance)
        windows = numbers[starts + offsets].to(device, non_blocking=True)  # (B, T + 1)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = loss_of(windows[:, :-1], windows[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
