"""Arrays of a file by name, as what they must be: a stranger may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def whole(arrays: Mapping[str, Array], name: str) -> npt.NDArray[np.int64]:
    """A column of whole numbers. Raises KeyError where it is not there, ValueError for another."""
    return _column(arrays, name, np.int64)


def numbers(arrays: Mapping[str, Array], name: str) -> Array:
    """A column of numbers, float32 or float64. Raises as `whole`."""
    return _column(arrays, name, np.floating)


def within(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Those whose name begins so, by the rest of it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _column(arrays: Mapping[str, Array], name: str, kind: type[np.generic]) -> Array:
    array = arrays[name]
    if array.ndim != 1 or not np.issubdtype(array.dtype, kind):
        of = "whole numbers" if kind is np.int64 else "numbers"
        raise ValueError(f"{name} is {array.dtype} {list(array.shape)}, not a column of {of}")
    return array
