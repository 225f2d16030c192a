"""Two runs compared are what transformers and closed formulas make of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.model.changes import scale
from pellucid.model.probe import Edit
from pellucid.trace.alignment import aligned
from pellucid.trace.comparison import Comparison, compare, divergence
from pellucid.trace.readings import Subject
from pellucid.trace.trace import Trace

from ..model.conftest import opened, oracle_cache, tiny  # noqa: F401  (fixtures)
from ..model.hooked import values
from ..model.tiny import Tiny
from .readings.runs import log_softmax, run_of

LEFT = [5, 9, 33, 70, 12, 8, 41]
RIGHT = [5, 9, 34, 70, 8, 41, 41, 7]
PAIRS = [(0, 0), (1, 1), (2, 2), (3, 3), (4, -1), (5, 4), (6, 5), (-1, 6), (-1, 7)]
Made = Callable[[str], Tiny]


def run(made: Tiny, ids: list[int], edits: list[Edit] = []) -> tuple[Subject, Trace]:  # noqa: B006
    return run_of(made.open("reference"), made.checkpoint(), ids, edits)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([], [1]),
        ([1, 2, 3], [1, 2, 3]),
        ([1, 2, 3, 4], [2, 3, 4, 5]),
        ([1, 1, 1], [1, 1, 1, 1, 1]),
        (LEFT, RIGHT),
        (list(range(50)), list(range(0, 50, 2))),
    ],
)
def test_each_row_is_in_one_pair_and_in_order(left: list[int], right: list[int]) -> None:
    pairs = aligned(left, right)
    assert [i for i, _ in pairs if i >= 0] == list(range(len(left)))
    assert [j for _, j in pairs if j >= 0] == list(range(len(right)))


def test_equal_tokens_stand_side_by_side_and_what_is_between_them() -> None:
    assert aligned(LEFT, RIGHT) == PAIRS


def common(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """The longest common subsequence, by its recursion."""
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            best = max(lengths[i][j + 1], lengths[i + 1][j])
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if a == b else best
    return lengths[-1][-1]


@given(left=st.tuples(*[st.integers(0, 3)] * 12), right=st.lists(st.integers(0, 3), max_size=20))
def test_no_alignment_pairs_more_equal_tokens(left: tuple[int, ...], right: list[int]) -> None:
    pairs = aligned(left, right)
    equal = sum(left[i] == right[j] for i, j in pairs if min(i, j) >= 0)
    assert equal >= common(left, tuple(right))
    assert [i for i, _ in pairs if i >= 0] == list(range(len(left)))
    assert [j for _, j in pairs if j >= 0] == list(range(len(right)))


def test_long_texts_that_repeat_themselves_are_aligned_too() -> None:
    pairs = aligned([1, 2] * 2048, [2, 2, 1] * 1365)  # difflib would take minutes
    assert sum(min(pair) >= 0 for pair in pairs) > 2048


def oracle(made: Tiny, ids: list[int]) -> Any:
    with torch.no_grad():
        logits = made.oracle(torch.tensor([ids]), use_cache=False).logits[0]
    return log_softmax(logits.numpy())


def test_every_number_is_that_of_transformers(tiny: Made) -> None:  # noqa: F811
    made = tiny("llama")
    told = compare(run(made, LEFT), run(made, RIGHT))
    sides = oracle(made, LEFT), oracle(made, RIGHT)
    seen = values(made.oracle, "llama", LEFT), values(made.oracle, "llama", RIGHT)
    assert told.pairs.tolist() == [list(pair) for pair in PAIRS]
    for at, pair in enumerate(PAIRS):
        for side, row in enumerate(pair):
            ids = (LEFT, RIGHT)[side]
            if row > 0:
                truth = sides[side][row - 1, ids[row]]
                assert told.logprobs[at, side] == pytest.approx(truth, abs=1e-4)
            else:
                assert np.isnan(told.logprobs[at, side])
            if row >= 0:
                assert told.top_ids[at, side] == sides[side][row].argmax()
                assert told.top_logprobs[at, side] == pytest.approx(
                    sides[side][row].max(), abs=1e-4
                )
            else:
                assert told.top_ids[at, side] == -1
        if min(pair) < 0:
            assert np.isnan(told.divergence[at])
            assert np.isnan(told.distances[:, at]).all()
            continue
        p, q = (torch.tensor(s[row]) for s, row in zip(sides, pair, strict=True))
        kl = torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum") / np.log(2)
        assert told.divergence[at] == pytest.approx(float(kl), abs=1e-4)
        for layers in range(5):
            site = f"layers.{layers - 1}.resid_post" if layers else "embed"
            a, b = (s[site][row] for s, row in zip(seen, pair, strict=True))
            mean = (np.linalg.norm(a) + np.linalg.norm(b)) / 2
            truth = np.linalg.norm(a - b) / mean
            assert told.distances[layers, at] == pytest.approx(truth, abs=1e-4)


def test_a_run_is_no_different_from_itself(tiny: Made) -> None:  # noqa: F811
    told = compare(run(tiny("gpt2"), LEFT), run(tiny("gpt2"), LEFT))
    assert (told.divergence == 0).all()
    assert (told.distances == 0).all()


def test_what_a_change_does_begins_where_it_is(tiny: Made) -> None:  # noqa: F811
    made = tiny("llama")
    told = compare(run(made, LEFT), run(made, LEFT, [Edit("layers.2.mlp.out", scale(0))]))
    assert (told.distances[:3] == 0).all(), "embedding and two layers are before it"
    assert (told.distances[3:] > 0).all()
    assert (told.divergence > 0).all()


def test_models_of_other_sizes_are_compared_by_what_they_say(tiny: Made) -> None:  # noqa: F811
    one, other = run(tiny("llama"), LEFT), run(tiny("gpt2"), LEFT)
    told = compare(one, other)
    assert told.distances.shape == (0, len(LEFT))
    assert np.isfinite(told.divergence).all(), "their ids mean the same"


def test_vocabularies_that_differ_are_aligned_by_what_tokens_say(tiny: Made) -> None:  # noqa: F811
    subject, trace = run(tiny("llama"), LEFT)
    other, second = run(tiny("gpt2"), [i + 1 for i in LEFT])
    other = replace(other, bytes_of=lambda token: f"<{token - 1}>".encode())
    second = replace(second, words={i + 1: f"<{i}>".encode() for i in LEFT})
    told: Comparison = compare((subject, trace), (other, second))
    assert told.pairs.tolist() == [[i, i] for i in range(len(LEFT))]
    assert np.isnan(told.divergence).all()
    assert told.right.bytes_of(int(told.top_ids[0, 1])).startswith(b"<")


def test_a_divergence_of_billionths_is_exact() -> None:
    random = np.random.default_rng(0)
    left = (3 * random.normal(size=49152)).astype(np.float32)
    right = left + random.normal(size=left.shape).astype(np.float32) * np.float32(1e-4)
    ours, theirs = log_softmax(left), log_softmax(right)
    truth = (np.exp(ours) * (ours - theirs)).sum() / np.log(2)
    assert 0 < truth < 1e-7
    assert divergence(left, right) == pytest.approx(truth, rel=1e-3)
