"""The ledger: what became of the leading candidates of one choice, filter by filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats

Probs = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Entry:
    """The candidates that are followed, at one point of the way. Arrays are `[followed]`.

    `name` is the filter after which this is, or "model" for what the model itself says. A removed
    candidate has minus infinity, probability 0 and rank 0. `left` counts all tokens that may still
    be chosen, `removed` is the probability, before this filter, of all that it removed.
    """

    name: str
    scores: Floats
    ranks: Ids
    logsumexp: float
    left: int
    removed: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and _alike(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def probs(self) -> Probs:
        """The probability of each."""
        return np.exp(self.scores.astype(np.float64) - self.logsumexp)


@dataclass(frozen=True, eq=False)
class Ledger:
    """One choice: who was followed, what each filter did, what was drawn, what was chosen.

    `ids` are the leading candidates of the model, in its order, then those that lead after all
    filters, and the chosen token, where these are others. `entries` begin with the model's own.
    `uniform` is the random number that drew; None where the likeliest was taken.
    """

    ids: Ids
    entries: tuple[Entry, ...]
    token: int
    uniform: float | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and _alike(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def removed_by(self) -> list[str | None]:
        """For each of `ids`, the filter that removed it; None for what was left to the choice."""
        fates: list[str | None] = [None] * len(self.ids)
        for before, after in zip(self.entries, self.entries[1:], strict=False):
            for place in np.flatnonzero((before.scores > REMOVED) & (after.scores == REMOVED)):
                fates[place] = after.name
        return fates


def account(
    steps: Sequence[tuple[str, Candidates]], token: int, uniform: float | None, size: int
) -> Ledger:
    """Write down a choice: `steps` are the model's candidates, then what each filter left."""
    first, last = steps[0][1], steps[-1][1]
    followed = first.leading(size).tolist()
    if len(steps) > 1:
        followed += last.leading(size).tolist()
    ids = np.array(list(dict.fromkeys([*followed, token])), np.int64)
    entries = []
    before = None
    for name, candidates in steps:
        entries.append(_entry(name, ids, candidates, before))
        before = candidates
    return Ledger(ids, tuple(entries), token, uniform)


def _alike(one: object, other: object) -> bool:
    """Whether two are equal field by field, arrays included."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def _entry(name: str, ids: Ids, now: Candidates, before: Candidates | None) -> Entry:
    scores = now.scores_of(ids)
    gone = 0.0 if before is None or before is now else _removed(before, now)
    return Entry(name, scores, now.ranks_of(scores), now.logsumexp, now.count, gone)


def _removed(before: Candidates, now: Candidates) -> float:
    """The probability that all removed tokens had."""
    if now.count == before.count:
        return 0.0
    alive = now.tokens(np.flatnonzero(now.scores > REMOVED))
    return max(0.0, 1.0 - float(before.probs_of(alive).sum()))
