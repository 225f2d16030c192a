"""Passes over the scores of a whole vocabulary: the sums, the highest, what reaches a threshold.

Choosing a token out of 262,144 must not be felt beside computing their scores, which NumPy's
passes are; these are C++, and take 20 to 60 microseconds each. Scores are float32 `[vocab]`,
contiguous; minus infinity is a removed token, and weighs nothing. NaN is never among what is
selected, and shows in what is summed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pellucid.backends import _native
from pellucid.choose.candidates import Candidates
from pellucid.weights.tensor import Floats

Ids = npt.NDArray[np.int64]

TAILS = 8  # thresholds of `tails`
FARTHEST = np.float32(104)  # below the highest score: beyond it nothing weighs anything


def weigh(scores: Floats) -> tuple[float, float]:
    """The highest score, and the sum of exp(score - highest); logsumexp is highest + log(sum).

    (-inf, 0) where no token is left; NaN for both where a score is NaN. The sum is of float32
    numbers, in one fixed order, and good to 1e-6 of itself.

    >>> weigh(np.array([3, 3, -np.inf], np.float32))
    (3.0, 2.0)
    """
    return _native.weigh(scores, None)


def logsumexp(scores: Floats) -> float:
    """What makes scores log-probabilities when it is taken from them; -inf where none is left.

    >>> logsumexp(np.log(np.array([3, 1, 4], np.float32))) - math.log(8) < 1e-6
    True
    """
    most, total = weigh(scores)
    return most + math.log(total) if total else most


def weights(scores: Floats) -> tuple[Floats, float]:
    """exp(score - highest) of every token, float32 `[vocab]`, and their sum as in `weigh`.

    >>> weights(np.array([0, -np.inf, 0], np.float32))
    (array([1., 0., 1.], dtype=float32), 2.0)
    """
    each = np.empty_like(scores)
    return each, _native.weigh(scores, each)[1]


def entropy(scores: Floats) -> float:
    """The entropy of the softmax, in nats.

    >>> round(entropy(np.array([0, 0, -np.inf, 0, 0], np.float32)) / math.log(4), 6)
    1.0
    """
    each, total = weights(scores)
    below = scores - scores.max()
    np.maximum(below, -FARTHEST, out=below)  # minus infinity times a weight of 0 would be NaN
    return math.log(total) - float(np.dot(each, below)) / total


def leading(scores: Floats, k: int) -> Ids:
    """The ids of the k highest scores, highest first, the lower id of equals first.

    Fewer where fewer tokens are left.

    >>> leading(np.array([1, 3, -np.inf, 3, 2], np.float32), 3).tolist()
    [1, 3, 4]
    """
    return Candidates(scores).leading(k)


def shuffled(seed: int, count: int, first: int) -> Ids:
    """The first of `count` numbers from 0 on, shuffled as PyTorch's randperm does on a CPU.

    `seed` has 32 bits.

    >>> sorted(shuffled(7, 5, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    return _native.shuffled(seed, count, first)


def at_least(scores: Floats, threshold: float, below: float = np.nan) -> Ids:
    """The ids with scores from `threshold` on, and if given under `below`; rising.

    >>> at_least(np.array([1, 3, 0, 2], np.float32), 1, below=3).tolist()
    [0, 3]
    """
    return _native.between(scores, threshold, below)


def tails(
    keys: Floats, weights: Floats, thresholds: Sequence[float]
) -> tuple[list[float], list[int]]:
    """For each of `TAILS` thresholds: what the tokens whose keys reach it weigh, and their number.

    >>> keys, ones = np.arange(10, dtype=np.float32), np.ones(10, np.float32)
    >>> tails(keys, ones / 2, [7, 6, 5, 4, 3, 2, 1, 0])[0]
    [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]
    """
    return _native.tails(keys, weights, thresholds)
