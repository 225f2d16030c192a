"""Queries and keys, packed so that a page can carry all of a text's attention.

Each dimension of a head is whole numbers of 12 or 16 bits between its least and its largest value.
A few dimensions of real heads are far from zero and hardly change: with a range of its own, each
loses no more than its own share, where a scale for each row lost five times as much of a pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pellucid.weights.tensor import Floats

Bits = Literal[12, 16]

# A pattern was off by 0.34 to 0.83 times `deviation` at most, in each layer of SmolLM2 and Gemma 3,
# packed by 12 and by 16 bits. So by less than 0.005 where that is:
_ALLOWED = 0.006
_SHORT_BYTES = 6 << 20  # of queries and keys in 16 bits: a page of 8 MiB


@dataclass(frozen=True)
class PackedRows:
    """Rows of heads, `[heads, rows, head_dim]`, as whole numbers: value = offset + step * number.

    `offsets` and `steps` are `[heads, head_dim]` float32. `high` has the upper 8 bits of each
    number, `low` the others: of 16 bits a byte each, of 12 two a byte, the earlier number in its
    lower half. Sorted so, the upper bits deflate; the lower ones are noise.
    """

    bits: Bits
    offsets: Floats
    steps: Floats
    high: npt.NDArray[np.uint8]
    low: npt.NDArray[np.uint8]

    @classmethod
    def pack(cls, rows: Floats, bits: Bits) -> PackedRows:
        """Pack `[rows, heads, head_dim]`."""
        by_head = np.ascontiguousarray(rows.transpose(1, 0, 2), np.float32)
        offsets, steps = by_head.min(1), np.ptp(by_head, 1) / np.float32((1 << bits) - 1)
        numbers = (by_head - offsets[:, None]) / np.where(steps, steps, 1)[:, None]
        whole = (numbers + np.float32(0.5)).astype(np.uint16)  # none is negative: that rounds
        high, low = (whole >> (bits - 8)).astype(np.uint8), whole.astype(np.uint8)
        return cls(bits, offsets, steps, high, low if bits == 16 else _nibbles(low))

    def unpack(self) -> Floats:
        """The rows as they are after the journey, `[rows, heads, head_dim]` float32."""
        rest = self.low if self.bits == 16 else _from_nibbles(self.low, self.high.size)
        whole = (self.high.astype(np.int32) << (self.bits - 8)) + rest.reshape(self.high.shape)
        values = self.offsets[:, None] + self.steps[:, None] * whole.astype(np.float32)
        return np.ascontiguousarray(values.transpose(1, 0, 2))

    def to_figure(self) -> dict[str, Any]:
        """What `unpack` of web/src/attention.ts reads."""
        return {
            "bits": self.bits,
            "offsets": self.offsets,
            "steps": self.steps,
            "high": self.high,
            "low": self.low,
        }


Pair = tuple[PackedRows, PackedRows]


def pack(
    queries: Sequence[Floats], keys: Sequence[Floats], groups: Sequence[int], scale: float
) -> list[Pair]:
    """Queries and keys of some layers: in 16 bits where the text is short or a layer needs it, in
    12 elsewhere. `groups` says which of the keys' heads each head reads.
    """
    short = 2 * sum(rows.size for rows in (*queries, *keys)) <= _SHORT_BYTES
    packed = []
    for q, k in zip(queries, keys, strict=True):
        pair = _pair(q, k, 16 if short else 12)
        packed.append(pair if deviation(q, k, groups, scale, pair) < _ALLOWED else _pair(q, k, 16))
    return packed


def _pair(q: Floats, k: Floats, bits: Bits) -> Pair:
    return PackedRows.pack(q, bits), PackedRows.pack(k, bits)


def deviation(q: Floats, k: Floats, groups: Sequence[int], scale: float, packed: Pair) -> float:
    """What packing does to scores, at worst: their standard deviation, rounding being uniform.

    What a key has in common with all others moves a row's scores together, and its pattern not.
    """
    of_q, of_k = packed
    keys = (k - k.mean(0))[:, groups]
    with np.errstate(over="ignore"):  # more than float32 holds is more than is allowed
        from_k = np.einsum("rhd,hd->rh", q * q, of_k.steps[groups] ** 2).max(0)  # [heads]
        from_q = np.einsum("rhd,hd->rh", keys * keys, of_q.steps**2).max(0)
    return scale * float(np.sqrt((from_k + from_q).max() / 12))


def _nibbles(low: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    flat = low.reshape(-1)
    flat = np.append(flat, np.uint8(0)) if flat.size % 2 else flat
    return (flat[::2] & np.uint8(15)) | (flat[1::2] << np.uint8(4))


def _from_nibbles(packed: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    return np.stack((packed & 15, packed >> 4), -1).reshape(-1)[:size]
