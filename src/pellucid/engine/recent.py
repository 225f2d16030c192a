"""What the last few generations have computed, to be gone on from at any place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from threading import Lock

from pellucid.choose.branch import Branch

_BRANCHES = 8
_TOKENS = 4096  # of all but the last; SmolLM2 keeps 23 kB of keys and values for each


class Recent:
    """The branches of the last eight generations at most, and of these, the last one aside, the
    latest that have 4,096 tokens together.

    A branch is held as it was: what grows from it is a fork, and shares its memory.
    """

    def __init__(self) -> None:
        self._held: list[Branch] = []
        self._lock = Lock()

    def keep(self, branch: Branch) -> None:
        """Hold what a branch has computed."""
        cache = branch.cache.fork()
        held = Branch(branch.ids[: cache.length], cache, edits=branch.edits)
        with self._lock:
            self._held.append(held)
            while len(self._held) > _BRANCHES or self._earlier() > _TOKENS:
                del self._held[0]

    def _earlier(self) -> int:
        return sum(len(branch.ids) for branch in self._held[:-1])

    def fork(self, ids: Sequence[int]) -> Branch | None:
        """A fork of the branch that has the longest start with these ids in common, if any has."""
        with self._lock:
            nearest = max(self._held, key=lambda held: _shared(held.ids, ids), default=None)
            return nearest.fork() if nearest and _shared(nearest.ids, ids) else None

    def forget(self) -> None:
        """Free all."""
        with self._lock:
            self._held.clear()


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids are the same at the start."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
