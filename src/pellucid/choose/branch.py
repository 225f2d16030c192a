"""A branch: one growing sequence, with what the model already holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pellucid.model.cache import KeyValues


class Branch:
    """One growing sequence: its ids, and a cache that holds the first `cache.length` of them."""

    def __init__(self, ids: Sequence[int], cache: KeyValues) -> None:
        self.ids = list(ids)
        self.cache = cache

    @property
    def unfed(self) -> list[int]:
        """The ids that the model has not seen yet."""
        return self.ids[self.cache.length :]

    def append(self, token: int) -> None:
        """Grow by one token."""
        self.ids.append(token)

    def trim(self, length: int) -> None:
        """Forget all but the first `length` ids."""
        del self.ids[length:]
        self.cache.trim(min(length, self.cache.length))

    def fork(self) -> Self:
        """A second branch with the same past, which it shares until one of the two grows."""
        return type(self)(self.ids, self.cache.fork())

    def become(self, ids: Sequence[int]) -> None:
        """Turn into the branch of other ids, keeping what the cache holds of their common start.

        The last id is always left unfed, so that the branch can be scored.
        """
        limit = min(len(ids) - 1, self.cache.length)
        shared = next((i for i in range(limit) if ids[i] != self.ids[i]), limit)
        self.cache.trim(max(shared, 0))
        self.ids = list(ids)
