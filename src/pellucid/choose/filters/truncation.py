"""Filters that cut off the tail of a distribution, before a draw.

Among equal scores none prefers one: what is equal to the last token kept is kept.
"""

from __future__ import annotations

import math

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import TAILS, at_least, tails, weights
from pellucid.weights.tensor import Floats

_SHORT = 4096  # so few keys are sorted faster than looked through once more
_NATS = np.array([0.5, 1, 2, 4, 8, 16, 32, 64, 104], np.float32)  # below the first


def top_k(candidates: Candidates, context: Context, k: int) -> Candidates:
    """Keep the k likeliest tokens, and what is as likely as the last of them.

    Fan et al. 2018, arXiv:1805.04833.
    """
    least = candidates.least(k)
    return candidates if least is None else candidates.above(least)


def top_p(candidates: Candidates, context: Context, p: float, min_keep: int = 0) -> Candidates:
    """Keep the fewest likeliest tokens whose probabilities add up to p (nucleus sampling).

    Holtzman et al. 2019, arXiv:1904.09751.
    """
    edge = candidates.nucleus(p)
    if edge is None:
        each, total = weights(candidates.scores)
        edge = _edge(candidates.scores, each, p * total)
    return candidates.above(_at_least(min_keep, candidates, edge))


def min_p(
    candidates: Candidates, context: Context, fraction: float, min_keep: int = 0
) -> Candidates:
    """Keep tokens at least `fraction` as probable as the likeliest.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    least = candidates.most + math.log(fraction)
    return candidates.above(_at_least(min_keep, candidates, least))


def typical_p(candidates: Candidates, context: Context, p: float, min_keep: int = 0) -> Candidates:
    """Keep the tokens whose surprise is nearest to the expected one, up to probability p.

    Locally typical sampling (Meister et al. 2022, arXiv:2202.00666). Surprise is the negative
    log-probability, and its expectation is the entropy of the scores as they come in.
    """
    scores = candidates.scores
    each, total = weights(scores)
    nearness = scores - scores.max()  # in place from here: memory for a temporary takes longer
    np.maximum(nearness, -_NATS[-1], out=nearness)  # where nothing weighs anything, if removed
    nearness -= np.float32(np.dot(each, nearness) / total)  # log(total) less the entropy
    np.negative(np.abs(nearness, out=nearness), out=nearness)
    edge = _edge(nearness, each, p * total)
    if min_keep:
        edge = _at_least(min_keep, Candidates(nearness), edge)
    return candidates.reaching(nearness, edge)


def _at_least(count: int, keys: Candidates, edge: float) -> float:
    """The edge, or as much lower as it takes for so many keys to reach it.

    Removed tokens have the lowest keys.
    """
    least = keys.least(min(count, keys.count))
    return edge if least is None else min(edge, least)


def _edge(keys: Floats, weights: Floats, wanted: float) -> float:
    """The last key of the shortest run, from the highest key down, that weighs as much as wanted.

    What is more than _NATS[-1] below the highest key must weigh nothing.
    """
    low, high, above = float(keys.max() - _NATS[-1]), math.inf, 0.0
    if len(keys) > _SHORT:
        low, high, above = _narrowed(keys, weights, wanted)
    inside = at_least(keys, low, below=high)
    order = inside[np.argsort(-keys[inside])]
    run = above + np.cumsum(weights[order], dtype=np.float64)
    return float(keys[order[min(int(np.searchsorted(run, wanted)), len(order) - 1)]])


def _narrowed(keys: Floats, weights: Floats, wanted: float) -> tuple[float, float, float]:
    """A range of few keys that holds the edge, low and high, and what the keys above it weigh.

    A selection, not a sort: each pass tells which of some ranges of keys holds the edge.
    """
    top = keys.max()
    grid = np.append(np.nextafter(top, np.float32(np.inf)), top - _NATS)  # falling
    high, low, above = grid[0], grid[-1], 0.0
    reach_high, reach_low = 0, len(keys)  # how many keys do
    while reach_low - reach_high > _SHORT and np.nextafter(low, high) < high:
        sums, counts = tails(keys, weights, grid[1:-1].tolist())
        at = int(np.searchsorted(sums, wanted))
        high, low = grid[at], grid[at + 1]
        if at > 0:
            above, reach_high = sums[at - 1], counts[at - 1]
        if at < TAILS:
            reach_low = counts[at]
        grid = np.linspace(float(high), float(low), TAILS + 2).astype(np.float32)
    return float(low), float(high), above


ROWS = (
    Filter(top_k, ("top_k",)),
    Filter(top_p, ("top_p", "min_keep")),
    Filter(min_p, ("min_p", "min_keep")),
    Filter(typical_p, ("typical_p", "min_keep")),
)
