"""Positions of a sequence: which they are, however they were given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import ParameterError
from pellucid.model import positions


@pytest.mark.parametrize(("meant", "plain"), [
    (4, [4]), ([7, 1], [1, 7]), (np.array([2, 3]), [2, 3]), (range(2, 9, 3), [2, 5, 8]),
    (slice(3), [0, 1, 2]), (slice(6, None), [6, 7, 8, 9]), (slice(1, None, 4), [1, 5, 9]),
    (slice(0, 10**15), list(range(10))),
])  # fmt: skip
def test_among_ten_positions_these_are_meant(meant: Any, plain: list[int]) -> None:
    these = positions.chosen(meant)
    assert np.flatnonzero(positions.among(these, np.arange(10))).tolist() == plain
    assert positions.read(positions.spelled(these)) == these


@given(st.slices(20), st.lists(st.integers(0, 30), max_size=30))
def test_a_slice_means_what_it_means_of_a_long_list(these: slice, asked: list[int]) -> None:
    truth = set(range(40)[these]) if these.stop is not None else None
    if truth is None or (these.step or 1) < 1 or min(these.start or 0, these.stop or 0) < 0:
        return
    if not truth:
        with pytest.raises(ParameterError, match=r"^positions: there are none"):
            positions.chosen(these)
        return
    found = positions.among(positions.chosen(these), np.array(asked, np.int64))
    assert found.tolist() == [position in truth for position in asked]


@pytest.mark.parametrize(("wrong", "words"), [
    (-1, "count from the start, 0 or more: a sequence that grows has no end"),
    ([3, -2], "count from the start"), (slice(-3, None), "count from the start"),
    (range(5, 2), "there are none in"), (slice(2, 9, 0), "there are none in"), ([], "must be a"),
    (True, "must be a whole number, several in a list, a range or a slice, not True"),
    (1.5, "must be a"), ("3", "must be a"), (None, "must be a"), ([[1], [2, 3]], "must be a"),
    (slice(1.5), "must be a"), (2**80, "must be a"),
])  # fmt: skip
def test_what_are_no_positions_is_refused(wrong: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=f"^positions: {words}"):
        positions.chosen(wrong)


@pytest.mark.parametrize("text", ["", ",", "a", "1,", "1:2:3:4", "1-3", "3:a"])
def test_what_reads_like_no_positions_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=r"^positions: must be as 4, 1,7 or 2:9, not"):
        positions.read(text)
