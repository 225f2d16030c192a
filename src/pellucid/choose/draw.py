"""Scores -> one token: the likeliest, or a draw; and where a token stands in a distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pellucid.choose.vocabulary import block_sums, weigh
from pellucid.weights.tensor import Floats

Chooser = Callable[[Floats], int]

_BLOCK = 1024


def likeliest(scores: Floats) -> int:
    """The token with the highest score; among equals the lowest id."""
    return int(scores.argmax())


def drawer(seed: int | None) -> Chooser:
    """A chooser that draws tokens by the softmax of their scores.

    Each draw takes one number of PCG64, so the n-th draw depends on the seed and n alone. The raw
    stream is used, which NumPy promises never to change (NEP 19).
    """
    source = np.random.PCG64(seed)
    return lambda scores: draw(scores, (source.random_raw() >> 11) * 2.0**-53)


def draw(scores: Floats, uniform: float) -> int:
    """The token at which the cumulative softmax, in order of ids, first exceeds `uniform`.

    >>> draw(np.log(np.array([0.5, 0.25, 0.25], np.float32)), 0.6)
    1
    """
    most = scores.max()
    sums = block_sums(scores, float(most), _BLOCK)  # first the block, then the token in it
    block, rest = _reach(sums, uniform * float(sums.sum()))
    start = block * _BLOCK
    token, _ = _reach(np.exp(scores[start : start + _BLOCK] - most), rest)
    return start + token


def standing(logits: Floats, token: int) -> tuple[float, int]:
    """The probability of a token under the softmax of the logits, and its rank from 1."""
    most, total = weigh(logits)
    logit = float(logits[token])
    rank = 1 if logit == most else 1 + int(np.count_nonzero(logits > logits[token]))
    return math.exp(logit - most) / total, rank


def _reach(weights: npt.NDArray[np.floating], goal: float) -> tuple[int, float]:
    """The first place where the running sum exceeds `goal`, and what is left of it there."""
    sums = np.cumsum(weights, dtype=np.float64)
    place = int(np.searchsorted(sums, goal, side="right"))
    if place == len(sums):  # rounding; never past the last place that weighs anything
        place = int(np.flatnonzero(weights)[-1])
    return place, goal - (float(sums[place - 1]) if place else 0.0)
