"""Filters that sharpen a distribution or cut off its tail, before a draw.

Among equal scores none prefers one: what is equal to the last token kept is kept.
"""

from __future__ import annotations

import numpy as np

from pellucid.choose import vocabulary
from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.weights.tensor import Floats

_SHORT = 1024  # so few keys are sorted faster than selected from
_NEAR = (6.0, 9.0)  # in nats: what is 8,000 times less likely than the first seldom matters


def temperature(candidates: Candidates, context: Context, value: float) -> Candidates:
    """Divide the scores: below 1 favours what is likely, above 1 evens out."""
    scores = candidates.scores
    with np.errstate(all="ignore"):
        divided = scores / np.float32(value)
        if not np.isfinite(divided.max()):
            # Beyond float32: the differences to the likeliest token are what matters, and they fit.
            divided = ((scores.astype(np.float64) - scores.max()) / value).astype(np.float32)
    return candidates.rescored(divided)


def top_k(candidates: Candidates, context: Context, k: int) -> Candidates:
    """Keep the k likeliest tokens, and what is as likely as the last of them.

    Fan et al. 2018, arXiv:1805.04833.
    """
    if k >= len(candidates.scores):
        return candidates
    last = vocabulary.leading(candidates.scores, k)[-1]
    return candidates.keep(vocabulary.at_least(candidates.scores, candidates.scores[last]))


def top_p(candidates: Candidates, context: Context, p: float) -> Candidates:
    """Keep the fewest likeliest tokens whose probabilities add up to p (nucleus sampling).

    Holtzman et al. 2019, arXiv:1904.09751.
    """
    scores, (most, total) = candidates.scores, candidates.weight
    for nats in _NEAR:
        near = scores[vocabulary.at_least(scores, np.float32(most - nats))]
        weights = np.exp(near - np.float32(most))
        if weights.sum(dtype=np.float64) >= p * total:
            break
    else:
        near = scores[scores > REMOVED]
        weights = np.exp(near - np.float32(most))
    edge = _edge(-near, weights, p * total)
    return candidates.keep(vocabulary.at_least(scores, -edge))


def min_p(candidates: Candidates, context: Context, fraction: float) -> Candidates:
    """Keep tokens at least `fraction` as probable as the likeliest.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    scores, most = candidates.scores, np.float32(candidates.weight[0])
    return candidates.where(np.exp(scores - most) >= np.float32(fraction))


def typical_p(candidates: Candidates, context: Context, p: float) -> Candidates:
    """Keep the tokens whose surprise is nearest to the expected one, up to probability p.

    Locally typical sampling (Meister et al. 2022, arXiv:2202.00666). Surprise is the negative
    log-probability, and its expectation is the entropy of the scores as they come in.
    """
    scores, (most, total) = candidates.scores, candidates.weight
    alive = np.flatnonzero(scores > REMOVED)
    shifted = scores[alive] - np.float32(most)
    weights = np.exp(shifted)
    entropy = np.log(total) - np.dot(weights, shifted) / total
    distance = np.abs(np.float32(np.log(total) - entropy) - shifted)
    return candidates.keep(alive[distance <= _edge(distance, weights, p * total)])


def _edge(keys: Floats, weights: Floats, wanted: float) -> np.float32:
    """The last key of the shortest run, in rising order, that weighs as much as is wanted.

    A selection, not a sort: whichever half holds the edge is halved again until it is short.
    """
    while len(keys) > _SHORT:
        order = np.argpartition(keys, len(keys) // 2)
        first, rest = order[: len(keys) // 2], order[len(keys) // 2 :]
        held = weights[first].sum(dtype=np.float64)
        side = first if held >= wanted else rest
        wanted -= 0.0 if side is first else held
        keys, weights = keys[side], weights[side]
    order = np.argsort(keys)
    before = int((np.cumsum(weights[order], dtype=np.float64) < wanted).sum())
    return np.float32(keys[order[min(before, len(order) - 1)]])


ROWS = (
    Filter(temperature, ("temperature",)),
    Filter(top_k, ("top_k",)),
    Filter(top_p, ("top_p",)),
    Filter(min_p, ("min_p",)),
    Filter(typical_p, ("typical_p",)),
)
