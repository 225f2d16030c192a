"""The filters: scores of the whole vocabulary in, scores out; a removed token has minus infinity.

Scores are float32 `[vocab]`, and never changed in place. A filter is a function of the scores, of
what the sequence holds so far, and of the values of its parameters; it is switched on by a row of
`FILTERS`, whose order is that of transformers' `generate`. Among equal scores no filter prefers
one: what is equal to the last token kept is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.vocabulary import TAILS, Ids, at_least, keep, leading, tails, weights
from pellucid.errors import ParameterError
from pellucid.weights.tensor import Floats

_REMOVED = np.float32(-np.inf)
_SHORT = 4096  # so few keys are sorted faster than looked through once more
_NATS = np.array([0.5, 1, 2, 4, 8, 16, 32, 64, 104], np.float32)  # below the first


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
    first = leading(scores, k)
    return keep(scores, scores, float(scores[first[-1]])) if len(first) == k else scores


def top_p(scores: Floats, context: Context, p: float) -> Floats:
    """Keep the fewest likeliest tokens whose probabilities add up to p (nucleus sampling).

    Holtzman et al. 2019, arXiv:1904.09751.
    """
    each, total = weights(scores)
    return keep(scores, scores, _edge(scores, each, p * total))


def min_p(scores: Floats, context: Context, fraction: float) -> Floats:
    """Keep tokens at least `fraction` as probable as the likeliest.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    return keep(scores, scores, float(scores.max()) + math.log(fraction))


def typical_p(scores: Floats, context: Context, p: float) -> Floats:
    """Keep the tokens whose surprise is nearest to the expected one, up to probability p.

    Locally typical sampling (Meister et al. 2022, arXiv:2202.00666). Surprise is the negative
    log-probability, and its expectation is the entropy of the scores as they come in.
    """
    each, total = weights(scores)
    nearness = scores - scores.max()  # in place from here: memory for a temporary takes longer
    np.maximum(nearness, -_NATS[-1], out=nearness)  # where nothing weighs anything, if removed
    nearness -= np.float32(np.dot(each, nearness) / total)  # log(total) less the entropy
    np.negative(np.abs(nearness, out=nearness), out=nearness)
    return keep(scores, nearness, _edge(nearness, each, p * total))


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


def _edge(keys: Floats, weights: Floats, wanted: float) -> float:
    """The last key of the shortest run, from the highest key down, that weighs as much as wanted.

    A selection, not a sort: each pass tells which of some ranges of keys holds the edge, until few
    are in it. What is more than _NATS[-1] below the highest key must weigh nothing.
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
    inside = at_least(keys, low, below=high)
    order = inside[np.argsort(-keys[inside])]
    run = above + np.cumsum(weights[order], dtype=np.float64)
    return float(keys[order[min(int(np.searchsorted(run, wanted)), len(order) - 1)]])
