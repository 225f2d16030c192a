"""Positions of a sequence: one, several or a range, counted from its start; typed `4`, `1,7`, `2:`.

A sequence that grows has no end to count from, so none are counted from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import ParameterError

Given = int | range | slice | Sequence[int]
Chosen = slice | tuple[int, ...]  # in plain form: a slice has its start and its step


def chosen(given: Given) -> Chosen:
    """Positions in their plain form. Raises ParameterError for what are none.

    >>> chosen(4), chosen(slice(2, None)), chosen(range(0, 6, 2))
    ((4,), slice(2, None, 1), slice(0, 6, 2))
    """
    if not isinstance(given, slice | range):
        return tuple(_checked(given).ravel().tolist())
    start, step = given.start or 0, 1 if given.step is None else given.step
    bounds = [start, step] if given.stop is None else [start, step, given.stop]
    start, step, *stop = _checked(bounds).tolist()
    if step < 1 or (stop and stop[0] <= start):
        raise ParameterError("positions", f"there are none in {given}")
    return slice(start, stop[0] if stop else None, step)


def among(these: Chosen, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of a sequence's positions are among these, `[n]`."""
    if isinstance(these, tuple):
        return np.isin(positions, these)
    inside = np.asarray(positions >= these.start)
    inside &= (positions - these.start) % these.step == 0
    return inside if these.stop is None else inside & (positions < these.stop)


def spelled(these: Chosen) -> str:
    """Positions as they are typed.

    >>> spelled((1, 7)), spelled(slice(2, None, 1)), spelled(slice(0, 9, 3))
    ('1,7', '2:', '0:9:3')
    """
    if isinstance(these, tuple):
        return ",".join(map(str, these))
    stop = "" if these.stop is None else these.stop
    return f"{these.start}:{stop}" + (f":{these.step}" if these.step != 1 else "")


def read(text: str) -> Chosen:
    """Positions that were typed. Raises ParameterError for what are none.

    >>> read("4"), read("2:"), read("1,7")
    ((4,), slice(2, None, 1), (1, 7))
    """
    try:
        if ":" not in text:
            return chosen([int(part) for part in text.split(",")])
        start, stop, *step = (int(part) if part else None for part in text.split(":"))
        return chosen(slice(start, stop, *step))
    except (TypeError, ValueError):
        raise ParameterError("positions", f"must be as 4, 1,7 or 2:9, not {text!r:.60}") from None


def _checked(given: Any) -> npt.NDArray[np.int64]:
    try:
        numbers = np.asarray(given)
    except ValueError:  # lists of unequal length
        numbers = np.empty((0, 0))
    if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or not numbers.size:
        reason = "must be a whole number, several in a list, a range or a slice"
        raise ParameterError("positions", f"{reason}, not {given!r:.60}")
    if (numbers < 0).any():
        reason = "count from the start, 0 or more: a sequence that grows has no end to count from"
        raise ParameterError("positions", reason)
    return numbers.astype(np.int64)
