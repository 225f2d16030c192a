"""The forward in PyTorch: float32 or bfloat16, CPU or CUDA, and differentiable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from pellucid.backends.eager import Eager
from pellucid.errors import ParameterError
from pellucid.model.cache import Cache
from pellucid.model.config import Rope
from pellucid.model.ops import Activation, Ids, Linear, Norm
from pellucid.model.run import Run
from pellucid.weights.tensor import Tensor

T: TypeAlias = torch.Tensor


class Torch(Eager):
    """Operations on torch tensors of one dtype on one device.

    Norms, turns and the softmax of experts are computed in float32 whatever the dtype, as
    transformers does.
    """

    name = "torch"

    def __init__(self, dtype: str = "float32", device: str = "cpu") -> None:
        if dtype not in ("float32", "bfloat16"):
            raise ParameterError("dtype", f"must be float32 or bfloat16, not {dtype!r}")
        self.dtype: torch.dtype = getattr(torch, dtype)
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device).item()  # "meta" allocates, but computes nothing
        except (RuntimeError, AssertionError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ParameterError("device", f"{device!r} cannot be used: {reason}") from error

    def settings(self) -> dict[str, str]:
        return {"dtype": str(self.dtype).removeprefix("torch."), "device": str(self.device)}

    def inference(self) -> AbstractContextManager[object]:
        context: AbstractContextManager[object] = torch.inference_mode()
        return context

    def weight(self, tensor: Tensor, *, vocabulary: bool = False) -> T:
        return torch.from_numpy(tensor.float32()).to(self.device, self.dtype)

    def norm_weight(self, tensor: Tensor) -> T:
        return torch.from_numpy(tensor.float32()).to(self.device)

    def embed(self, table: T, ids: Ids) -> T:
        return functional.embedding(self._ids(ids), table)

    def linear(self, x: T, linear: Linear) -> T:
        return functional.linear(x, linear.weight, linear.bias)

    def norm(self, x: T, norm: Norm, kind: Literal["rms", "layer"], eps: float) -> T:
        x = x.float()
        if kind == "layer":
            x = x - x.mean(-1, keepdim=True)
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        y: T = x * norm.weight
        return (y if norm.bias is None else y + norm.bias).to(self.dtype)

    def split(self, x: T, heads: int) -> T:
        return x.view(len(x), heads, -1)

    def turns(self, rope: Rope, positions: Ids) -> tuple[T, T]:
        frequencies = torch.from_numpy(rope.frequencies()).to(self.device)
        angles = self._ids(positions).float()[:, None, None] * frequencies
        return (  # [rows, 1, dims / 2]
            (angles.cos() * rope.gain).to(self.dtype),
            (angles.sin() * rope.gain).to(self.dtype),
        )

    def rotate(self, x: T, turns: tuple[T, T]) -> T:
        cos, sin = turns
        half = cos.shape[-1]
        a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)

    def attend(
        self,
        q: T,
        k: T,
        v: T,
        run: Run,
        layer: int,
        *,
        window: int | None,
        scale: float,
        softcap: float | None,
    ) -> T:
        mixed = []
        for segment, span in zip(run.segments, run.spans, strict=True):
            keys, values = k[span], v[span]
            if segment.cache:
                assert isinstance(segment.cache, Cache)
                keys, values = segment.cache.write(layer, keys, values)
            seen = max(0, segment.start - window + 1) if window else 0
            mixed.append(_attend(q[span], keys[seen:], values[seen:], window, scale, softcap))
        return torch.cat(mixed).reshape(len(q), -1)

    def activate(self, x: T, kind: Activation) -> T:
        return _ACTIVATIONS[kind](x)

    def softcap(self, x: T, cap: float) -> T:
        return torch.tanh(x / cap) * cap

    def mix_experts(
        self,
        x: T,
        scores: T,
        experts: Sequence[Callable[[T], T]],
        chosen: int,
        renormalise: bool,
    ) -> T:
        weights, top = scores.float().softmax(-1).topk(chosen, dim=-1)  # [rows, chosen]
        if renormalise:
            weights = weights / weights.sum(-1, keepdim=True)
        mixed = torch.zeros_like(x)
        for number in sorted(set(top.flatten().tolist())):
            rows, place = torch.nonzero(top == number, as_tuple=True)
            share = weights[rows, place, None].to(x.dtype)
            mixed = mixed.index_add(0, rows, share * experts[number](x[rows]))
        return mixed

    def take(self, x: T, rows: Ids) -> T:
        return x[self._ids(rows)]

    def allocate(self, shape: tuple[int, ...]) -> T:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def numpy(self, x: T) -> npt.NDArray[np.float32]:
        array: npt.NDArray[np.float32] = x.detach().float().cpu().numpy()
        return array

    def array(self, x: npt.NDArray[np.float32]) -> T:
        return torch.from_numpy(x).to(self.device, self.dtype)

    def _ids(self, ids: Ids) -> T:
        return torch.from_numpy(ids).to(self.device)


def _attend(q: T, k: T, v: T, window: int | None, scale: float, softcap: float | None) -> T:
    # The last rows of a sequence, [rows, heads, d], over its keys and values, [n, kv_heads, d].
    rows, n = len(q), len(k)
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))  # [1, heads, rows, d]
    if softcap:
        return _attend_capped(q, k, v, _mask(rows, n, window, q.device), scale, softcap)
    whole = rows == n and (window is None or window >= n)
    mixed = functional.scaled_dot_product_attention(
        q, k, v,
        attn_mask=None if whole or rows == 1 else _mask(rows, n, window, q.device),
        is_causal=whole and rows > 1,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
    return mixed[0].transpose(0, 1)


def _attend_capped(q: T, k: T, v: T, mask: T, scale: float, softcap: float) -> T:
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.tanh(q @ k.transpose(-1, -2) * scale / softcap) * softcap
    pattern = scores.masked_fill(~mask, -torch.inf).float().softmax(-1).to(q.dtype)
    return (pattern @ v)[0].transpose(0, 1)


def _mask(rows: int, n: int, window: int | None, device: torch.device) -> T:
    """True where a row may look: `[rows, n]`; the last row is the last of the n."""
    distance = torch.arange(n - rows, n, device=device)[:, None] - torch.arange(n, device=device)
    return (distance >= 0) & (distance < window) if window else distance >= 0


_ACTIVATIONS: dict[Activation, Callable[[T], T]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}
