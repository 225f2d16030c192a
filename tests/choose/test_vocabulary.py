"""Passes over a vocabulary give what NumPy gives in float64, with every instruction set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pellucid.backends import _native
from pellucid.choose import vocabulary
from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.truncation import _edge
from pellucid.errors import ParameterError

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

# Lengths around a vector, a block of sums (1,024) and a block of places (4,096), and some between.
SIZES = st.sampled_from([0, 1, 2, 15, 16, 17, 33, 1023, 1024, 1025, 4095, 4097, 9000])
NAN = math.nan
BLOCK = 1024  # scores that one of `sums` is of


def scores_of(size: int, seed: int, kind: str) -> Floats:
    rng = np.random.default_rng(seed)
    scores = {
        "spread": rng.normal(scale=4, size=size),
        "flat": rng.normal(scale=0.01, size=size),
        "tied": rng.integers(-2, 3, size=size),
        "far": rng.normal(scale=60, size=size) - 1000,
        "huge": rng.normal(scale=1e37, size=size),
        "rising": np.arange(size),
        "falling": -np.arange(size),
        "removed": np.where(rng.random(size) < 0.9, -np.inf, rng.normal(size=size)),
        "all removed": np.full(size, -np.inf),
    }[kind]
    return scores.astype(np.float32)


KINDS = st.sampled_from(
    ["spread", "flat", "tied", "far", "huge", "rising", "falling", "removed", "all removed"]
)
SCORES = st.builds(scores_of, SIZES, st.integers(0, 10**6), KINDS)
SOME = st.builds(scores_of, SIZES.filter(bool), st.integers(0, 10**6), KINDS)


@pytest.fixture(autouse=True, scope="module", params=_native.available())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PELLUCID_ISA", request.param)
        yield request.param


def exact(scores: Floats, most: float) -> npt.NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return np.exp(scores.astype(np.float64) - most)


@given(SCORES)
@settings(max_examples=60)
def test_weights_and_their_sum_are_those_of_the_softmax(scores: Floats) -> None:
    most, total = vocabulary.weigh(scores)
    each, again = vocabulary.weights(scores)
    assert again == total
    assert most == scores.max(initial=-np.inf)
    if most == -np.inf:
        assert total == 0 == np.count_nonzero(each)
        return
    true = exact(scores, most)
    assert total == pytest.approx(true.sum(), rel=1e-6)
    # The difference to the highest is rounded to float32 before it is raised.
    np.testing.assert_allclose(each, true, rtol=2e-5, atol=1e-36)
    assert not each[scores == -np.inf].any()
    expected = most + math.log(true.sum())
    assert vocabulary.logsumexp(scores) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(SCORES, st.lists(st.integers(0, 10**6), max_size=9))
def test_ranks_count_what_is_above(scores: Floats, places: list[int]) -> None:
    """Of scores that are there, which tie with themselves and others, and of some that are not."""
    there = [scores[place % len(scores)] for place in places if len(scores)]
    some = np.array([*there, 0.5, -np.inf, NAN, 2], np.float32)
    survey = Candidates(scores)
    ranks = survey.ranks(some)
    assert survey.count == np.count_nonzero(scores > -np.inf)
    assert ranks.tolist() == [1 + (scores > s).sum() if s > -np.inf else 0 for s in some]
    assert not len(survey.ranks(some[:0]))


@given(SOME)
@settings(max_examples=60, deadline=None)
def test_a_surveys_sums_add_up_each_block(scores: Floats) -> None:
    if scores.max() == -np.inf:
        return
    true = exact(scores, float(scores.max()))
    true = np.add.reduceat(true, range(0, len(scores), BLOCK))
    np.testing.assert_allclose(Candidates(scores).sums(), true, rtol=2e-5, atol=1e-33)


def told(survey: Candidates, some: Floats) -> list[Any]:
    """All that a survey says, but what sums are."""
    asked = [survey.leading(k) for k in (1, 3, 50, 2000)] + [survey.ranks(some), survey.scores]
    asked += [survey.at_least(float(some[0])), survey.scores_of(np.arange(survey.size)[::7])]
    return [survey.most, survey.count, *(one.tolist() for one in asked)]


def sums(survey: Candidates) -> list[float]:
    return [survey.total, *survey.sums().tolist()]


@given(SOME, st.lists(st.lists(st.integers(0, 10**6), max_size=40), max_size=3), st.booleans())
@settings(max_examples=100, deadline=None)
def test_scores_changed_in_a_few_places_are_as_if_surveyed_anew(
    scores: Floats, changes: list[list[int]], weighed: bool
) -> None:
    """One change after the other, whether the sums were known before or not; all share a row."""
    survey, anew = Candidates(scores), scores.copy()
    if not weighed:
        survey = survey.divided(1)  # whose sums nobody has asked for
    family = [(survey, anew)]
    rng = np.random.default_rng(len(scores))
    for change in changes:
        if weighed:
            assert survey.total >= 0
            survey.leading(len(change))
        places = np.unique(np.array(change, np.int64) % len(scores))
        others = rng.choice(np.float32([-np.inf, -1, 0.5, 3, 1e30]), len(places))
        survey, anew = survey.changed(places, others), anew.copy()
        anew[places] = others
        family.append((survey, anew))
    for which in rng.permutation(len(family)):
        survey, anew = family[which]
        some = np.append(anew[:9], np.float32([0.5, -np.inf]))
        other = Candidates(anew)
        assert told(survey, some) == told(other, some)
        assert sums(survey) == pytest.approx(sums(other), rel=1e-6, abs=1e-33)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 3, 0, 4, 1)])
def test_ranks_of_tokens_that_fell_or_rose_a_little_are_those_of_a_sort(order: list[int]) -> None:
    """They are below the leaders, and above most others; each asks what another has found out."""
    scores = [scores_of(60_000, 1, "spread")]
    survey, rng = Candidates(scores[0]), np.random.default_rng(2)
    family = [survey]
    for _ in order[2:]:
        used = np.unique(np.concatenate([survey.leading(90)[::3], rng.integers(0, 60_000, 200)]))
        changed = scores[-1].copy()
        changed[used] += rng.choice(np.float32([-4, -1, 5]), len(used))
        survey = survey.changed(used, changed[used])
        scores.append(changed)
        family.append(survey)
    family.append(survey.divided(3))  # what was changed is divided too
    scores.append(scores[-1] / np.float32(3))
    followed = np.unique(np.concatenate([one.leading(80) for one in family]))
    for which in order:
        some = scores[which][followed]
        expected = [1 + np.count_nonzero(scores[which] > s) for s in some]
        assert 70 < max(expected) < 3000
        assert family[which].ranks(some).tolist() == expected


def test_ranks_beside_more_infinities_than_lead() -> None:
    scores = np.full(1024, np.inf, np.float32)
    scores[-1] = np.finfo(np.float32).max
    assert Candidates(scores).ranks(scores[-2:]).tolist() == [1, 1024]


def test_sums_stay_true_when_nearly_all_is_removed_little_by_little() -> None:
    """Each time somewhat less than half, of which a sum that is only set right would lose more."""
    rng = np.random.default_rng(7)
    scores = rng.uniform(-0.3, -0.2, 1024).astype(np.float32)
    scores[0] = 0
    for _ in range(20):
        survey, rest = Candidates(scores), 1 + rng.permutation(1023)
        while len(rest):
            some, rest = np.split(rest, [max(1, len(rest) * 45 // 100)])
            survey = survey.without(some)
            left = exact(np.append(scores[0], scores[rest]), 0).sum()
            assert survey.total == pytest.approx(left, rel=1e-6)
        assert survey.prob(0) == pytest.approx(1, abs=1e-6)


@given(SOME, st.sampled_from([1e-3, 0.3, 0.8, 1.0, 1.7, 1e3]))
@settings(max_examples=60, deadline=None)
def test_divided_scores_are_numpys_and_as_if_surveyed_anew(scores: Floats, by: float) -> None:
    """Whether it was known already who leads or not. What is left is not removed by it."""
    with np.errstate(over="ignore"):
        anew = scores / np.float32(by)
    if anew.max() == np.inf:
        return
    anew = np.where(scores > -np.inf, np.maximum(anew, np.finfo(np.float32).min), scores)
    some = np.append(anew[:9], np.float32([0.5, -np.inf]))
    for leaders in (0, 1, 100):
        before = Candidates(scores)
        before.leading(leaders)
        divided, other = before.divided(by), Candidates(anew)
        assert told(divided, some) == told(other, some)
        # Far from 0, quotients are as far from each other as float32 tells.
        far = float(np.abs(anew[anew > -np.inf]).max(initial=10)) * 1.2e-7
        if far < 1:
            assert sums(divided) == pytest.approx(sums(other), rel=far, abs=1e-33)


@given(SCORES, st.sampled_from([0, 1, 2, 50, 1000, 4096, 9000, 10**9]))
@settings(max_examples=60)
def test_leading_is_the_start_of_a_stable_sort(scores: Floats, k: int) -> None:
    order = np.argsort(-scores, kind="stable")
    alive = order[scores[order] > -np.inf]
    assert vocabulary.leading(scores, k).tolist() == alive[:k].tolist()


@given(SCORES, st.floats(width=32), st.floats(width=32))
@settings(max_examples=60)
def test_ids_at_least_a_threshold_are_those_that_compare_so(
    scores: Floats, low: float, high: float
) -> None:
    assert vocabulary.at_least(scores, low).tolist() == np.flatnonzero(scores >= low).tolist()
    found = vocabulary.at_least(scores, low, below=high)
    inside = (scores >= low) & ~(scores >= high)
    assert found.tolist() == np.flatnonzero(inside).tolist()


@given(SCORES, st.integers(0, 10**6))
@settings(max_examples=60)
def test_tails_are_what_reaches_each_threshold(keys: Floats, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random(len(keys), np.float32)
    picked = rng.choice(keys, vocabulary.TAILS) if len(keys) else np.zeros(vocabulary.TAILS)
    sums, counts = vocabulary.tails(keys, weights, picked.tolist())
    reach = keys[None] >= picked[:, None]  # [thresholds, vocab]
    assert list(counts) == reach.sum(axis=1).tolist()
    np.testing.assert_allclose(sums, (reach * weights.astype(np.float64)).sum(axis=1), rtol=1e-6)


@given(SOME, st.data())
@settings(max_examples=60)
def test_what_is_not_kept_is_removed(scores: Floats, data: Any) -> None:
    edge = data.draw(st.sampled_from([*scores[:5].tolist(), 0.0, math.inf]))
    some, keys = Candidates(scores), -scores
    asked = [
        (some.above(edge), scores >= edge),
        (some.reaching(keys, edge), keys >= edge),
        (some.where(keys >= edge), keys >= edge),
    ]
    for kept, stays in asked:
        assert np.array_equal(kept.dense(len(scores)), np.where(stays, scores, -np.inf))
        assert np.array_equal(kept.alive, np.flatnonzero(stays & (scores > -np.inf)))


@given(SOME, st.floats(1e-3, 1 - 1e-3))
@settings(max_examples=60)
def test_the_edge_is_where_a_sorted_running_sum_reaches_the_mass(
    scores: Floats, mass: float
) -> None:
    if scores.max() == -np.inf:
        return
    each, total = vocabulary.weights(scores)
    edge = _edge(scores, each, mass * total)
    order = np.argsort(-scores, kind="stable")
    run = np.cumsum(each[order], dtype=np.float64) / total
    first, last = (scores[order[np.searchsorted(run, mass + e)]] for e in (-1e-6, 1e-6))
    assert last <= edge <= first


@pytest.mark.parametrize("place", [0, 15, 16, 4096, 4999])
def test_nan_shows_in_sums_and_is_never_selected(place: int) -> None:
    scores = scores_of(5000, 0, "spread")
    scores[place] = np.nan
    most, total = vocabulary.weigh(scores)
    assert math.isnan(most)
    assert math.isnan(total)
    assert place not in vocabulary.leading(scores, 5000)
    assert len(vocabulary.leading(scores, 5000)) == 4999
    assert place not in vocabulary.at_least(scores, -math.inf)
    assert Candidates(scores).reaching(scores, -math.inf).dense(5000)[place] == -math.inf
    assert Candidates(scores).at_least(-math.inf).tolist() == [i for i in range(5000) if i != place]
    assert Candidates(scores).count == 4999


@given(SOME, st.lists(st.integers(0, 10**6), max_size=40), st.sampled_from([0.7, 1.0]))
@settings(max_examples=60, deadline=None)
def test_what_is_lost_and_what_places_weigh_are_parts_of_the_softmax(
    scores: Floats, change: list[int], by: float
) -> None:
    """Of what was changed, of a row that shares nothing, and of one that is divided."""
    with np.errstate(over="ignore"):
        scores = scores / np.float32(by)
    if not np.isfinite(scores.max()):
        return
    before = Candidates(scores * np.float32(by)).divided(by)
    scores = before.scores
    places = np.unique(np.array(change, np.int64) % len(scores))
    gone = np.full(len(places), -np.inf, np.float32)
    after = before.changed(places, gone)
    probs = exact(scores, float(scores.max()))
    wanted = pytest.approx(probs[places].sum() / probs.sum(), rel=2e-5, abs=1e-33)
    assert after.lost_of(before) == wanted
    assert Candidates(after.scores).lost_of(before) == wanted
    assert before.mass(places) == wanted
    assert before.lost_of(before) == 0


@given(SOME, st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_a_nucleus_is_the_shortest_run_of_the_highest_that_weighs_enough(
    scores: Floats, part: float
) -> None:
    if scores.max() == -np.inf:
        return
    falling = -np.sort(-scores)
    probs = exact(falling, float(falling[0]))
    run = np.cumsum(probs) / probs.sum()
    edge = Candidates(scores).nucleus(part)
    # The sums are of float32 numbers, so the run may end a little sooner or later.
    first, last = (int(np.searchsorted(run, part + d)) for d in (-1e-5, 1e-5))
    if edge is None:
        assert last >= 4096
    else:
        assert falling[min(last, len(falling) - 1)] <= edge <= falling[first]


@given(arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)))
@settings(max_examples=60)
def test_whatever_float32_holds_the_leading_are_the_highest(scores: Floats) -> None:
    alive = [i for i in range(len(scores)) if scores[i] > -np.inf]
    alive.sort(key=lambda i: (-scores[i], i))
    assert vocabulary.leading(scores, 7).tolist() == alive[:7]


@pytest.mark.parametrize(
    "call",
    [
        lambda a: vocabulary.weigh(a.astype(np.float64)),
        lambda a: vocabulary.weigh(a[::2]),
        lambda a: vocabulary.weigh(a.reshape(2, -1)),
        lambda a: vocabulary.leading(a, -1),
        lambda a: Candidates(a).ranks(a[::2]),
        lambda a: Candidates(a).changed(np.array([0, 1]), a[:1]),
        lambda a: Candidates(a, np.arange(63)),
        lambda a: Candidates(a[:2], np.array([5, 5])),
        lambda a: Candidates(a.astype(np.float64)),
        lambda a: Candidates(a).rescored(a[1:]),
        lambda a: vocabulary.tails(a, a[:-1], [0.0] * 8),
        lambda a: vocabulary.tails(a, a, [0.0] * 7),
        lambda a: Candidates(a).reaching(a[1:], 0.0),
        lambda a: Candidates(a).where(a[1:] > 0),
        lambda a: Candidates(a).dense(65),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call: Callable[[Floats], object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        call(np.zeros(64, np.float32))


@pytest.mark.parametrize("token", [-1, 64, 2**62])
@pytest.mark.parametrize("ids", [None, np.arange(64)])
def test_a_token_that_is_none_is_a_removed_one(token: int, ids: Ids | None) -> None:
    some, tokens = Candidates(np.zeros(64, np.float32), ids), np.array([3, token])
    assert some.scores_of(tokens).tolist() == [0, -np.inf]
    assert some.probs_of(tokens).tolist() == pytest.approx([1 / 64, 0])
    assert (some.prob(token), some.rank(token)) == (0, 0)
    assert some.mass(tokens) == 1 / 64
    assert some.keep(tokens).alive.tolist() == [3]
    changed = some.changed(tokens, np.float32([-np.inf, 5]))
    assert changed.alive.tolist() == some.without(tokens).alive.tolist()
    assert (changed.count, changed.most) == (63, 0)


@pytest.mark.parametrize("by", [0.7, 0.1, 0.01, 1e-4, 1e-6])
def test_at_any_temperature_what_is_told_of_all_is_the_sum_of_what_each_is_told(by: float) -> None:
    """Quotients far from 0 are rounded by more than their exponentials bear."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        some = Candidates(rng.normal(30, 5, 3000).astype(np.float32)).divided(by)
        assert some.probs().sum() == pytest.approx(1, abs=1e-5)
        top = some.leading(3)
        assert some.without(top).lost_of(some) == pytest.approx(some.mass(top), abs=1e-5)
        assert some.mass(top) <= 1 + 1e-5


@pytest.mark.parametrize("lowest", [np.finfo(np.float32).min, 0.0])
def test_all_leaders_are_found_where_many_are_the_lowest(lowest: float) -> None:
    some = Candidates(np.full(100, lowest, np.float32))
    assert len(some.leading(1)) == 1
    assert some.leading(100).tolist() == list(range(100))
    assert some.least(80) == lowest
    assert len(some.divided(2).at_least(lowest / 2)) == 100


def test_tokens_are_kept_in_any_order_and_once() -> None:
    some = Candidates(np.arange(80, dtype=np.float32))
    for tokens in ([7, 7, 2], list(range(79, 20, -1)) * 2):
        kept = some.keep(np.array(tokens))
        assert kept.alive.tolist() == sorted(set(tokens))
        assert kept.rank(tokens[-1]) == sum(token >= tokens[-1] for token in set(tokens))


@pytest.mark.parametrize("by", [0, -1, math.nan, math.inf, 1e39])
def test_scores_are_divided_by_numbers_above_0_alone(by: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Candidates(np.zeros(3, np.float32)).divided(by)


def test_an_instruction_set_that_is_none_is_named_where_scores_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PELLUCID_ISA", "AVX9")
    with pytest.raises(ParameterError, match=r"PELLUCID_ISA: must be one of .*portable here"):
        Candidates(np.zeros(3, np.float32))


def test_steps_without_candidates_are_refused() -> None:
    for steps in ([], [("model", None)]):
        with pytest.raises((TypeError, ValueError)):
            _native.Followed(steps, 0, 5, False)  # type: ignore[arg-type]
