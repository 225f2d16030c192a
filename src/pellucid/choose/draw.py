"""Random numbers, and the token that one of them draws."""

from __future__ import annotations

import numpy as np

from pellucid.choose.candidates import Candidates

_AHEAD = 64  # raw numbers that are made at once


class Draws:
    """A stream of random numbers from 0 up to 1, 53 bits each.

    The raw stream of PCG64 is used, which NumPy promises never to change (NEP 19), so the n-th
    number depends on the seed, the line and n alone. Each `line` of an answer that draws has a
    stream of its own, 2**127 numbers from the next.
    """

    def __init__(self, seed: int | None, line: int = 0) -> None:
        self._source = np.random.PCG64(seed).jumped(line) if line else np.random.PCG64(seed)
        self._next: list[int] = []  # last first; to ask for each takes 15 us in a step

    def uniform(self) -> float:
        """The next number."""
        if not self._next:
            self._next = (self._source.random_raw(_AHEAD)[::-1] >> 11).tolist()
        return self._next.pop() * 2.0**-53


def draw(candidates: Candidates, uniform: float) -> int:
    """The token at which the cumulative softmax, in order of ids, first exceeds `uniform`.

    >>> draw(Candidates(np.log(np.array([0.5, 0.25, 0.25], np.float32))), 0.6)
    1
    """
    return candidates.drawn(uniform)
