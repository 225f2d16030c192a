"""Filters that bear on how long an answer becomes."""

from __future__ import annotations

import math

import numpy as np

from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.filters.filter import Context, Filter

_FAR = 60.0  # where the growth is e**60, nothing but an end is left
_LARGEST = float(np.finfo(np.float32).max)


def min_new_tokens(candidates: Candidates, context: Context, least: int) -> Candidates:
    """Remove the stop tokens until the answer has `least` tokens."""
    if len(context.output) >= least or not len(context.stop_ids):
        return candidates
    return candidates.without(context.stop_ids)


def exponential_decay_length_penalty(
    candidates: Candidates, context: Context, decay: tuple[int, float]
) -> Candidates:
    """Raise the stop tokens by `|score| * (factor ** beyond - 1)`, beyond so many tokens.

    transformers' formula, within float32.
    """
    start, factor = decay
    beyond = len(context.output) - start
    if beyond <= 0:
        return candidates
    growth = math.expm1(min(beyond * math.log(factor), _FAR))
    ends = context.stop_ids
    old = candidates.scores_of(ends).astype(np.float64)
    ends, old = ends[old > REMOVED], old[old > REMOVED]
    raised = np.clip(old + np.abs(old) * growth, -_LARGEST, _LARGEST)
    return candidates.changed(ends, raised.astype(np.float32))


ROWS = (
    Filter(min_new_tokens, ("min_new_tokens",)),
    Filter(exponential_decay_length_penalty, ("exponential_decay_length_penalty",)),
)
