"""Attention: each token gathers from the tokens before it what its query asks for.

- `attend` is the core: scores, causal mask, softmax, weighted sum, with grouped queries
- `self_attention` is the whole part of a block: projections, norm of queries and keys, rotary positions, the core,
  and the output matrix; its weights are named as in `quire.model.attention.Attention`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.activations import softmax, softmax_backward
from quire.scratch.cache import KVCache
from quire.scratch.normalization import NormKept, rms_norm, rms_norm_backward
from quire.scratch.positions import rotate, rotate_backward
from quire.scratch.projection import ProjectKept, project, project_backward

Array = NDArray[np.float64]


def split_heads(x: Array, num_heads: int) -> Array:
    """Cut each row of `x` (B, T, H K) into H heads, (B, H, T, K).

    Raises:
        ValueError: the rows cannot be cut into that many equal parts.
    """
    if x.ndim != 3 or num_heads < 1 or x.shape[2] % num_heads:
        raise ValueError(f"x {x.shape} must be (rows, tokens, width) with a width that {num_heads} heads divide")
    B, T, width = x.shape
    heads: Array = x.reshape(B, T, num_heads, width // num_heads).transpose(0, 2, 1, 3)
    return heads


def merge_heads(x: Array) -> Array:
    """Put the heads of `x` (B, H, T, K) side by side again, (B, T, H K).

    It moves numbers and computes nothing: the backward of `split_heads` is `merge_heads`, and the other way round.
    """
    B, H, T, K = x.shape
    merged: Array = x.transpose(0, 2, 1, 3).reshape(B, T, H * K)
    return merged


class AttendKept(NamedTuple):
    """What `attend_backward` needs, and what an explanation shows."""

    q: Array  # (B, H, T, K)
    k: Array  # (B, G, S, K)
    v: Array  # (B, G, S, K)
    scores: Array  # (B, H, T, S), -inf where a query may not look
    weights: Array  # (B, H, T, S), each row sums to 1


def attend(q: ArrayLike, k: ArrayLike, v: ArrayLike, first: int = 0) -> tuple[Array, AttendKept]:
    """Return the weighted sum of the values that each query sees, (B, H, T, K): softmax(q k^T / sqrt(K)) v.

    The scores are divided by sqrt(K) because a product of two rows of K numbers of size 1 has that standard
    deviation, and a softmax of large scores would be all on one key. Query t stands at position first + t and sees
    keys 0 to first + t. Head h of the queries reads key and value head h // (H / G).

    Args:
        q: queries (B, H, T, K).
        k: keys (B, G, S, K), with S = first + T; G divides H.
        v: values, likewise.
        first: the position of the first query: how many keys stand before it.

    Raises:
        ValueError: the shapes do not fit one another.

    Source: Vaswani et al. 2017, section 3.2; Ainslie et al. 2023, "GQA" (grouped queries).
    """
    q, k, v = (np.asarray(each, dtype=np.float64) for each in (q, k, v))
    _check(q, k, v, first)
    B, H, T, K = q.shape
    G, S = k.shape[1], k.shape[2]
    # The heads of a group get an axis of their own; keys and values get one of length 1 there, which all of them read.
    grouped = q.reshape(B, G, H // G, T, K)
    scores = grouped @ k[:, :, None].swapaxes(-1, -2) / np.sqrt(K)  # (B, G, H/G, T, S)
    seen = np.arange(S) <= first + np.arange(T)[:, None]  # (T, S)
    scores = np.where(seen, scores, -np.inf)
    weights = softmax(scores)  # (B, G, H/G, T, S)
    out = weights @ v[:, :, None]  # (B, G, H/G, T, K)
    return out.reshape(q.shape), AttendKept(q, k, v, scores.reshape(B, H, T, S), weights.reshape(B, H, T, S))


def attend_backward(dout: Array, kept: AttendKept) -> tuple[Array, Array, Array]:
    """Return dq (B, H, T, K), dk and dv (B, G, S, K).

    With S = q k^T / sqrt(K), P = softmax(S) and out = P v, for one head:

        dv = P^T dout                             from out = P v
        dP = dout v^T
        dS[t] = P[t] * (dP[t] - sum(dP[t] * P[t]))    the softmax of each row; where P is 0, behind the mask, dS is 0
        dq = dS k / sqrt(K)                       from S = q k^T / sqrt(K)
        dk = dS^T q / sqrt(K)

    Keys and values that several heads of a group read collect the gradient of all of them.
    """
    q, k, v, _, weights = kept
    B, H, T, K = q.shape
    G, S = k.shape[1], k.shape[2]
    P = weights.reshape(B, G, H // G, T, S)
    q, dout = q.reshape(B, G, H // G, T, K), dout.reshape(B, G, H // G, T, K)
    dv = (P.swapaxes(-1, -2) @ dout).sum(axis=2)  # (B, G, S, K)
    dP = dout @ v[:, :, None].swapaxes(-1, -2)  # (B, G, H/G, T, S)
    dS = softmax_backward(dP, P) / np.sqrt(K)  # (B, G, H/G, T, S)
    dq = dS @ k[:, :, None]  # (B, G, H/G, T, K)
    dk = (dS.swapaxes(-1, -2) @ q).sum(axis=2)  # (B, G, S, K)
    return dq.reshape(B, H, T, K), dk, dv


class SelfAttentionKept(NamedTuple):
    """What `self_attention_backward` needs."""

    q_proj: ProjectKept
    k_proj: ProjectKept
    v_proj: ProjectKept
    q_norm: NormKept | None
    k_norm: NormKept | None
    angles: Array  # (T, K/2)
    attend: AttendKept
    o_proj: ProjectKept


def self_attention(
    x: Array,
    weights: Mapping[str, Array],
    angles: Array,
    *,
    num_heads: int,
    num_kv_heads: int,
    norm_eps: float = 1e-6,
    cache: KVCache | None = None,
    layer: int = 0,
) -> tuple[Array, SelfAttentionKept]:
    """Return what each token gathers, (B, T, D).

    Args:
        x: the normalised residual stream (B, T, D).
        weights: "q_proj.weight" (H K, D), "k_proj.weight" and "v_proj.weight" (G K, D), "o_proj.weight" (D, H K) and,
            where queries and keys are normalised per head, "q_norm.weight" and "k_norm.weight" (K,).
        angles: how far each token's queries and keys are turned, (T, K/2).
        num_heads: H, number of query heads.
        num_kv_heads: G, number of key and value heads; divides H.
        norm_eps: added to the mean square in the norm of queries and keys.
        cache: keys and values of the tokens before, to which those of `x` are added. None: there are none before.
        layer: the number of this block, which names its part of the cache.

    Raises:
        ValueError: shapes do not fit, or the cache is full.

    Source: Vaswani et al. 2017, section 3.2.2; Henry et al. 2020 (norm of queries and keys).
    """
    queries, q_proj = project(x, weights["q_proj.weight"])  # (B, T, H K)
    keys, k_proj = project(x, weights["k_proj.weight"])  # (B, T, G K)
    values, v_proj = project(x, weights["v_proj.weight"])  # (B, T, G K)
    q, k, v = split_heads(queries, num_heads), split_heads(keys, num_kv_heads), split_heads(values, num_kv_heads)
    q_norm = k_norm = None
    if "q_norm.weight" in weights:
        q, q_norm = rms_norm(q, weights["q_norm.weight"], norm_eps)  # (B, H, T, K)
        k, k_norm = rms_norm(k, weights["k_norm.weight"], norm_eps)  # (B, G, T, K)
    q, k = rotate(q, angles), rotate(k, angles)
    first = 0
    if cache is not None:
        first = cache.length
        k, v = cache.store(layer, k, v)  # (B, G, S, K): those of the tokens before, and these
    gathered, attended = attend(q, k, v, first)  # (B, H, T, K)
    y, o_proj = project(merge_heads(gathered), weights["o_proj.weight"])  # (B, T, D)
    return y, SelfAttentionKept(q_proj, k_proj, v_proj, q_norm, k_norm, angles, attended, o_proj)


def self_attention_backward(dy: Array, kept: SelfAttentionKept) -> tuple[Array, dict[str, Array]]:
    """Return dx (B, T, D) and the gradient of each weight, by its name.

    Every step of the forward is undone in the opposite order. The input goes three ways, into queries, keys and
    values, so its gradient is the sum of what comes back from the three.

    Raises:
        ValueError: the forward read tokens from a cache: what they were computed from is not kept.
    """
    T, S = kept.attend.weights.shape[2:]
    if T != S:
        raise ValueError(f"no backward through a cache: {T} tokens were computed and {S} seen; run forward without one")
    gradients: dict[str, Array] = {}
    dmerged, gradients["o_proj.weight"] = project_backward(dy, kept.o_proj)  # (B, T, H K)
    dq, dk, dv = attend_backward(split_heads(dmerged, kept.attend.q.shape[1]), kept.attend)
    dq, dk = rotate_backward(dq, kept.angles), rotate_backward(dk, kept.angles)
    if kept.q_norm is not None and kept.k_norm is not None:
        dq, gradients["q_norm.weight"] = rms_norm_backward(dq, kept.q_norm)
        dk, gradients["k_norm.weight"] = rms_norm_backward(dk, kept.k_norm)
    dx_q, gradients["q_proj.weight"] = project_backward(merge_heads(dq), kept.q_proj)
    dx_k, gradients["k_proj.weight"] = project_backward(merge_heads(dk), kept.k_proj)
    dx_v, gradients["v_proj.weight"] = project_backward(merge_heads(dv), kept.v_proj)
    return dx_q + dx_k + dx_v, gradients


def _check(q: Array, k: Array, v: Array, first: int) -> None:
    if q.ndim != 4 or k.ndim != 4 or k.shape != v.shape:
        raise ValueError(f"queries, keys and values must be (B, heads, tokens, width): {q.shape}, {k.shape}, {v.shape}")
    (B, H, T, K), (rows, G, S, width) = q.shape, k.shape
    if (rows, width) != (B, K):
        raise ValueError(f"queries {q.shape} and keys {k.shape} must have as many rows and be as wide")
    if G == 0 or H % G:
        raise ValueError(f"{H} query heads cannot be shared out over {G} key and value heads: {G} must divide {H}")
    if first < 0 or first + T != S:
        raise ValueError(f"{T} queries from position {first} on need {first + T} keys, not {S}")
