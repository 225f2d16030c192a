"""A branch: one growing sequence, with what the model already holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from pellucid.model.cache import KeyValues
from pellucid.model.probe import Edit


class Follower(Protocol):
    """What goes along with a branch: a filter's memory, or a second stream beside it."""

    def append(self, token: int) -> None:
        """The branch has grown by a token."""

    def drop(self, count: int) -> None:
        """The branch has lost its last `count` tokens, each of which was appended before."""

    def fork(self) -> Self:
        """What goes along with a fork of the branch."""


class Branch:
    """One growing sequence: its ids, and a cache that holds the first `cache.length` of them.

    `model` says whose cache that is: None for the model that answers, or a drafting one. `edits`
    change what it computes of these ids; they are those of all that grows from this branch.
    `drafted` tokens are fed with the next score, but are no part of the sequence yet; each is
    answered with a row of its own. `beside` is a second stream, which guidance compares this one
    with, and which grows with it.
    """

    def __init__(
        self,
        ids: Sequence[int],
        cache: KeyValues,
        model: Any = None,
        edits: Sequence[Edit] = (),
    ) -> None:
        self.ids = list(ids)
        self.cache = cache
        self.model = model
        self.edits = tuple(edits)
        self.drafted: list[int] = []
        self.followers: dict[str, Follower] = {}
        self.beside: Branch | None = None
        self._array = np.empty(0, np.int64)
        self._copied = 0  # so many of the ids are in the array

    @property
    def unfed(self) -> list[int]:
        """The ids that the model has not seen yet."""
        known, ids = self.cache.length, len(self.ids)
        return self.ids[known:] + self.drafted[max(0, known - ids) :]

    @property
    def array(self) -> npt.NDArray[np.int64]:
        """The ids, to be read before the branch changes."""
        if len(self._array) < len(self.ids):
            grown = np.empty(max(64, 2 * len(self.ids)), np.int64)
            grown[: self._copied] = self._array[: self._copied]
            self._array = grown
        if self._copied == len(self.ids) - 1:  # as after each token: a list takes 10 us in a step
            self._array[self._copied] = self.ids[-1]
        else:
            self._array[self._copied : len(self.ids)] = self.ids[self._copied :]
        self._copied = len(self.ids)
        return self._array[: self._copied]

    def append(self, token: int) -> None:
        """Grow by one token."""
        self.ids.append(token)
        for follower in self._followers():
            follower.append(token)

    def drop(self, count: int) -> None:
        """Forget the last `count` ids."""
        if not count:
            return
        del self.ids[-count:]
        self._copied = min(self._copied, len(self.ids))
        self.cache.trim(min(len(self.ids), self.cache.length))
        for follower in self._followers():
            follower.drop(count)

    def draft(self, tokens: Sequence[int]) -> None:
        """Have these fed with the next score, here and in the second stream."""
        self.drafted = list(tokens)
        if self.beside:
            self.beside.draft(tokens)

    def settle(self) -> None:
        """Forget what was drafted; the cache keeps of it what the branch has grown by since.

        The last id is left unfed, so that the branch can be scored.
        """
        self.drafted = []
        self.cache.trim(min(self.cache.length, len(self.ids) - 1))
        if self.beside:
            self.beside.settle()

    def fork(self) -> Self:
        """A second branch with the same past, which it shares until one of the two grows."""
        twin = type(self)(self.ids, self.cache.fork(), self.model, self.edits)
        twin.followers = {name: follower.fork() for name, follower in self.followers.items()}
        twin.beside = self.beside and self.beside.fork()
        return twin

    def adopt(self, twin: Self) -> None:
        """Become what a fork has grown into; the fork is used up."""
        self.ids, self.cache = twin.ids, twin.cache
        self.followers, self.beside = twin.followers, twin.beside

    def _followers(self) -> list[Follower]:
        return [*self.followers.values(), *([self.beside] if self.beside else [])]

    def become(self, ids: Sequence[int], edits: Sequence[Edit] = ()) -> None:
        """Turn into the branch of other ids, keeping what the cache holds of their common start,
        if that was computed under the very same edits.

        What followed the old ids is forgotten. The last id is always left unfed, so that the branch
        can be scored.
        """
        limit = min(len(ids) - 1, self.cache.length) if tuple(edits) == self.edits else 0
        shared = next((i for i in range(limit) if ids[i] != self.ids[i]), limit)
        self.cache.trim(max(shared, 0))
        self.ids, self.edits = list(ids), tuple(edits)
        self.drafted, self.followers, self.beside, self._copied = [], {}, None, 0
