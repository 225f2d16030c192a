"""Filters that let no run of n tokens come a second time."""

from __future__ import annotations

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import Ids


def no_repeat_ngram_size(candidates: Candidates, context: Context, n: int) -> Candidates:
    """Remove tokens that would complete a run of n tokens which prompt or answer has already.

    Paulus et al. 2017 (arXiv:1705.04304), section 2.5.
    """
    return candidates.without(_followers(context.ids, context.ids, n))


def encoder_no_repeat_ngram_size(candidates: Candidates, context: Context, n: int) -> Candidates:
    """Remove tokens that would complete a run of n tokens which the prompt has."""
    return candidates.without(_followers(context.prompt, context.ids, n))


def _followers(text: Ids, ids: Ids, n: int) -> Ids:
    """What follows, in a text, the last n - 1 ids."""
    if len(ids) < n or len(text) < n:
        return text[:0]
    starts = np.arange(len(text) - n + 1)
    for place, token in enumerate(ids[len(ids) - n + 1 :]):
        starts = starts[text[starts + place] == token]
    return text[starts + n - 1]


ROWS = (
    Filter(no_repeat_ngram_size, ("no_repeat_ngram_size",)),
    Filter(encoder_no_repeat_ngram_size, ("encoder_no_repeat_ngram_size",)),
)
