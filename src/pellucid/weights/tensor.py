"""One stored tensor: where its bytes are, how they are packed, and how to read them as float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_CHECKED_AT_ONCE = 65_536  # blocks; bounds the memory of a check, and stays in the cache


@dataclass(frozen=True)
class Kind:
    """How a tensor's numbers are packed: `block_bytes` hold `block_size` numbers of a row.

    `unpack` turns blocks `[n, block_bytes]` of uint8 into numbers `[n, block_size]` of float32.
    `scales` are the bytes of a block where a float16 starts, if a block's numbers are finite
    exactly when these are; None if only the numbers themselves can tell.
    """

    name: str
    block_size: int
    block_bytes: int
    unpack: Callable[[Bytes], Floats]
    scales: tuple[int, ...] | None = None

    def row_bytes(self, columns: int) -> int:
        """Bytes of a row of `columns` numbers; the caller has checked that blocks fill it."""
        return columns // self.block_size * self.block_bytes


def _unpack_float32(blocks: Bytes) -> Floats:
    return blocks.view("<f4").astype(np.float32)


PLAIN = Kind("F32", 1, 4, _unpack_float32)


@dataclass(frozen=True)
class Tensor:
    """A tensor as a file stores it, still packed; reading the numbers is left to `float32`.

    `shape` is row-major: the last axis is contiguous, whatever order the file writes it in.
    `data` is `[rows, row_bytes]` of uint8, a view of the memory map, with one row for each
    index of all axes but the last. Rows can be taken without unpacking.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    data: Bytes

    @classmethod
    def of(cls, name: str, numbers: Floats) -> Tensor:
        """A tensor that holds these numbers as they are, float32."""
        data = np.ascontiguousarray(numbers, np.float32)
        rows = prod(data.shape[:-1])
        return cls(name, data.shape, PLAIN, data.reshape(rows, -1).view(np.uint8))

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.data.nbytes

    @property
    def size(self) -> int:
        """How many numbers."""
        return prod(self.shape)

    def float32(self) -> Floats:
        """The numbers, `shape`, float32; a copy."""
        return self.kind.unpack(self._blocks()).reshape(self.shape)

    def is_finite(self) -> bool:
        """Whether no number is infinite or NaN. Of packed blocks, only the scales are read.

        A broken number in one weight makes every logit NaN, so whoever binds a model asks this
        first. It costs 7 ms for 100 MB of packed weights, 20 to 30 ms for 100 MB of 16-bit ones.
        """
        blocks = self._blocks()
        if self.kind.scales is not None:
            return all(_halves_are_finite(blocks[:, at : at + 2]) for at in self.kind.scales)
        parts = range(0, len(blocks), _CHECKED_AT_ONCE)
        unpacked = (self.kind.unpack(blocks[at : at + _CHECKED_AT_ONCE]) for at in parts)
        with np.errstate(all="ignore"):
            return all(bool(np.isfinite(numbers).all()) for numbers in unpacked)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Tensor:
        """Some rows of a matrix, in the order given; still packed, and a view if a slice."""
        data = self.data[rows]
        return replace(self, data=data, shape=(len(data), *self.shape[-1:]))

    def _blocks(self) -> Bytes:
        """Every block of every row, `[n, block_bytes]`."""
        return np.ascontiguousarray(self.data).reshape(-1, self.kind.block_bytes)


def _halves_are_finite(halves: Bytes) -> bool:
    """Whether no float16, `[n, 2]` bytes, has the exponent of infinity and NaN.

    The second byte alone holds the exponent, and is a fifth of the time of `np.isfinite`.
    """
    return not bool((halves[:, 1] & 0x7C == 0x7C).any())
