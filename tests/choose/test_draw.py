"""Drawing a token: by exactly the probabilities that the scores say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from pellucid.choose.candidates import Candidates
from pellucid.choose.draw import Draws, draw

Floats = npt.NDArray[np.float32]


def drawer(seed: int) -> Callable[[Floats], int]:
    """Draws tokens by their scores, with one seed's numbers."""
    draws = Draws(seed)
    return lambda scores: draw(Candidates(scores), draws.uniform())


def exact(scores: Floats) -> npt.NDArray[np.float64]:
    weights = np.exp(scores.astype(np.float64) - float(scores.max()))
    return weights / weights.sum()


def chi_squared(counts: npt.NDArray[np.int64], probs: npt.NDArray[np.float64]) -> float:
    expected = probs * counts.sum()
    assert expected.min() > 5  # below that the statistic is not chi-squared
    return float(((counts - expected) ** 2 / expected).sum())


def critical(degrees: int, z: float = 3.09) -> float:
    """The chi-squared value exceeded by chance once in 1,000 times (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + z * math.sqrt(spread)) ** 3


def test_the_critical_value_is_that_of_printed_tables() -> None:
    for degrees, table in ((10, 29.588), (30, 59.703), (100, 149.449)):
        assert critical(degrees) == pytest.approx(table, rel=0.01)


SCORES = np.random.default_rng(0).normal(scale=1.2, size=40).astype(np.float32)


def count(tokens: list[int]) -> npt.NDArray[np.int64]:
    return np.bincount(tokens, minlength=len(SCORES))


def test_the_draws_of_one_seed_follow_the_distribution() -> None:
    choose = drawer(seed=1)
    counts = count([choose(SCORES) for _ in range(50_000)])
    assert chi_squared(counts, exact(SCORES)) < critical(len(SCORES) - 1)


def test_the_first_draws_of_many_seeds_follow_the_distribution() -> None:
    counts = count([drawer(seed)(SCORES) for seed in range(20_000)])
    assert chi_squared(counts, exact(SCORES)) < critical(len(SCORES) - 1)


def test_the_chi_squared_test_notices_a_temperature_that_is_5_percent_off() -> None:
    choose = drawer(seed=1)
    counts = count([choose(SCORES / np.float32(1.05)) for _ in range(50_000)])
    assert chi_squared(counts, exact(SCORES)) > critical(len(SCORES) - 1)


def test_draws_across_a_large_vocabulary_follow_the_distribution() -> None:
    """Blocks of the vocabulary are drawn from as one: their borders must not show."""
    scores = np.random.default_rng(2).normal(size=5_000).astype(np.float32)
    choose = drawer(seed=3)
    groups = np.arange(5_000) // 100
    counts = np.bincount(groups[[choose(scores) for _ in range(20_000)]])
    probs = np.bincount(groups, weights=exact(scores))
    assert chi_squared(counts, probs) < critical(len(probs) - 1)


@pytest.mark.parametrize("size", [1, 2, 1023, 1024, 1025, 4096])
def test_a_draw_inverts_the_cumulative_distribution(size: int) -> None:
    scores = np.random.default_rng(size).normal(size=size).astype(np.float32)
    edges = np.cumsum(exact(scores))
    for u in np.random.default_rng(9).random(200):
        assert abs(draw(Candidates(scores), u) - int(np.searchsorted(edges, u))) <= 1
        inside = np.abs(edges - u).min() > 1e-6
        assert not inside or draw(Candidates(scores), u) == int(np.searchsorted(edges, u))


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_a_removed_token_is_never_drawn(uniform: float) -> None:
    scores = np.full(3000, -np.inf, np.float32)
    for alone in (0, 1023, 1024, 2999):
        one = scores.copy()
        one[alone] = -5
        assert draw(Candidates(one), uniform) == alone


def test_equal_seeds_draw_alike_and_others_do_not() -> None:
    def first(seed: int) -> list[int]:
        choose = drawer(seed)
        return [choose(SCORES) for _ in range(50)]

    assert first(7) == first(7)
    assert first(7) != first(8)
    assert first(2**64 - 1) == first(2**64 - 1)


def test_the_draws_of_a_seed_never_change() -> None:
    """A seed that someone noted must give the same text with every version: fixed values."""
    choose = drawer(70)
    uniform = np.zeros(1000, np.float32)
    assert [choose(uniform) for _ in range(6)] == [380, 723, 322, 965, 740, 458]


def test_the_lines_of_a_seed_draw_independently() -> None:
    lines = [[Draws(70, line).uniform() for _ in range(1)] for line in range(3)]
    assert len({values[0] for values in lines}) == 3
    assert Draws(70).uniform() == Draws(70, 0).uniform()
