"""Candidates: the same tokens and numbers, whether removed ones are still there or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.choose.candidates import Candidates

SCORES = np.array([1, 3, 3, 2, 0, -1, 5, 4, 2], np.float32)


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores.astype(np.float64))
    return weights / weights.sum()


@given(st.sets(st.integers(0, 8), min_size=1))
def test_what_is_kept_has_its_scores_and_nothing_else_is_left(kept: set[int]) -> None:
    """Few that are kept are moved together, many stay where they are: nobody can tell."""
    some = Candidates(SCORES).keep(np.array(sorted(kept)))
    dense = np.where([i in kept for i in range(9)], SCORES, -np.inf)
    ids = np.arange(9)
    np.testing.assert_array_equal(some.dense(9), dense)
    np.testing.assert_array_equal(some.scores_of(ids), dense)
    np.testing.assert_allclose(some.probs_of(ids), softmax(dense), rtol=1e-6)
    assert some.count == len(kept)
    order = sorted(kept, key=lambda i: (-SCORES[i], i))
    assert some.leading(4).tolist() == order[:4]
    for i in range(9):
        better = sum(SCORES[j] > SCORES[i] for j in kept)
        assert some.rank(i) == (1 + better if i in kept else 0)
        assert some.prob(i) == pytest.approx(softmax(dense)[i], rel=1e-6)
    assert some.likeliest == order[0]


@given(st.sets(st.integers(0, 8), min_size=1), st.sets(st.integers(0, 12), min_size=1))
def test_keeping_removing_and_finding_can_follow_each_other(
    kept: set[int], named: set[int]
) -> None:
    some = Candidates(SCORES).keep(np.array(sorted(kept)))
    tokens = np.array(sorted(named))
    alive = np.flatnonzero(some.without(tokens).dense(9) > -np.inf)
    assert set(alive.tolist()) == kept - named
    alive = np.flatnonzero(some.keep(tokens).dense(9) > -np.inf)
    assert set(alive.tolist()) == kept & named


def test_no_token_left_is_said_to_be_empty() -> None:
    assert Candidates(SCORES).keep(np.empty(0, np.int64)).empty
    assert Candidates(np.full(3, -np.inf, np.float32)).empty
    assert not Candidates(SCORES).empty


def test_scores_are_never_changed_in_place() -> None:
    SCORES.flags.writeable = False
    some = Candidates(SCORES)
    some.without(np.array([1])).keep(np.array([2]))
    with pytest.raises(AttributeError):
        some.scores = SCORES  # type: ignore[misc]
