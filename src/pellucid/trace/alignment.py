"""Which tokens of two runs stand for each other: the same ones, and those between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

Pair = tuple[int, int]  # rows of the two runs; -1 where one has none

NONE = -1


def aligned(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[Pair]:
    """The rows of two runs side by side, in order, each of them once.

    As many equal tokens as possible are paired. Between them, as many tokens as there are on the
    other side are paired one by one; where the numbers differ, none are.

    >>> aligned([5, 6, 7], [5, 9, 7])
    [(0, 0), (1, 1), (2, 2)]
    >>> aligned([5, 6, 7], [5, 7, 8])
    [(0, 0), (1, -1), (2, 1), (-1, 2)]
    """
    pairs: list[Pair] = []
    after = 0, 0
    for i, j in [*_equal(left, right), (len(left), len(right))]:
        pairs += _between(range(after[0], i), range(after[1], j))
        pairs.append((i, j))
        after = i + 1, j + 1
    return pairs[:-1]


def _between(left: range, right: range) -> Iterator[Pair]:
    if len(left) == len(right):
        yield from zip(left, right, strict=True)
    else:
        yield from ((row, NONE) for row in left)
        yield from ((NONE, row) for row in right)


def _equal(left: Sequence[Hashable], right: Sequence[Hashable]) -> Iterator[Pair]:
    """What two runs have in common at their ends, and most of what they have between."""
    start = _alike(left, right)
    end = _alike(left[start:][::-1], right[start:][::-1])
    stops = len(left) - end, len(right) - end
    yield from ((i, i) for i in range(start))
    for i, j in _common(left[start : stops[0]], right[start : stops[1]]):
        yield start + i, start + j
    yield from ((stops[0] + i, stops[1] + i) for i in range(end))


def _alike(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """How many tokens two runs have in common from their start."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def _common(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[Pair]:
    """A longest common subsequence, by the bits of whole numbers (Hyyrö 2004, "Bit-parallel LCS").

    difflib's matcher takes time by the cube of the length where a text repeats itself: minutes for
    4,096 tokens, and this a hundredth of a second, whatever they are.
    """
    places: defaultdict[Hashable, int] = defaultdict(int)
    for j, token in enumerate(right):
        places[token] |= 1 << j
    every = (1 << len(right)) - 1
    steps = [
        every
    ]  # a row for each of left: bit j is 0 where right[: j + 1] has one more in common
    for token in left:
        met = steps[-1] & places.get(token, 0)
        steps.append((steps[-1] + met | steps[-1] - met) & every)
    found: list[Pair] = []
    i, j = len(left), len(right)
    while i and j:
        if steps[i] >> (j - 1) & 1:
            j -= 1
        elif left[i - 1] != right[j - 1]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            found.append((i, j))
    return found[::-1]
