"""What the arrays of a reading must be: whoever shows them counts on it, and a stranger may have
written the file that they are read from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.trace.trace import Array

CERTAIN = 0.01  # a log-probability of 1, and what rounding may add to it

_Bound = float | Sequence[int]  # one for all, or one for each place of the last axis


@dataclass(frozen=True)
class Form:
    """The shape of an array and the range of its numbers, float32 or if `whole` int64.

    A name in the shape is a length that all arrays of a reading have in common. Where something may
    be `missing`, NaN and -inf are allowed. An infinite bound stands for the largest number that the
    run can have.
    """

    shape: tuple[int | str, ...]
    low: _Bound = -math.inf
    high: _Bound = math.inf
    whole: bool = False
    missing: bool = False

    def check(self, array: Array, lengths: dict[str, int], largest: float) -> None:
        """Raises ValueError for another array; `lengths` are the names' so far, and grow."""
        shape, dtype = self._shape(array, lengths), np.dtype(np.int64 if self.whole else np.float32)
        if array.shape != shape or array.dtype != dtype:
            given = f"{array.dtype} {list(array.shape)}"
            raise ValueError(f"is {given}, not {dtype} {list(shape)}")
        low = -largest if self.low == -math.inf else self.low
        high = largest if self.high == math.inf else self.high
        wrong = ~((array >= np.asarray(low)) & (array <= np.asarray(high)))
        if self.missing:
            wrong &= ~(np.isnan(array) | np.isneginf(array))
        if wrong.any():
            raise ValueError(f"has {array[wrong][0]}, not {_range(low, high)}")

    def _shape(self, array: Array, lengths: dict[str, int]) -> tuple[int, ...]:
        if array.ndim != len(self.shape):
            return tuple(lengths.get(n, 0) if isinstance(n, str) else n for n in self.shape)
        for name, size in zip(self.shape, array.shape, strict=True):
            if isinstance(name, str):
                lengths.setdefault(name, size)
        return tuple(lengths[n] if isinstance(n, str) else n for n in self.shape)


def _range(low: _Bound, high: _Bound) -> str:
    if isinstance(low, Sequence) and low == high:
        return f"those that were asked for, {str(low)[:80]}"
    return f"from {low} to {high}"


def floats(*shape: int | str, low: float = -math.inf, high: float = math.inf) -> Form:
    """Numbers, each of them finite."""
    return Form(shape, low, high)


def logprobs(*shape: int | str, missing: bool = False) -> Form:
    """Logarithms of probabilities."""
    return Form(shape, high=CERTAIN, missing=missing)


def counts(*shape: int | str, low: _Bound = 0, high: _Bound) -> Form:
    """Whole numbers within bounds."""
    return Form(shape, low, high, whole=True)


def exactly(values: Sequence[int]) -> Form:
    """Just these whole numbers."""
    return Form((len(values),), values, values, whole=True)


def check(forms: Mapping[str, Form], arrays: Mapping[str, Array], largest: float) -> None:
    """Raises ValueError where arrays are others than these, or one of them is not of its form;
    `largest` is the largest number that the run can have.
    """
    for name in forms.keys() ^ arrays.keys():
        raise ValueError(f"{name[:80]} is {'missing' if name in forms else 'no part of it'}")
    lengths: dict[str, int] = {}
    for name, form in forms.items():
        try:
            form.check(arrays[name], lengths, largest)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
