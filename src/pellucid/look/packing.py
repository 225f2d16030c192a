"""Queries and keys, packed so that a page can carry all of a text's attention.

A row of a head is whole numbers of 12 or 16 bits, times one float32: the largest number of the row
fits exactly. The browser computes patterns from them; docs/look.md says how near they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pellucid.weights.tensor import Floats

Bits = Literal[12, 16]


@dataclass(frozen=True)
class PackedRows:
    """Rows of heads as unsigned whole numbers, half their range standing for zero.

    `scales` is `[heads, rows]` float32. `high` has the upper 8 bits of each number,
    `[heads, rows, head_dim]`; `low` the others: a byte each of 16, of 12 two a byte, the earlier
    number in its lower half. Sorted so, the upper bits deflate; the lower ones are noise.
    """

    bits: Bits
    scales: Floats
    high: npt.NDArray[np.uint8]
    low: npt.NDArray[np.uint8]

    @classmethod
    def pack(cls, rows: Floats, bits: Bits) -> PackedRows:
        """Pack `[rows, heads, head_dim]`."""
        by_head = np.ascontiguousarray(rows.transpose(1, 0, 2), np.float32)
        middle = 1 << (bits - 1)
        largest = np.maximum(by_head.max(-1), -by_head.min(-1))  # [heads, rows]
        scales = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(middle - 1)
        # Adding the middle and a half, then cutting, is rounding: all are positive by then.
        numbers = by_head / scales[..., None]
        numbers += np.float32(middle + 0.5)
        whole = numbers.astype(np.uint16)
        high = (whole >> (bits - 8)).astype(np.uint8)
        low = whole.astype(np.uint8)
        return cls(bits, scales, high, low if bits == 16 else _nibbles(low))

    def unpack(self) -> Floats:
        """The rows as they are after the journey, `[rows, heads, head_dim]` float32."""
        rest = self.low if self.bits == 16 else _from_nibbles(self.low, self.high.size)
        whole = (self.high.astype(np.int32) << (self.bits - 8)) + rest.reshape(self.high.shape)
        numbers = (whole - (1 << (self.bits - 1))).astype(np.float32)
        return np.ascontiguousarray((numbers * self.scales[..., None]).transpose(1, 0, 2))

    def to_figure(self) -> dict[str, Any]:
        """What `unpack` of web/src/attention.ts reads."""
        return {"bits": self.bits, "scales": self.scales, "high": self.high, "low": self.low}


def _nibbles(low: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    flat = low.reshape(-1)
    flat = np.append(flat, np.uint8(0)) if flat.size % 2 else flat
    return (flat[::2] & np.uint8(15)) | (flat[1::2] << np.uint8(4))


def _from_nibbles(packed: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    return np.stack((packed & 15, packed >> 4), -1).reshape(-1)[:size]
