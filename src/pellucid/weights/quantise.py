"""Numbers packed on the way in: to 8 or to 4 bits, in GGML's own blocks of 32.

Source of the formats and their rounding: ggml-quants.c, the reference functions for Q8_0 and Q4_1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pellucid.weights.kinds import GGML
from pellucid.weights.tensor import Bytes, Floats, Tensor

_BLOCK = 32
_ROWS_AT_ONCE = 4096  # bounds what is unpacked at a time


def quantised(tensor: Tensor, kind: str) -> Tensor:
    """The same matrix packed as `kind`, Q8_0 or Q4_1.

    A number changes by at most half a step of its block: 1/254 of the block's largest, or 1/30 of
    its range; by more where that is below 0.001, since a step is a float16. A matrix whose rows are
    not whole blocks is returned as it is.

    >>> import numpy as np
    >>> matrix = Tensor.of("m", np.arange(64, dtype=np.float32).reshape(2, 32))
    >>> quantised(matrix, "Q8_0").nbytes, float(quantised(matrix, "Q8_0").float32()[1, 31])
    (68, 63.00390625)
    """
    rows, columns = tensor.shape
    if columns % _BLOCK:
        return tensor
    number, pack = _PACKERS[kind]
    packed = [
        pack(tensor.take(slice(row, row + _ROWS_AT_ONCE)).float32().reshape(-1, _BLOCK))
        for row in range(0, rows, _ROWS_AT_ONCE)
    ]
    return Tensor(tensor.name, tensor.shape, GGML[number], np.concatenate(packed).reshape(rows, -1))


def _q8_0(blocks: Floats) -> Bytes:
    """A float16 step, then 32 signed bytes; ties away from zero."""
    step = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = blocks * _inverse(step)
    codes = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)
    return np.concatenate([_halves(step), codes.view(np.uint8)], axis=1)


def _q4_1(blocks: Floats) -> Bytes:
    """A float16 step and minimum, then 32 codes: the first 16 in the low halves of 16 bytes."""
    least = blocks.min(axis=1, keepdims=True)
    step = (blocks.max(axis=1, keepdims=True) - least) / np.float32(15)
    codes = ((blocks - least) * _inverse(step) + np.float32(0.5)).astype(np.uint8).clip(max=15)
    nibbles = codes[:, :16] | codes[:, 16:] << 4
    return np.concatenate([_halves(step), _halves(least), nibbles], axis=1)


def _inverse(step: Floats) -> Floats:
    """One over each step; zero where a block is constant."""
    return np.divide(np.float32(1), step, out=np.zeros_like(step), where=step != 0)


def _halves(numbers: Floats) -> Bytes:
    """float16, as bytes: `[blocks, 2]`."""
    return numbers.astype("<f2").view(np.uint8)


# kind -> its number in GGML's table, and how it is packed
_PACKERS: dict[str, tuple[int, Callable[[Floats], Bytes]]] = {
    "Q8_0": (8, _q8_0),
    "Q4_1": (3, _q4_1),
}
