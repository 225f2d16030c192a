"""Cutoffs by probability and entropy: what transformers keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as oracle

from pellucid.choose.vocabulary import entropy

from ..logits import KINDS, NOTHING, Floats, apply, logits, run, tied

# In float32 transformers' sums are good to 1e-5, and so is what it keeps at the edge.
CASES = [
    ("top_h", 0.05, oracle.TopHLogitsWarper),
    ("top_h", 0.4, oracle.TopHLogitsWarper),
    ("top_h", 0.9, oracle.TopHLogitsWarper),
    ("epsilon_cutoff", 3e-4, oracle.EpsilonLogitsWarper),
    ("epsilon_cutoff", 0.09, oracle.EpsilonLogitsWarper),
    ("epsilon_cutoff", 0.99, oracle.EpsilonLogitsWarper),
    ("eta_cutoff", 3e-4, oracle.EtaLogitsWarper),
    ("eta_cutoff", 0.09, oracle.EtaLogitsWarper),
    ("eta_cutoff", 0.9, oracle.EtaLogitsWarper),
]
NAMED = pytest.mark.parametrize(
    ("name", "value", "processor"), CASES, ids=[f"{n}={v}" for n, v, _ in CASES]
)


@NAMED
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 7, 1000, 49_152])
def test_scores_are_those_of_transformers(
    name: str, value: float, processor: type, size: int, kind: str
) -> None:
    for seed in range(3 if size <= 1000 else 1):
        scores = logits(kind, size, seed)
        theirs = run(processor(value), scores, [], torch.float64)
        np.testing.assert_array_equal(apply(name, scores, NOTHING, value), theirs)


@NAMED
def test_tokens_of_equal_score_share_one_fate(name: str, value: float, processor: type) -> None:
    for seed in range(20):
        scores = tied(seed, 50)
        ours = apply(name, scores, NOTHING, value) > -np.inf
        assert not set(scores[ours]) & set(scores[~ours])
        theirs = run(processor(value), scores, [], torch.float64) > -np.inf
        if name == "top_h":  # which of the last equals stay is up to its sort
            assert set(scores[ours]) == set(scores[theirs])
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_the_whole_entropy_keeps_the_first_hundred() -> None:
    scores = logits("peaked", 500)
    kept = apply("top_h", scores, NOTHING, 1) > -np.inf
    np.testing.assert_array_equal(np.flatnonzero(kept), np.sort(np.argsort(-scores)[:100]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
def test_the_entropy_is_that_of_the_softmax(kind: str) -> None:
    scores: Floats = logits(kind, 5000)
    exact = torch.distributions.Categorical(logits=torch.tensor(scores).double()).entropy()
    assert math.isclose(entropy(scores), float(exact), rel_tol=2e-6, abs_tol=1e-6)
