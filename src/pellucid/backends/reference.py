"""The specification: every operation of the forward in plain NumPy, float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from pellucid.backends.eager import Eager
from pellucid.model.attention import mix, scores, softmax, visible
from pellucid.model.cache import Cache
from pellucid.model.config import Rope
from pellucid.model.ops import Activation, Ids, Linear, Norm
from pellucid.model.run import Run
from pellucid.weights.tensor import Tensor

F = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 256  # bounds the score matrix of a long prompt: [heads, 256, context]


class Reference(Eager):
    """Operations on float32 numpy arrays; anyone can check them by eye."""

    name = "reference"

    def weight(self, tensor: Tensor, *, vocabulary: bool = False) -> F:
        return tensor.float32()

    def norm_weight(self, tensor: Tensor) -> F:
        return tensor.float32()

    def embed(self, table: F, ids: Ids) -> F:
        return table[ids]

    def linear(self, x: F, linear: Linear) -> F:
        y: F = x @ linear.weight.T
        return y if linear.bias is None else y + linear.bias

    def norm(self, x: F, norm: Norm, kind: Literal["rms", "layer"], eps: float) -> F:
        if kind == "layer":
            x = x - x.mean(-1, keepdims=True)
        y: F = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(eps)) * norm.weight
        return y if norm.bias is None else y + norm.bias

    def split(self, x: F, heads: int) -> F:
        return x.reshape(len(x), heads, -1)

    def turns(self, rope: Rope, positions: Ids) -> tuple[F, F]:
        angles = positions.astype(np.float32)[:, None, None] * rope.frequencies()
        gain = np.float32(rope.gain)
        return np.cos(angles) * gain, np.sin(angles) * gain  # [rows, 1, dims / 2]

    def rotate(self, x: F, turns: tuple[F, F]) -> F:
        cos, sin = turns
        half = cos.shape[-1]
        a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)

    def attend(
        self,
        q: F,
        k: F,
        v: F,
        run: Run,
        layer: int,
        *,
        window: int | None,
        scale: float,
        softcap: float | None,
    ) -> F:
        mixed = np.empty_like(q)
        for segment, span in zip(run.segments, run.spans, strict=True):
            keys, values = k[span], v[span]
            if segment.cache:
                assert isinstance(segment.cache, Cache)
                keys, values = segment.cache.write(layer, keys, values)
            for start in range(span.start, span.stop, _ROWS_AT_ONCE):
                rows = slice(start, min(start + _ROWS_AT_ONCE, span.stop))
                positions = run.positions[rows]
                seen = slice(max(0, positions[0] - window + 1) if window else 0, positions[-1] + 1)
                mask = visible(positions, np.arange(seen.start, seen.stop), window)
                pattern = softmax(scores(q[rows], keys[seen], mask, scale, softcap))
                mixed[rows] = mix(pattern, values[seen])
        return mixed.reshape(len(q), -1)

    def activate(self, x: F, kind: Activation) -> F:
        return _ACTIVATIONS[kind](x)

    def softcap(self, x: F, cap: float) -> F:
        y: F = np.tanh(x / np.float32(cap)) * np.float32(cap)
        return y

    def mix_experts(
        self,
        x: F,
        scores: F,
        experts: Sequence[Callable[[F], F]],
        chosen: int,
        renormalise: bool,
    ) -> F:
        weights = softmax(scores)  # [rows, experts]
        top = np.argsort(-weights, axis=-1, kind="stable")[:, :chosen]  # [rows, chosen]
        kept = np.zeros_like(weights)
        np.put_along_axis(kept, top, np.take_along_axis(weights, top, -1), -1)
        if renormalise:
            kept /= kept.sum(-1, keepdims=True)
        mixed = np.zeros_like(x)
        for number in np.unique(top):
            rows = np.nonzero((top == number).any(-1))[0]
            mixed[rows] += kept[rows, number, None] * experts[number](x[rows])
        return mixed

    def take(self, x: F, rows: Ids) -> F:
        return x[rows]

    def allocate(self, shape: tuple[int, ...]) -> F:
        return np.empty(shape, np.float32)

    def numpy(self, x: F) -> F:
        return x

    def array(self, x: F) -> F:
        return x


def _silu(x: F) -> F:
    # exp(-|x|) cannot overflow.
    e = np.exp(-np.abs(x))
    y: F = x * np.where(x >= 0, np.float32(1), e) / (1 + e)
    return y


def _gelu_tanh(x: F) -> F:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    y: F = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y


def _gelu(x: F) -> F:
    # NumPy has no erf. Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26:
    # within 1.5e-7, about half a float32 step at 1.
    z = np.abs(x.astype(np.float64)) * math.sqrt(0.5)
    t = 1 / (1 + 0.3275911 * z)
    series = (
        (((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
    ) + 0.254829592
    erf = np.sign(x) * (1 - series * t * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32)


def _relu(x: F) -> F:
    return np.maximum(x, np.float32(0))


_ACTIVATIONS: dict[Activation, Callable[[F], F]] = {
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": _relu,
}
