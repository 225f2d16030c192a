"""Dividing the scores, by a number or by one that the entropy sets."""

from __future__ import annotations

import math

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import entropy

_FARTHEST = float(np.finfo(np.float32).max)  # from 0
_COLDEST = 1e-30  # leaves the likeliest alone, and can be divided by


def temperature(
    candidates: Candidates,
    context: Context,
    value: float,
    spread: float = 0.0,
    exponent: float = 1.0,
) -> Candidates:
    """Divide the scores: below 1 favours what is likely, above 1 evens out.

    With a spread, the entropy decides how far from `value` the divisor is: a sure model gets the
    lower, an unsure one the upper end of that range (llama.cpp's dynamic temperature, PR #4972).
    """
    if spread:
        value = _by_entropy(candidates, value, spread, exponent)
    if value >= _COLDEST:
        divided = candidates.divided(value)
        if abs(divided.most) < _FARTHEST:
            return divided
    # Beyond float32: the differences to the likeliest token are what matters, and they fit.
    apart = candidates.scores.astype(np.float64) - candidates.most
    with np.errstate(all="ignore"):
        return candidates.rescored((apart / value).astype(np.float32))


def _by_entropy(candidates: Candidates, middle: float, spread: float, exponent: float) -> float:
    """The place in the range that the entropy has between 0 and that of an even choice.

    The even choice is one among the tokens that are left. (llama.cpp counts those too that its
    top_n_sigma has removed, as long as no other filter comes between.)
    """
    low, high = max(0.0, middle - spread), middle + spread
    even = math.log(candidates.count)
    share = min(max(entropy(candidates.scores) / even, 0.0), 1.0) if even else 0.0
    return max(low + (high - low) * math.pow(share, exponent), _COLDEST)


ROWS = (
    Filter(
        temperature,
        ("temperature", "dynatemp_range", "dynatemp_exponent"),
        switches=("temperature", "dynatemp_range"),
    ),
)
