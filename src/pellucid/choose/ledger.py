"""The ledger: what became of the leading candidates of one choice, filter by filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pellucid.choose import vocabulary
from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats

Probs = npt.NDArray[np.float64]

_FEW = 1024  # candidates that are kept as they are until somebody reads what became of them


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


@dataclass(frozen=True)
class Few:
    """What a filter left when that is little: enough to make its entry when it is read.

    `removed` is None where what was before is kept as well, and tells it.
    """

    name: str
    candidates: Candidates
    removed: float | None


@dataclass(frozen=True)
class Draft:
    """A token that was guessed for this place, and what became of it.

    `prob` is the probability with which it was drafted, 1 where it was looked up; `verified_prob`
    is the one that the filters leave it of the verifying model's. Where both are drawn from,
    `uniform` was compared with `verified_prob / prob`, and accepted the token where it was below;
    None where the verifier chose as ever, and accepted the token where it was its own.
    """

    token: int
    prob: float
    verified_prob: float
    accepted: bool
    uniform: float | None = None


@dataclass(frozen=True, eq=False)
class Ledger:
    """One choice: who was followed, what each filter did, what was drawn, what was chosen.

    `ids` are the leading candidates of the model, in its order, then those that lead after all
    filters, and the chosen token, where these are others. `uniform` is the random number that drew;
    None where the likeliest was taken. `steps` are what `entries` are made of. `below` is the
    probability that all lower ids had when the token was drawn; None where nothing was drawn, or
    where few were left, which tell it.
    A rejected `draft` leaves a last step "speculation": what the tokens have beyond the drafting
    model's distribution, from which one was drawn. An accepted one was drawn by that model.
    A token that was picked `by_hand` may be one that a filter removed.
    """

    ids: Ids
    steps: tuple[Entry | Few, ...]
    token: int
    uniform: float | None
    below: float | None = None
    draft: Draft | None = None
    by_hand: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ledger):
            return NotImplemented
        mine, others = ((one.token, one.uniform, one.draft, one.by_hand) for one in (self, other))
        return (
            mine == others and np.array_equal(self.ids, other.ids) and self.entries == other.entries
        )

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """What the followed candidates were after each filter; the model's own come first."""
        made: list[Entry] = []
        before: Candidates | None = None
        for step in self.steps:
            if isinstance(step, Few):
                removed = (
                    _removed(before, step.candidates) if step.removed is None else step.removed
                )
                made.append(_entry(step.name, self.ids, step.candidates, removed))
                before = step.candidates
            else:
                made.append(step)
        return tuple(made)

    @cached_property
    def landed(self) -> tuple[float, float] | None:
        """The token's part of the cumulative distribution, in order of ids; None without a draw.

        `uniform` lies in it, but for rounding.
        """
        if self.uniform is None:
            return None
        last, below = self.steps[-1], self.below
        if isinstance(last, Few):
            below = _below(last.candidates, self.token)
        assert below is not None
        (place,) = np.flatnonzero(self.ids == self.token)
        return below, below + float(self.entries[-1].probs[place])

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
    ids = first.leading(size)
    leading = ids.tolist()
    others = [token] if last is first else [*last.leading(size).tolist(), token]
    known = set(leading)
    if more := [one for one in dict.fromkeys(others) if one not in known]:
        ids = np.array([*leading, *more], np.int64)
    written: list[Entry | Few] = []
    before = None
    for name, now in steps:
        written.append(_step(name, ids, now, before, written[-1] if written else None))
        before = now
    drawn = uniform is not None and isinstance(written[-1], Entry)
    return Ledger(ids, tuple(written), token, uniform, _below(last, token) if drawn else None)


def _step(
    name: str,
    ids: Ids,
    now: Candidates,
    before: Candidates | None,
    last: Entry | Few | None,
) -> Entry | Few:
    """What is kept of a step. A whole vocabulary is read at once, since it is not kept."""
    if now.size <= _FEW:
        return Few(name, now, None if isinstance(last, Few) else _removed(before, now))
    if now is before and isinstance(last, Entry):
        return replace(last, name=name, removed=0.0)
    unchanged = isinstance(last, Entry) and last.left == now.count
    return _entry(name, ids, now, 0.0 if unchanged else _removed(before, now))


def _entry(name: str, ids: Ids, now: Candidates, removed: float) -> Entry:
    return Entry(name, *now.told(ids), removed)


def _below(candidates: Candidates, token: int) -> float:
    """The probability of all tokens with lower ids."""
    place = token if candidates.ids is None else int(candidates.ids.searchsorted(token))
    lower = candidates.scores[:place]
    return math.exp(vocabulary.logsumexp(lower) - candidates.logsumexp) if place else 0.0


def _alike(one: object, other: object) -> bool:
    """Whether two are equal field by field, arrays included."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def _removed(before: Candidates | None, now: Candidates) -> float:
    """The probability that all removed tokens had."""
    if before is None or before is now:
        return 0.0
    return now.lost_of(before)
