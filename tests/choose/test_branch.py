"""Branches: what the model already holds of a sequence is never asked of it again, or wrongly."""

from __future__ import annotations

import pytest

from pellucid.choose.branch import Branch
from pellucid.model.cache import Cache


def branch(ids: list[int], fed: int) -> Branch:
    cache = Cache(layers=0, kv_heads=1, head_dim=1, allocate=lambda shape: None)
    cache.advance(fed)
    return Branch(ids, cache)


def test_what_the_cache_does_not_hold_is_unfed() -> None:
    b = branch([1, 2, 3], fed=2)
    assert b.unfed == [3]
    b.append(4)
    assert b.unfed == [3, 4]


def test_a_fork_grows_on_its_own() -> None:
    b = branch([1, 2, 3], fed=3)
    twin = b.fork()
    twin.append(9)
    twin.drop(2)
    assert (b.ids, b.cache.length) == ([1, 2, 3], 3)
    assert (twin.ids, twin.cache.length) == ([1, 2], 2)


def test_trimming_forgets_unfed_ids_first() -> None:
    b = branch([1, 2, 3, 4], fed=2)
    b.drop(1)
    assert (b.ids, b.cache.length) == ([1, 2, 3], 2)


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        ([1, 2, 3, 4, 5], 3),   # longer: all that was fed
        ([1, 2, 9, 4], 2),      # differs at the third
        ([9], 0),
        ([1, 2, 3], 2),         # the same: the last stays unfed, to be scored
        ([1, 2], 1),
        ([1], 0),
    ],
)  # fmt: skip
def test_becoming_other_ids_keeps_their_common_start(ids: list[int], kept: int) -> None:
    b = branch([1, 2, 3, 7], fed=3)
    b.become(ids)
    assert (b.ids, b.cache.length) == (ids, kept)
    assert b.unfed == ids[kept:]
