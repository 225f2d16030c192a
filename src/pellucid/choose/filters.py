"""The filters: scores of the whole vocabulary in, scores out; a removed token has minus infinity.

Scores are float32 `[vocab]`, and never changed in place. A filter is a function of the scores, of
what the sequence holds so far, and of the values of its parameters; it is switched on by a row of
`FILTERS`, whose order is that of transformers' `generate`. Among equal scores no filter prefers
one: what is equal to the last token kept is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.choose.parameters import GenerationParameters
from pellucid.errors import ParameterError
from pellucid.weights.tensor import Floats

Ids = npt.NDArray[np.int64]

_REMOVED = np.float32(-np.inf)
_SHORT = 1024  # so few keys are sorted faster than selected from
_NEAR = (6.0, 9.0)  # in nats: what is 8,000 times less likely than the first seldom matters


@dataclass(frozen=True)
class Context:
    """What a filter may know of the sequence whose next token is chosen."""

    prompt: Ids  # [tokens given]
    output: Ids  # [tokens chosen since]
    stop_ids: Ids  # tokens that end the answer


def repetition_penalty(scores: Floats, context: Context, penalty: float) -> Floats:
    """Divide what speaks for a token that was used, multiply what speaks against it.

    CTRL (Keskar et al. 2019, arXiv:1909.05858), with transformers' sign rule; prompt and answer
    count alike, however often a token stands there.
    """
    used = np.concatenate((context.prompt, context.output))
    penalised = scores.copy()
    old = scores[used]
    penalised[used] = np.where(old < 0, old * np.float32(penalty), old / np.float32(penalty))
    return penalised


def presence_penalty(scores: Floats, context: Context, penalty: float) -> Floats:
    """Subtract the penalty once from every token of the answer (OpenAI's formula)."""
    penalised = scores.copy()
    penalised[np.unique(context.output)] -= np.float32(penalty)
    return penalised


def frequency_penalty(scores: Floats, context: Context, penalty: float) -> Floats:
    """Subtract the penalty for each time that a token stands in the answer (OpenAI's formula)."""
    used, times = np.unique(context.output, return_counts=True)
    penalised = scores.copy()
    penalised[used] -= times.astype(np.float32) * np.float32(penalty)
    return penalised


def min_new_tokens(scores: Floats, context: Context, least: int) -> Floats:
    """Remove the stop tokens until the answer has `least` tokens."""
    if len(context.output) >= least or not len(context.stop_ids):
        return scores
    kept = scores.copy()
    kept[context.stop_ids] = _REMOVED
    return kept


def temperature(scores: Floats, context: Context, value: float) -> Floats:
    """Divide the scores: below 1 favours what is likely, above 1 evens out."""
    with np.errstate(all="ignore"):
        divided = scores / np.float32(value)
        if np.isfinite(divided.max()):
            return divided
        # Beyond float32: the differences to the likeliest token are what matters, and they fit.
        shifted: Floats = ((scores.astype(np.float64) - scores.max()) / value).astype(np.float32)
        return shifted


def top_k(scores: Floats, context: Context, k: int) -> Floats:
    """Keep the k likeliest tokens, and what is as likely as the last of them.

    Fan et al. 2018, arXiv:1805.04833.
    """
    if k >= len(scores):
        return scores
    return _keep(scores, scores >= np.partition(scores, -k)[-k])


def top_p(scores: Floats, context: Context, p: float) -> Floats:
    """Keep the fewest likeliest tokens whose probabilities add up to p (nucleus sampling).

    Holtzman et al. 2019, arXiv:1904.09751.
    """
    alive = scores[np.flatnonzero(scores > _REMOVED)]
    edge = _edge(-alive, np.exp(alive - alive.max()), p)
    return _keep(scores, scores >= -edge)


def min_p(scores: Floats, context: Context, fraction: float) -> Floats:
    """Keep tokens at least `fraction` as probable as the likeliest.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    return _keep(scores, np.exp(scores - scores.max()) >= np.float32(fraction))


def typical_p(scores: Floats, context: Context, p: float) -> Floats:
    """Keep the tokens whose surprise is nearest to the expected one, up to probability p.

    Locally typical sampling (Meister et al. 2022, arXiv:2202.00666). Surprise is the negative
    log-probability, and its expectation is the entropy of the scores as they come in.
    """
    alive = np.flatnonzero(scores > _REMOVED)
    shifted = scores[alive] - scores.max()
    weights = np.exp(shifted)
    total = weights.sum(dtype=np.float64)
    entropy = np.log(total) - np.dot(weights, shifted) / total
    distance = np.full_like(scores, np.inf)
    distance[alive] = np.abs(np.float32(np.log(total) - entropy) - shifted)
    return _keep(scores, distance <= _edge(distance[alive], weights, p))


@dataclass(frozen=True)
class Filter:
    """A row of the table: a function, and the parameters whose values it takes after the context.

    The first of these switches the filter on, when it acts.
    """

    apply: Callable[..., Floats]
    parameters: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.apply.__name__

    @property
    def doc(self) -> str:
        """The first line of what its function says about itself."""
        return (self.apply.__doc__ or "").partition("\n")[0]


FILTERS = (
    Filter(repetition_penalty, ("repetition_penalty",)),
    Filter(frequency_penalty, ("frequency_penalty",)),
    Filter(presence_penalty, ("presence_penalty",)),
    Filter(min_new_tokens, ("min_new_tokens",)),
    Filter(temperature, ("temperature",)),
    Filter(top_k, ("top_k",)),
    Filter(top_p, ("top_p",)),
    Filter(min_p, ("min_p",)),
    Filter(typical_p, ("typical_p",)),
)


class Chain:
    """The filters that some parameters switch on, in order."""

    def __init__(self, parameters: GenerationParameters) -> None:
        self.filters = [row for row in FILTERS if parameters.acts(row.parameters[0])]
        self._values = [[getattr(parameters, n) for n in row.parameters] for row in self.filters]

    def steps(self, scores: Floats, context: Context) -> Iterator[tuple[Filter, Floats]]:
        """Each filter with the scores as it leaves them."""
        for row, values in zip(self.filters, self._values, strict=True):
            scores = row.apply(scores, context, *values)
            yield row, scores

    def __call__(self, scores: Floats, context: Context) -> Floats:
        """The scores after all filters; ParameterError at the filter that leaves no token."""
        for row, after in self.steps(scores, context):
            if after.max() == _REMOVED:
                raise ParameterError(row.name, "leaves no token to choose from; loosen it")
            scores = after
        return scores


def _keep(scores: Floats, kept: npt.NDArray[np.bool_]) -> Floats:
    """The scores of the kept tokens; the others removed."""
    ids = np.flatnonzero(kept)  # by index: a scattered mask of 262,144 costs 1 ms, this 0.2
    left = np.full_like(scores, _REMOVED)
    left[ids] = scores[ids]
    return left


def _edge(keys: Floats, weights: Floats, mass: float) -> np.float32:
    """The last key of the shortest run, in rising order, that holds `mass` of all the weight.

    A selection, not a sort: whichever half holds the edge is halved again until it is short. Of
    Gemma's 262,144 logits top_p takes 0.6 to 1 ms so, and 5 where they are all about equal;
    sorting them takes 14.
    """
    wanted = mass * weights.sum(dtype=np.float64)
    for nats in _NEAR:
        near = np.flatnonzero(keys <= keys.min() + nats)
        if weights[near].sum(dtype=np.float64) >= wanted:
            keys, weights = keys[near], weights[near]
            break
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
