"""What the last generations computed is held, within bounds; what goes on from it shares it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.engine.recent import Recent
from pellucid.model.cache import Cache


def computed(ids: Sequence[int]) -> Branch:
    """A branch whose cache holds all but its last id, as at the end of an answer."""
    cache = Cache(1, 1, 1, lambda shape: np.zeros(shape, np.int64))
    new = np.array(ids[:-1], np.int64).reshape(-1, 1, 1)
    cache.write(0, new, new)
    cache.advance(len(new))
    return Branch(ids, cache)


def held(recent: Recent, ids: Sequence[int]) -> list[int]:
    """What is found for these ids: what its cache holds."""
    branch = recent.fork(ids)
    if not branch:
        return []
    keys, _ = branch.cache.read(0, branch.cache.length)
    assert keys[:, 0, 0].tolist() == branch.ids
    return branch.ids


def test_the_longest_common_start_is_found() -> None:
    recent = Recent()
    for ids in ([1, 2, 3, 4], [1, 2, 3, 9, 9], [5, 6]):
        recent.keep(computed(ids))
    assert held(recent, [1, 2, 3, 9, 7]) == [1, 2, 3, 9]
    assert held(recent, [5, 7]) == [5]
    assert held(recent, [7]) == []


def test_eight_are_held_and_of_4096_tokens_beside_the_last() -> None:
    recent = Recent()
    for first in range(10):
        recent.keep(computed([first, 1, 2]))
    assert [bool(held(recent, [first])) for first in range(10)] == [False] * 2 + [True] * 8
    recent.keep(computed([20] * 4000))
    recent.keep(computed([21] * 5000))
    assert [bool(held(recent, [first])) for first in (9, 20, 21)] == [True, True, True]
    recent.keep(computed([22, 1]))
    assert [bool(held(recent, [first])) for first in (9, 20, 21, 22)] == [False] * 3 + [True]
    recent.forget()
    assert held(recent, [22]) == []


def test_what_grows_from_it_leaves_it_as_it_was() -> None:
    recent = Recent()
    branch = computed([1, 2, 3])
    recent.keep(branch)
    branch.become([8, 9])
    for last in (7, 6):
        grown = recent.fork([1, 2, last])
        assert grown
        grown.become([1, 2, last])
        new = np.array([[[last]]])
        grown.cache.write(0, new, new)
        grown.cache.advance(1)
    assert held(recent, [1, 2]) == [1, 2]
