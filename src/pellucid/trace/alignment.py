"""Which tokens of two runs stand for each other: the same ones, and those between them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher

Pair = tuple[int, int]  # rows of the two runs; -1 where one has none

NONE = -1


def aligned(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[Pair]:
    """The rows of two runs side by side, in order, each of them once.

    Equal tokens are paired, as many as an edit script finds. Between them, as many tokens as there
    are on the other side are paired one by one; where the numbers differ, none are.

    >>> aligned([5, 6, 7], [5, 9, 7])
    [(0, 0), (1, 1), (2, 2)]
    >>> aligned([5, 6, 7], [5, 7, 8])
    [(0, 0), (1, -1), (2, 1), (-1, 2)]
    """
    start = _alike(left, right)
    end = _alike(left[start:][::-1], right[start:][::-1])
    stops = len(left) - end, len(right) - end
    between = _matched(left[start : stops[0]], right[start : stops[1]])
    return [
        *((i, i) for i in range(start)),
        *((i if i < 0 else i + start, j if j < 0 else j + start) for i, j in between),
        *((stops[0] + i, stops[1] + i) for i in range(end)),
    ]


def _alike(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """How many tokens two runs have in common from their start."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def _matched(left: Sequence[Hashable], right: Sequence[Hashable]) -> Iterator[Pair]:
    for tag, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal" or j - i == m - k:
            yield from zip(range(i, j), range(k, m), strict=True)
        else:
            yield from ((row, NONE) for row in range(i, j))
            yield from ((NONE, row) for row in range(k, m))
