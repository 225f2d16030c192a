"""How byte-pair encoding splits a word, merge by merge, in plain sight.

Sennrich, Haddow and Birch 2016, arXiv:1508.07909, section 3.2: begin with single characters;
as long as some neighbours can be joined, join those that were learned to be joined first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

# When neighbours may be joined: the lower the earlier; None means never. Further numbers, where
# there are some, decide between equal first ones.
Rank = Callable[[str, str], tuple[float, ...] | None]


@dataclass(frozen=True)
class Merge:
    """One step: of the `pieces` there were, numbers `at` and `at + 1` are joined.

    `rank` is the place in the list of merges, 0 for the first; for a vocabulary with scores
    (SentencePiece) it is minus the score of the joined piece.
    """

    pieces: tuple[str, ...]
    at: int
    rank: float


@dataclass(frozen=True)
class Split:
    r"""How one word of a text, characters `start` to `end`, became tokens.

    In `pieces`, and in each step's, what is not a whole character is written as `\xe2`. There
    are no steps where no merge leads to the tokens: a single character, a token that is matched
    as a whole, or a word that the tokenizer looks up before it tries merges.
    """

    text: str
    start: int
    end: int
    steps: tuple[Merge, ...]
    pieces: tuple[str, ...]
    ids: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON would have it."""
        return asdict(self)


def merge_steps(pieces: Sequence[str], rank: Rank) -> Iterator[Merge]:
    """Each merge until no neighbours can be joined; of equal ranks, the leftmost first.

    >>> order = {("l", "o"): (0,), ("lo", "w"): (1,), ("e", "r"): (2,)}
    >>> for step in merge_steps("lower", lambda a, b: order.get((a, b))):
    ...     print(" ".join(step.pieces), "->", step.at, step.rank)
    l o w e r -> 0 0
    lo w e r -> 0 1
    low e r -> 1 2
    """
    now = list(pieces)
    while True:
        neighbours = enumerate(pairwise(now))
        ranked = [(r, i) for i, (a, b) in neighbours if (r := rank(a, b)) is not None]
        if not ranked:
            return
        best, at = min(ranked)
        yield Merge(tuple(now), at, best[0])
        now[at : at + 2] = [now[at] + now[at + 1]]


def merged(step: Merge) -> tuple[str, ...]:
    """The pieces after a step.

    >>> merged(Merge(("lo", "w", "e"), 0, 1))
    ('low', 'e')
    """
    pieces, at = step.pieces, step.at
    return (*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :])


def rank_in(merges: Sequence[tuple[str, str]]) -> Rank:
    """Ranks by place in a list of merges, best first.

    >>> rank_in([("l", "o"), ("lo", "w")])("lo", "w")
    (1,)
    """
    places = {pair: (place,) for place, pair in enumerate(merges)}
    return lambda left, right: places.get((left, right))
