"""Filters that steer by what was drawn before: each remembers how likely the tokens were."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

import numpy as np

from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.filters.truncation import top_k
from pellucid.choose.vocabulary import weights

Value = TypeVar("Value")

_LEADING = 100  # tokens from which mirostat 1 estimates how fast probabilities fall
_WIDTH, _PEAK, _SHARPNESS = 0.3, 5.0, 10.0  # the shape of adaptive-p, as llama.cpp has it


class Memory(Generic[Value]):
    """A value for each length of a branch: each token moves it on, by the probability it had.

    `saw` notes the candidates that the next token is chosen from; a token that was none of them
    leaves the value as it is.
    """

    def __init__(self, start: Value, move: Callable[[Value, float], Value]) -> None:
        self._values = [start]
        self._move = move
        self._seen: tuple[int, Candidates] | None = None  # at this length

    @property
    def value(self) -> Value:
        """What the next token is chosen by."""
        return self._values[-1]

    def saw(self, candidates: Candidates) -> None:
        """Note what the next token is chosen from."""
        self._seen = (len(self._values), candidates)

    def append(self, token: int) -> None:
        """Move on by a token."""
        length, candidates = self._seen or (0, None)
        prob = 0.0
        if candidates is not None and length == len(self._values):
            prob = candidates.prob(token)
        self._values.append(self._move(self.value, prob) if prob else self.value)

    def drop(self, count: int) -> None:
        """Take back the last tokens."""
        del self._values[-count:]

    def fork(self) -> Self:
        """The memory of a fork."""
        twin = type(self)(self._values[0], self._move)
        twin._values, twin._seen = self._values.copy(), self._seen
        return twin


def mirostat(
    candidates: Candidates,
    context: Context,
    memory: Memory[float],
    version: int,
    tau: float,
    eta: float,
) -> Candidates:
    """Cut off what is too surprising, so that the surprise of what is drawn keeps near a target.

    Basu et al. 2021, arXiv:2007.14966, as llama.cpp has it. The bound mu begins at twice the
    target `tau` (bits), and moves by `eta` of what the last token's surprise missed it by. Version
    1 turns mu into a top_k by Zipf's law, version 2 compares surprises with mu itself.
    """
    bound = memory.value
    if version == 1:
        left = top_k(candidates, context, _zipf_k(candidates, context.vocab_size, bound))
    else:
        least = candidates.logsumexp - bound * math.log(2)
        left = candidates.above(min(least, candidates.most))
    memory.saw(left)
    return left


def _zipf_k(candidates: Candidates, vocab_size: int, bound: float) -> int:
    """How many tokens to keep so that the expected surprise is `bound` (the paper's equation 17).

    The exponent s of Zipf's law is fitted to the leading tokens: the slope of log-probabilities
    over log-ranks. (Where k is beyond 2**31, llama.cpp overflows and keeps one token; all stay
    here.)
    """
    scores = candidates.scores_of(candidates.leading(_LEADING)).astype(np.float64)
    if len(scores) < 2:
        return 1
    ranks = np.arange(1, len(scores) + 1)
    steps = np.diff(np.log(ranks))
    s = float(np.dot(steps, -np.diff(scores)) / np.dot(steps, steps))
    if s == 0:  # all alike, and no law to go by
        return vocab_size
    epsilon = s - 1
    # (1 - vocab ** -epsilon) / epsilon, whose limit at 0 is log(vocab)
    size = math.log(vocab_size)
    total = -math.expm1(-epsilon * size) / epsilon if epsilon else size
    k = math.exp(min((bound * math.log(2) - math.log(total)) / s, size))
    return max(int(k), 1)


def _bound(task: Any, version: int, tau: float, eta: float) -> Memory[float]:
    return Memory(2 * tau, lambda mu, prob: mu - eta * (-math.log2(prob) - tau))


def adaptive_p(
    candidates: Candidates,
    context: Context,
    memory: Memory[tuple[float, float]],
    target: float,
    decay: float,
) -> Candidates:
    """Favour tokens whose probability is near a target, so that the average drawn comes to it.

    llama.cpp's PR #17927. Where the tokens drawn so far were likelier than the target, it aims as
    much below it; `decay` is how much of its memory it keeps from one token to the next.
    """
    memory.saw(candidates)
    total, weight = memory.value
    aim = min(max(2 * target - total / weight, 0.0), 1.0)
    each, sum_of_each = weights(candidates.scores)
    off = each / np.float32(_WIDTH * sum_of_each)  # in place from here, as this may be long
    off -= np.float32(aim / _WIDTH)
    np.abs(off, out=off)
    scores = np.square(off, out=each)
    scores *= np.float32(-_SHARPNESS)
    scores /= np.add(off, 1, out=off)
    scores += np.float32(_PEAK)
    np.copyto(scores, REMOVED, where=candidates.scores == REMOVED)
    return candidates.rescored(scores)


def _average(task: Any, target: float, decay: float) -> Memory[tuple[float, float]]:
    weight = 1 / (1 - decay)
    start = (target * weight, weight)
    return Memory(start, lambda past, prob: (prob + decay * past[0], 1 + decay * past[1]))


ROWS = (
    Filter(mirostat, ("mirostat", "mirostat_tau", "mirostat_eta"), state=_bound),
    Filter(adaptive_p, ("adaptive_target", "adaptive_decay"), state=_average),
)
