"""What becomes of a token when a head, or an MLP, is taken out: each in turn, at every position.

Unlike `why`, which adds up what is written to one logit, this finds whoever the answer needs, also
by way of others. A part that another one replaces when it is missing looks as if it did nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pellucid.choose.vocabulary import logsumexp
from pellucid.engine.running import check_finite
from pellucid.errors import ParameterError
from pellucid.model.config import ModelConfig
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.trace.form import Form, exactly, floats, logprobs
from pellucid.trace.readings import Subject
from pellucid.trace.readings.row import WHOLE_MLP, checked_targets, silenced
from pellucid.trace.record import passes
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats

BY = ("zero", "mean")
_ROWS_AT_ONCE = 1024  # of all repetitions in one pass together


def forms(
    config: ModelConfig, ids: Sequence[int], token: int, position: int, by: str = "zero"
) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    targets = checked_targets(config, ids, token, position)
    if by not in BY:
        raise ParameterError("by", f"must be one of {', '.join(BY)}, not {by!r:.40}")
    layers, heads = config.layers, config.heads
    return {
        "logit": floats(1),
        "logprob": logprobs(1),
        "head_logits": floats(layers, heads),
        "head_logprobs": logprobs(layers, heads),
        "mlp_logits": floats(layers),
        "mlp_logprobs": logprobs(layers),
        "target_ids": exactly(targets),
    }


def read(
    subject: Subject, trace: Trace, token: int, position: int, by: str = "zero"
) -> dict[str, Array]:
    """The logit and log-probability of a token after a position: `logit` and `logprob` `[1]` of the
    run as it is, `head_logits` and `head_logprobs` `[layers, heads]`, `mlp_logits` and
    `mlp_logprobs` `[layers]` with each taken out. `by` says what it writes instead: nothing
    ("zero"), or its mean over the positions up to this one ("mean"). The subject's `progress` is
    told of each layer.
    """
    config = subject.config
    ids = trace.ids[: position + 1]
    means = _means(subject, ids) if by == "mean" else {}
    logits, logprobs = np.empty((2, config.layers, config.heads + 1), np.float32)
    for i in range(config.layers):
        logits[i], logprobs[i] = _outcomes(subject, ids, _edits(config, i, means), token)
        if subject.progress:
            subject.progress(i + 1, config.layers)
    whole_logit, whole_logprob = _outcomes(subject, ids, [None], token)
    return {
        "logit": whole_logit[:1],
        "logprob": whole_logprob[:1],
        "head_logits": logits[:, :-1],
        "head_logprobs": logprobs[:, :-1],
        "mlp_logits": logits[:, -1],
        "mlp_logprobs": logprobs[:, -1],
        "target_ids": np.array([token], np.int64),
    }


def _edits(config: ModelConfig, layer: int, means: dict[str, Floats]) -> list[Edit | None]:
    """A layer's heads one by one, then its MLP."""
    heads, mlp = means.get(f"layers.{layer}.attn.heads"), means.get(f"layers.{layer}.mlp.out")
    each = [silenced((layer, h), None if heads is None else heads[h]) for h in range(config.heads)]
    return [*each, silenced((layer, WHOLE_MLP), mlp)]


def _means(subject: Subject, ids: Sequence[int]) -> dict[str, Floats]:
    """What heads and MLPs write on average over these positions."""
    totals: dict[str, Array] = {}
    watch = ["layers.*.attn.heads", "layers.*.mlp.out"]
    for part in passes(subject.model, ids, watch, subject.edits, logits=False):
        for name, rows in part.seen.items():
            totals[name] = totals.get(name, 0) + rows.sum(0, dtype=np.float64)
    return {name: (total / len(ids)).astype(np.float32) for name, total in totals.items()}


def _outcomes(
    subject: Subject, ids: Sequence[int], edits: Sequence[Edit | None], token: int
) -> tuple[Floats, Floats]:
    """The token's logit and log-probability in the last row under each of these changes alone."""
    rows = np.concatenate(list(_repeated(subject, ids, edits)))
    logits = rows[:, token]
    return logits, logits - np.array([logsumexp(row) for row in rows], np.float32)


def _repeated(
    subject: Subject, ids: Sequence[int], edits: Sequence[Edit | None]
) -> Iterator[Floats]:
    segments = [Segment(ids, edits=[*subject.edits, *([edit] if edit else [])]) for edit in edits]
    at_once = max(1, _ROWS_AT_ONCE // len(ids))
    for at in range(0, len(segments), at_once):
        logits = subject.model.forward(Run(segments[at : at + at_once]))
        check_finite([logits])
        yield logits
