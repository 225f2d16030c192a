"""A filter that leaves out the likeliest, now and then, so that an answer surprises."""

from __future__ import annotations

import math

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter


def xtc(
    candidates: Candidates,
    context: Context,
    probability: float,
    threshold: float,
    min_keep: int = 0,
) -> Candidates:
    """With this probability, remove all tokens that reach the threshold but the least of them.

    "Exclude top choices": p-e-w, text-generation-webui PR #6335; here with llama.cpp's rules. None
    are removed if fewer than `min_keep` would be left.
    """
    assert context.draws, "a parameter that asks for sampling comes with draws"
    if context.draws.uniform() >= probability:
        return candidates
    top = candidates.at_least(candidates.logsumexp + math.log(threshold))
    if len(top) < 2:
        return candidates
    scores = candidates.scores_of(top)
    excluded = top[scores > scores.min()]
    if candidates.count - len(excluded) < min_keep:
        return candidates
    return candidates.without(excluded)


ROWS = (Filter(xtc, ("xtc_probability", "xtc_threshold", "min_keep")),)
