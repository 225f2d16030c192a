"""The dozen operations a forward needs, and what a backend is: whoever computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from pellucid.model.config import Rope
from pellucid.model.run import Run

Array = Any  # the backend's own: a numpy array or a torch tensor, alike in +, * and slicing
Ids = npt.NDArray[np.int64]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]


@dataclass(frozen=True)
class Linear:
    """A weight `[out, in]` and a bias `[out]` or None: x -> x weight^T + bias."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class Norm:
    """The gain `[width]` of a norm, and its bias or None."""

    weight: Array
    bias: Array | None = None


class Ops(Protocol):
    """How the operations of the forward are computed, and where the numbers live.

    Arrays are `[rows, ...]`: one row a token, whichever sequence it belongs to. `+` and `*` are
    the arrays' own.
    """

    def embed(self, table: Array, ids: Ids) -> Array:
        """Rows of a table: `[rows]` -> `[rows, width]`."""

    def linear(self, x: Array, linear: Linear) -> Array:
        """`[rows, in]` -> `[rows, out]`."""

    def norm(self, x: Array, norm: Norm, kind: Literal["rms", "layer"], eps: float) -> Array:
        """Normalise the last axis, whatever comes before it."""

    def split(self, x: Array, heads: int) -> Array:
        """`[rows, heads * head_dim]` -> `[rows, heads, head_dim]`."""

    def turns(self, rope: Rope, positions: Ids) -> Array:
        """What `rotate` needs for these positions; made once a pass for every distinct rope."""

    def rotate(self, x: Array, turns: Array) -> Array:
        """Turn each head by its row's position: `[rows, heads, head_dim]` -> the same."""

    def attend(
        self,
        q: Array,
        k: Array,
        v: Array,
        run: Run,
        layer: int,
        *,
        window: int | None,
        scale: float,
        softcap: float | None,
    ) -> Array:
        """Attention of each row over its own sequence, up to itself; keeps k and v in the caches.

        q `[rows, heads, head_dim]`, k and v `[rows, kv_heads, head_dim]`; the result is
        `[rows, heads * head_dim]`.
        """

    def activate(self, x: Array, kind: Activation) -> Array:
        """The activation function, number by number."""

    def softcap(self, x: Array, cap: float) -> Array:
        """cap * tanh(x / cap): bounds without clipping."""

    def mix_experts(
        self,
        x: Array,
        scores: Array,
        experts: Sequence[Callable[[Array], Array]],
        chosen: int,
        renormalise: bool,
    ) -> Array:
        """Each row through the `chosen` experts of highest score, summed by softmax weight.

        x `[rows, hidden]`, scores `[rows, experts]` -> `[rows, hidden]`.
        """

    def take(self, x: Array, rows: Ids) -> Array:
        """Some rows: `[rows, width]` -> `[len(rows), width]`."""

    def site(self, x: Array, name: str, run: Run) -> Array:
        """x itself, where nobody watches or changes that site (`model.sites`) in this run."""
