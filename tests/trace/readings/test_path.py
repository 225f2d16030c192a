"""Integrated gradients have what their axioms say, where the answer is known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pellucid.trace.readings.path import TOLERANCE, integrate
from pellucid.weights.tensor import Floats


class Known:
    """A score and its gradient, by formulas over `[n, rows, width]`."""

    def __init__(self, score: Callable[[Floats], Floats], slope: Callable[[Floats], Floats]):
        self._score = score
        self._slope = slope

    def gradients(self, inputs: Floats) -> tuple[Floats, Floats]:
        return self._score(inputs), self._slope(inputs)


START = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
END = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
WEIGHT = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)


def test_of_a_linear_score_each_row_gets_its_own_part() -> None:
    linear = Known(lambda x: (x * WEIGHT).sum((1, 2)), lambda x: np.broadcast_to(WEIGHT, x.shape))
    found = integrate(linear, START, END, 5)
    np.testing.assert_allclose(found.rows, ((END - START) * WEIGHT).sum(-1), rtol=1e-5)
    assert abs(found.gap) < 1e-5
    assert found.gradients == 5
    np.testing.assert_array_equal(found.slope, WEIGHT)


def test_of_a_sum_of_squares_each_row_gets_its_own_rise() -> None:
    squares = Known(lambda x: np.square(x).sum((1, 2)), lambda x: 2 * x)
    found = integrate(squares, START, END, 32)
    np.testing.assert_allclose(found.rows, (END**2 - START**2).sum(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("most", [512, 2048])
def test_a_step_that_a_grid_would_miss_is_found(most: int) -> None:
    """A sigmoid of width 1e-4 at 0.7071 of the line: the rows share its rise as their weights."""
    place, width = 0.7071, 1e-4
    weight = np.array([[1.0], [3.0]], np.float32)

    def score(x: Floats) -> Floats:
        along = (x.astype(np.float64) * weight).sum((1, 2)) / 4
        return np.tanh((along - place) / width)

    def slope(x: Floats) -> Floats:
        return ((1 - score(x) ** 2) / width / 4)[:, None, None] * weight

    found = integrate(
        Known(score, slope), np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32), most
    )
    assert found.end - found.start == pytest.approx(2)
    assert abs(found.gap) <= TOLERANCE * 2
    np.testing.assert_allclose(found.rows, [0.5, 1.5], rtol=0.02)
    assert found.gradients <= most


def test_a_jump_is_halved_until_floats_end_and_no_further() -> None:
    jump = Known(lambda x: (x.mean((1, 2)) > 0.7071).astype(np.float32), np.zeros_like)
    found = integrate(jump, np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32), 4096)
    assert found.gap == -1, "no gradient has what it jumps by"
    assert found.gradients < 200


def test_no_more_gradients_are_taken_than_allowed() -> None:
    noise = np.random.default_rng(4)
    never = Known(lambda x: x.sum((1, 2)), lambda x: noise.normal(size=x.shape))
    for most in (5, 10, 50, 100):
        assert integrate(never, START, END, most).gradients <= most
