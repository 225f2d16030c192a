"""One stored tensor: where its bytes are, how they are packed, and how to read them as float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """How a tensor's numbers are packed: `block_bytes` hold `block_size` numbers of a row.

    `unpack` turns blocks `[n, block_bytes]` of uint8 into numbers `[n, block_size]` of float32.
    """

    name: str
    block_size: int
    block_bytes: int
    unpack: Callable[[Bytes], Floats]

    def row_bytes(self, columns: int) -> int:
        """Bytes of a row of `columns` numbers; the caller has checked that blocks fill it."""
        return columns // self.block_size * self.block_bytes


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
        blocks = np.ascontiguousarray(self.data).reshape(-1, self.kind.block_bytes)
        return self.kind.unpack(blocks).reshape(self.shape)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Tensor:
        """Some rows of a matrix, in the order given; still packed, and a view if a slice."""
        data = self.data[rows]
        return replace(self, data=data, shape=(len(data), *self.shape[-1:]))
