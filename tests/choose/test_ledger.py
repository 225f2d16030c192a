"""The ledger says of each choice what a whole-vocabulary computation in float64 says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import Chain
from pellucid.choose.draw import Draws, draw
from pellucid.choose.filters import Context
from pellucid.choose.ledger import Ledger, account
from pellucid.choose.parameters import parameters

VOCAB = 300
SOME: list[dict[str, Any]] = [
    {"temperature": 0.7},
    {"temperature": 3.0, "top_k": 120},
    {"top_k": 7},
    {"top_p": 0.9},
    {"min_p": 0.02},
    {"typical_p": 0.8},
    {"repetition_penalty": 1.4},
    {"presence_penalty": 1.0, "frequency_penalty": 0.5},
    {"suppress_tokens": [0, 1, 2, 3]},
    {"logit_bias": {5: 4.0, 6: -4.0}},
    {"no_repeat_ngram_size": 1},
    {"epsilon_cutoff": 0.004},
]

Steps = list[tuple[str, Candidates]]


def chosen(seed: int, settings: Sequence[dict[str, Any]]) -> Steps:
    """What the filters of some settings leave of random logits, with ties and removed tokens."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.5, size=VOCAB).round(1).astype(np.float32)
    logits[random.integers(VOCAB, size=20)] = -np.inf
    own = Candidates(logits)
    given = {name: value for one in settings for name, value in one.items()}
    context = Context(random.integers(VOCAB, size=30), 10, np.array([0]), None, Draws(seed), VOCAB)
    return [("model", own), *Chain(parameters(**given))(own, context)]


def softmax(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    weights = np.exp(scores.astype(np.float64) - scores.max())
    probs: npt.NDArray[np.float64] = weights / weights.sum()
    return probs


def check(ledger: Ledger, steps: Steps) -> None:
    """Each entry against the scores of the whole vocabulary after its step."""
    before = None
    fates: dict[int, str] = {}
    for entry, (name, candidates) in zip(ledger.entries, steps, strict=True):
        scores = candidates.dense(VOCAB)
        alive, probs = scores > -np.inf, softmax(scores)
        assert entry.name == name
        assert entry.left == alive.sum()
        np.testing.assert_array_equal(entry.scores, scores[ledger.ids])
        np.testing.assert_allclose(entry.probs, probs[ledger.ids], rtol=1e-5, atol=1e-9)
        better = [1 + (scores > scores[i]).sum() if alive[i] else 0 for i in ledger.ids]
        np.testing.assert_array_equal(entry.ranks, better)
        removed = 0.0 if before is None else softmax(before)[~alive].sum()
        assert entry.removed == pytest.approx(removed, abs=1e-6, rel=1e-5)
        if before is not None:
            fates |= {int(i): name for i in np.flatnonzero((before > -np.inf) & ~alive)}
        before = scores
    told = dict(zip(ledger.ids.tolist(), ledger.removed_by, strict=True))
    assert told == {i: fates.get(i) for i in ledger.ids.tolist()}


@given(
    seed=st.integers(0, 2**32),
    settings=st.lists(st.sampled_from(SOME), max_size=4),
    size=st.sampled_from([1, 5, 50]),
    rarest=st.booleans(),
)
def test_each_entry_is_what_the_whole_vocabulary_says(
    seed: int, settings: list[dict[str, Any]], size: int, rarest: bool
) -> None:
    steps = chosen(seed, settings)
    last = steps[-1][1]
    token = int(last.leading(VOCAB)[-1 if rarest else 0])
    check(account(steps, token, None, size), steps)


@given(
    seed=st.integers(0, 2**32),
    settings=st.lists(st.sampled_from(SOME), max_size=3),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_the_draw_lies_in_the_part_of_the_drawn_token(
    seed: int, settings: list[dict[str, Any]], uniform: float
) -> None:
    steps = chosen(seed, settings)
    token = draw(steps[-1][1], uniform)
    landed = account(steps, token, uniform, 5).landed
    cumulative = np.cumsum(softmax(steps[-1][1].dense(VOCAB)))
    below = cumulative[token - 1] if token else 0.0
    assert landed == pytest.approx((below, cumulative[token]), abs=1e-6)
    assert landed
    assert landed[0] - 1e-6 <= uniform <= landed[1] + 1e-6
    assert account(steps, token, None, 5).landed is None


def test_who_is_followed_are_the_leaders_before_and_after_and_the_chosen_one() -> None:
    steps = chosen(3, [{"logit_bias": {250: 60.0, 7: 30.0}}])
    ledger = account(steps, 99, 0.25, 2)
    first, last = steps[0][1].leading(2).tolist(), steps[-1][1].leading(2).tolist()
    assert last == [250, 7]
    assert ledger.ids.tolist() == [*first, *last, 99]
    assert (ledger.token, ledger.uniform) == (99, 0.25)


def test_a_filter_that_removed_nothing_removed_no_probability() -> None:
    steps = chosen(5, [{"temperature": 1.5}, {"suppress_tokens": [9]}])
    removed = {entry.name: entry.removed > 0 for entry in account(steps, 8, None, 5).entries}
    assert removed == {"model": False, "suppress_tokens": True, "temperature": False}


def test_tokens_that_are_forced_leave_nothing_of_those_that_were_left() -> None:
    own = Candidates(np.zeros(VOCAB, np.float32))
    left = own.keep(np.array([5]))
    for ends in ([7], [7, 9]):
        forced = Candidates(np.zeros(len(ends), np.float32), np.array(ends))
        ledger = account([("model", own), ("allowed", left), ("forced", forced)], 7, None, 3)
        assert ledger.entries[2].removed == 1


def test_a_tiny_mass_that_was_removed_is_not_lost_in_rounding() -> None:
    logits = np.zeros(VOCAB, np.float32)
    logits[4] = -30.0
    own = Candidates(logits)
    left = own.without(np.array([4]))
    entry = account([("model", own), ("suppress_tokens", left)], 0, None, 3).entries[1]
    assert entry.removed == pytest.approx(np.exp(-30.0) / (VOCAB - 1), rel=1e-4)


def test_ledgers_are_equal_where_all_that_they_say_is() -> None:
    steps, other = chosen(3, [{"top_k": 3}]), chosen(3, [{"top_k": 4}])
    assert account(steps, 9, 0.5, 5) == account(steps, 9, 0.5, 5)
    assert account(steps, 9, 0.5, 5) != account(other, 9, 0.5, 5)
    assert account(steps, 9, 0.5, 5) != account(steps, 9, 0.25, 5)
