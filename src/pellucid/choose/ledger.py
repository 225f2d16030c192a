"""The ledger: what became of the leading candidates of one choice, filter by filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pellucid.backends._native import Followed
from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats

Probs = npt.NDArray[np.float64]
Step = tuple[str, Floats, Ids, float, int, float]  # what an `Entry` says


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


class Record(Protocol):
    """What a ledger is made of."""

    @property
    def ids(self) -> Ids:
        """The candidates that are followed."""
        ...

    @property
    def below(self) -> float | None:
        """The probability that all ids had below the token that was drawn."""
        ...

    def entries(self) -> Sequence[Step]:
        """What `Entry` says, of each step."""
        ...


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

    `record` is read when somebody asks for `ids` or `entries`. `uniform` is the random number that
    drew; None where the likeliest was taken.
    A rejected `draft` leaves a last step "speculation": what the tokens have beyond the drafting
    model's distribution, from which one was drawn. An accepted one was drawn by that model.
    A token that was picked `by_hand` may be one that a filter removed.
    """

    record: Record
    token: int
    uniform: float | None
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
    def ids(self) -> Ids:
        """The leading candidates of the model, in its order, then those that lead after all
        filters, and the chosen token, where these are others.
        """
        return self.record.ids

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """What the followed candidates were after each filter; the model's own come first."""
        return tuple(Entry(*step) for step in self.record.entries())

    @property
    def landed(self) -> tuple[float, float] | None:
        """The token's part of the cumulative distribution, in order of ids; None without a draw.

        `uniform` lies in it, but for rounding.
        """
        if self.uniform is None:
            return None
        below = self.record.below
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
    steps: list[tuple[str, Candidates]], token: int, uniform: float | None, size: int
) -> Ledger:
    """Write down a choice: `steps` are the model's candidates, then what each filter left."""
    return Ledger(Followed(steps, token, size, uniform is not None), token, uniform)


def _alike(one: object, other: object) -> bool:
    """Whether two are equal field by field, arrays included."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)
