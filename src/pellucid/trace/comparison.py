"""Two runs side by side: two texts, two models, or one model changed and not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pellucid.model.config import ModelConfig
from pellucid.model.sites import residual
from pellucid.trace.alignment import aligned
from pellucid.trace.readings import Subject
from pellucid.trace.readings.direction import Doubles
from pellucid.trace.readings.distribution import Ids, summary
from pellucid.trace.record import passes
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs, and what sets them apart; arrays have an entry for each of `pairs`.

    `pairs` `[n, 2]` are rows of the two, -1 where one has none. `logprobs` `[n, 2]` is the
    log-probability of the token itself after those before it, `top_ids` and `top_logprobs`
    `[n, 2]` the likeliest next token after it; NaN and -1 where there is none. `divergence` `[n]`
    is the Kullback-Leibler divergence of the right run's next-token distribution from the left's,
    KL(left || right), in bits, over the whole vocabulary; NaN where they have no vocabulary in
    common. `distances` `[layers + 1, n]` is how far the residuals are apart after so many layers,
    against the mean of their lengths: 0 where they are the same; no rows for models of other sizes.
    """

    left: Trace
    right: Trace
    pairs: Array
    logprobs: Floats
    top_ids: Ids
    top_logprobs: Floats
    divergence: Floats
    distances: Floats


def compare(left: tuple[Subject, Trace], right: tuple[Subject, Trace]) -> Comparison:
    """Run both again, and compare them row by row as they go: no row of logits is kept."""
    (one, first), (other, second) = left, right
    shared = same_vocabulary(left, right)
    pairs = aligned(first.ids, second.ids) if shared else aligned(first.pieces, second.pieces)
    stages = _stages(first.config, second.config)
    streams = _rows(one, first, stages), _rows(other, second, stages)
    told = [
        _told(next(streams[0]) if i >= 0 else None, next(streams[1]) if j >= 0 else None, shared)
        for i, j in pairs
    ]
    top_ids = np.array([entry.top_ids for entry in told], np.int64)
    return Comparison(
        _named(one, first, top_ids[:, 0]),
        _named(other, second, top_ids[:, 1]),
        np.array(pairs, np.int32),
        np.array([entry.logprobs for entry in told], np.float32),
        top_ids,
        np.array([entry.top_logprobs for entry in told], np.float32),
        np.array([entry.divergence for entry in told], np.float32),
        np.array([entry.distances or [math.nan] * len(stages) for entry in told], np.float32).T,
    )


def same_vocabulary(left: tuple[Subject, Trace], right: tuple[Subject, Trace]) -> bool:
    """Whether every id means the same to both."""
    (one, first), (other, second) = left, right
    if first.origin.fingerprint == second.origin.fingerprint:
        return True
    size = first.config.vocab_size
    return size == second.config.vocab_size and all(
        one.bytes_of(token) == other.bytes_of(token) for token in range(size)
    )


def _stages(left: ModelConfig, right: ModelConfig) -> list[str]:
    """The residuals that two models have in common."""
    if (left.layers, left.hidden_size) != (right.layers, right.hidden_size):
        return []
    return [residual(layers) for layers in range(left.layers + 1)]


@dataclass(frozen=True)
class _Row:
    """A row of a run: its logits `[vocab]`, how likely its own token was, what is likeliest next,
    and its residuals.
    """

    logits: Floats
    logprob: float
    top_id: int
    top_logprob: float
    residuals: Sequence[Floats]


def _rows(subject: Subject, trace: Trace, stages: Sequence[str]) -> Iterator[_Row]:
    following = np.array([*trace.ids[1:], -1])
    before = math.nan
    for part in passes(subject.model, trace.ids, stages, subject.edits):
        told = summary(part.logits, 1, following[part.start : part.start + part.rows])
        tops = zip(told["top_ids"][:, 0].tolist(), told["top_logprobs"][:, 0].tolist(), strict=True)
        for i, top in enumerate(tops):
            yield _Row(part.logits[i], before, *top, [part.seen[stage][i] for stage in stages])
            before = float(told["logprobs"][i])


@dataclass(frozen=True)
class _Entry:
    logprobs: tuple[float, ...]
    top_ids: tuple[int, ...]
    top_logprobs: tuple[float, ...]
    divergence: float = math.nan
    distances: Sequence[float] = ()


def _told(left: _Row | None, right: _Row | None, shared: bool) -> _Entry:
    both = left, right
    entry = _Entry(
        tuple(math.nan if row is None else row.logprob for row in both),
        tuple(-1 if row is None else row.top_id for row in both),
        tuple(math.nan if row is None else row.top_logprob for row in both),
    )
    if left is None or right is None:
        return entry
    return replace(
        entry,
        divergence=divergence(left.logits, right.logits) if shared else math.nan,
        distances=[*map(_distance, left.residuals, right.residuals)],
    )


def divergence(left: Floats, right: Floats) -> float:
    """KL(left || right) of the softmax of two rows of logits, in bits.

    >>> divergence(np.log(np.float32([0.5, 0.5])), np.log(np.float32([0.25, 0.75])))
    0.2075...
    """
    ours, theirs = map(_log_softmax, (left, right))
    alive = ours > -np.inf
    each = np.exp(ours[alive]) * (ours[alive] - theirs[alive])
    return max(0.0, float(each.sum()) / math.log(2))


def _log_softmax(row: Floats) -> Doubles:
    """In float64: a sum of float32 numbers would hide that two runs differ by a millionth."""
    x = row.astype(np.float64) - row.max()
    normed: Doubles = x - np.log(np.exp(x).sum())
    return normed


def _distance(left: Floats, right: Floats) -> float:
    """How far two vectors are apart, against the mean of their lengths."""
    length = float(np.linalg.norm(left) + np.linalg.norm(right)) / 2
    return float(np.linalg.norm(left - right)) / length if length else 0.0


def _named(subject: Subject, trace: Trace, tokens: Ids) -> Trace:
    """The trace, with the bytes of these tokens."""
    named = {token: subject.bytes_of(token) for token in tokens.tolist() if token >= 0}
    return replace(trace, words={**trace.words, **named})
