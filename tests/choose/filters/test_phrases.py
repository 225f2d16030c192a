"""Phrases that must not come, or are wanted more or less: transformers' scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transformers.generation import logits_process as oracle

from ..logits import KINDS, apply, context, logits, run

SIZE = 12


def phrases(seed: int) -> list[list[int]]:
    """Sequences of 1 to 4 of 3 tokens, so that many are begun and some end in the same token."""
    rng = np.random.default_rng(seed)
    drawn = {tuple(rng.integers(0, 3, rng.integers(1, 5)).tolist()) for _ in range(12)}
    return [list(phrase) for phrase in drawn]


def text(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed + 100).integers(0, 3, length).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 2, 3, 30])
def test_bad_words_are_those_of_transformers(length: int, kind: str) -> None:
    for seed in range(10):
        ids, bad, scores = text(seed, length), phrases(seed), logits(kind, SIZE, seed)
        ours = apply("bad_words_ids", scores, context(ids[:1], ids[1:]), bad)
        theirs = run(oracle.NoBadWordsLogitsProcessor(bad), scores, ids)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 2, 3, 30])
def test_biases_are_those_of_transformers(length: int, kind: str) -> None:
    for seed in range(10):
        ids, scores = text(seed, length), logits(kind, SIZE, seed)
        biased: list[list[Any]] = [[p, 1.5 - place] for place, p in enumerate(phrases(seed))]
        ours = apply("sequence_bias", scores, context(ids[:1], ids[1:]), biased)
        theirs = run(oracle.SequenceBiasLogitsProcessor(biased), scores, ids)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_mapping_says_the_same_as_pairs() -> None:
    scores, seen = logits("peaked", SIZE), context([1, 2], [])
    pairs = apply("sequence_bias", scores, seen, [[[1, 2, 3], 2.0], [[5], -1.0]])
    mapping = apply("sequence_bias", scores, seen, {(1, 2, 3): 2.0, (5,): -1.0})
    np.testing.assert_array_equal(pairs, mapping)
