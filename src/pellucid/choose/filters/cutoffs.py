"""Filters that cut off what is improbable, by how uncertain the model is.

Among equal scores none prefers one: what is equal to the last token kept is kept.
"""

from __future__ import annotations

import math

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import entropy

_LEADING = 100  # as many tokens does transformers' top_h look at


def top_h(candidates: Candidates, context: Context, share: float) -> Candidates:
    """Keep the fewest likeliest tokens whose part of the entropy stays within this share of it.

    Top-H decoding (Potraghloo et al. 2025, arXiv:2509.02510), as transformers has it: of the 100
    likeliest tokens alone, and of their distribution.
    """
    scores = candidates.scores_of(candidates.leading(_LEADING)).astype(np.float64)
    probs = np.exp(scores - scores[0])
    probs = probs[probs > 0] / probs.sum()
    reached = np.cumsum(probs * -np.log(probs))
    kept = max(1, int(np.searchsorted(reached, share * reached[-1], side="right")))
    return candidates.above(float(scores[kept - 1]))


def epsilon_cutoff(candidates: Candidates, context: Context, least: float) -> Candidates:
    """Keep tokens at least as probable as this, and the likeliest.

    Epsilon sampling (Hewitt et al. 2022, arXiv:2210.15191).
    """
    return _at_least(candidates, math.log(least))


def eta_cutoff(candidates: Candidates, context: Context, epsilon: float) -> Candidates:
    """Keep tokens at least as probable as epsilon, or as an uncertain model lets them be.

    Eta sampling (Hewitt et al. 2022, arXiv:2210.15191): the least probability is epsilon, or
    sqrt(epsilon) * exp(-entropy) where that is lower.
    """
    uncertain = math.log(epsilon) / 2 - entropy(candidates.scores)
    return _at_least(candidates, min(math.log(epsilon), uncertain))


def _at_least(candidates: Candidates, logprob: float) -> Candidates:
    return candidates.above(min(candidates.logsumexp + logprob, candidates.most))


ROWS = (
    Filter(top_h, ("top_h",)),
    Filter(epsilon_cutoff, ("epsilon_cutoff",)),
    Filter(eta_cutoff, ("eta_cutoff",)),
)
