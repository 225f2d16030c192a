"""Attention, written out in NumPy: what each row may see, its scores, its pattern, its mixture.

The reference backend computes with it; for the others it says what their attention did.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def visible(rows: Ids, columns: Ids, window: int | None) -> Mask:
    """Which positions each row may look at: itself, and those before it within the window.

    >>> visible(np.arange(3), np.arange(3), window=2).astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [0, 1, 1]])
    """
    distance = rows[:, None] - columns
    return (distance >= 0) & (distance < window) if window else distance >= 0


def softmax(x: F) -> F:
    """exp(x) / sum(exp(x)) over the last axis, without overflow."""
    e = np.exp(x - x.max(-1, keepdims=True))
    y: F = e / e.sum(-1, keepdims=True)
    return y


def scores(q: F, k: F, mask: Mask, scale: float, softcap: float | None) -> F:
    """How well keys fit queries, scaled and capped, -inf where hidden: `[heads, rows, n]`.

    q `[rows, heads, head_dim]`, k `[n, kv_heads, head_dim]`, mask `[rows, n]`.
    """
    rows, heads, head_dim = q.shape
    kv_heads = k.shape[1]
    # Query heads that share a key head are its group: [kv_heads, group * rows, head_dim].
    by_head = q.reshape(rows, kv_heads, -1, head_dim).transpose(1, 2, 0, 3)
    grouped = by_head.reshape(kv_heads, -1, head_dim)
    fit = grouped @ k.transpose(1, 2, 0) * np.float32(scale)
    if softcap:
        fit = np.tanh(fit / np.float32(softcap)) * np.float32(softcap)
    return np.where(mask, fit.reshape(heads, rows, len(k)), np.float32(-np.inf))


def mix(pattern: F, v: F) -> F:
    """Values, weighed by a pattern `[heads, rows, n]`: `[rows, heads, head_dim]`.

    v `[n, kv_heads, head_dim]`.
    """
    heads, rows, n = pattern.shape
    mixed = pattern.reshape(v.shape[1], -1, n) @ v.transpose(1, 0, 2)
    return mixed.reshape(heads, rows, -1).transpose(1, 0, 2)
