"""Filters that bear on how long an answer becomes."""

from __future__ import annotations

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter


def min_new_tokens(candidates: Candidates, context: Context, least: int) -> Candidates:
    """Remove the stop tokens until the answer has `least` tokens."""
    if len(context.output) >= least or not len(context.stop_ids):
        return candidates
    return candidates.without(context.stop_ids)


ROWS = (Filter(min_new_tokens, ("min_new_tokens",)),)
