"""A filter that keeps what stands out from the noise of the scores."""

from __future__ import annotations

import math

import numpy as np

from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.weights.tensor import Floats


def top_n_sigma(candidates: Candidates, context: Context, n: float) -> Candidates:
    """Keep tokens whose score is at most n standard deviations below the highest.

    Tang et al. 2024, arXiv:2411.07641. The deviation is that of the scores that are left.
    """
    scores = candidates.scores
    return candidates.above(candidates.most - n * _deviation(scores))


def _deviation(scores: Floats) -> float:
    """The standard deviation of the scores of tokens that are left."""
    mean = scores.mean()
    if mean == REMOVED:
        scores = scores[scores > REMOVED]
        mean = scores.mean()
    apart = scores - mean  # np.std takes half as long again
    with np.errstate(over="ignore"):
        squares = np.dot(apart, apart)
    if not np.isfinite(squares):
        squares = np.sum(np.square(apart, dtype=np.float64))
    return math.sqrt(squares / len(apart))


ROWS = (Filter(top_n_sigma, ("top_n_sigma",)),)
