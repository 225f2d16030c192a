"""What keeps the groups of a beam search apart."""

from __future__ import annotations

from typing import Self

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter


class Earlier:
    """The tokens that the groups before a beam's own chose in this step; its group says them."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def append(self, token: int) -> None:
        """They are those of a step."""
        self.tokens = []

    def drop(self, count: int) -> None:
        """They are those of a step."""
        self.tokens = []

    def fork(self) -> Self:
        """A fork is told its own."""
        return type(self)()


def diversity_penalty(
    candidates: Candidates, _: Context, earlier: Earlier, penalty: float
) -> Candidates:
    """Subtract from each token for every time that an earlier group chose it in this step.

    Hamming diversity: Vijayakumar et al. 2016, arXiv:1610.02424.
    """
    if not earlier.tokens:
        return candidates
    tokens, times = np.unique(np.array(earlier.tokens), return_counts=True)
    penalties = np.float32(penalty) * times.astype(np.float32)
    return candidates.changed(tokens, candidates.scores_of(tokens) - penalties)


ROWS = (Filter(diversity_penalty, ("diversity_penalty",), lambda _task, _penalty: Earlier()),)
