"""What the model expected after each token, and how likely it held what came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pellucid.choose.vocabulary import logsumexp
from pellucid.model.config import ModelConfig
from pellucid.trace.form import Form, floats
from pellucid.trace.readings import Subject, distribution
from pellucid.trace.readings.distribution import Ids, joined, summary
from pellucid.trace.record import passes
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats

TEMPERATURES = tuple(round(0.1 * i, 1) for i in range(1, 21))  # at which `tempered` is exact


def forms(config: ModelConfig, ids: Sequence[int], top: int = 20) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    rows = len(ids)
    return {
        **distribution.forms(config, top, rows),
        "totals": floats(rows),
        "tempered": floats(rows, len(TEMPERATURES)),
    }


def read(subject: Subject, trace: Trace, top: int = 20) -> dict[str, Array]:
    """`distribution.summary` of each row, the target being the token that follows; the last row has
    none. `totals` `[rows]` is the logsumexp of the logits: a log-probability and it are a logit.
    `tempered` `[rows, temperatures]` is the logarithm of the sum of every token's
    exp(logprob / temperature), for each of `TEMPERATURES`: with it, what a temperature makes of the
    kept tokens' probabilities is exact.
    """
    following = np.array([*trace.ids[1:], -1])
    return joined(_parts(subject, trace, top, following))


def _parts(subject: Subject, trace: Trace, top: int, following: Ids) -> Iterator[dict[str, Array]]:
    for part in passes(subject.model, trace.ids, edits=subject.edits):
        targets = following[part.start : part.start + part.rows]
        totals = np.array([logsumexp(row) for row in part.logits], np.float32)
        heated = {"totals": totals, "tempered": _tempered(part.logits, totals)}
        yield {**summary(part.logits, top, targets), **heated}


def _tempered(logits: Floats, totals: Floats) -> Floats:
    inverse = [np.float32(1 / temperature) for temperature in TEMPERATURES]
    sums = [[logsumexp(row * by) for by in inverse] for row in logits]
    return (np.array(sums) - np.outer(totals, inverse)).astype(np.float32)
