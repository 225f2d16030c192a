"""What becomes of a token's probability when the model cannot see one of those before it.

Each variant is a run of the same backend. It goes on from what was computed of the tokens before
the one that is taken out: they do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from pellucid.choose.parameters.values import Integer, whole
from pellucid.choose.vocabulary import logsumexp
from pellucid.engine.running import check_finite
from pellucid.errors import ParameterError
from pellucid.model.cache import KeyValues
from pellucid.model.changes import Positions
from pellucid.model.config import ModelConfig
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.trace.form import Form, exactly, floats, logprobs
from pellucid.trace.readings import Subject
from pellucid.trace.readings.attribution import said_of
from pellucid.trace.readings.row import checked_targets
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats

BY = ("mean", "zero", "hidden")
_ROWS_AT_ONCE = 1024


def forms(
    config: ModelConfig,
    ids: Sequence[int],
    token: int,
    position: int,
    by: str | int = "mean",
    places: Sequence[int] | None = None,
) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    targets = checked_targets(config, ids, token, position)
    if whole(by) is not None:
        Integer(0, config.vocab_size - 1).check("by", by)
    elif by not in BY:
        reason = f"must be one of {', '.join(BY)}, or a token's id, not {by!r:.40}"
        raise ParameterError("by", reason)
    for place in places or ():
        Integer(0, position).check("places", place)
    wanted = _wanted(places, position)
    return {
        "places": exactly(wanted),
        "logits": Form((len(wanted),), missing=True),
        "logprobs": logprobs(len(wanted), missing=True),
        "logit": floats(1),
        "logprob": logprobs(1),
        "target_ids": exactly(targets),
        "by_ids": exactly(_by_ids(by)),
    }


def read(
    subject: Subject,
    trace: Trace,
    token: int,
    position: int,
    by: str | int = "mean",
    places: Sequence[int] | None = None,
) -> dict[str, Array]:
    """The logit and the log-probability of `token` after `position`, with each of the tokens at
    `places` (all up to there, unless given) taken out: `logits` and `logprobs` `[places]`; `logit`
    and `logprob` `[1]` are those of the run. `places` come back as an array, as `by_ids` does a
    token that `by` names.

    `by` says what is in its place: the average of all embeddings ("mean"), so that its position is
    kept and nothing is said there; nothing at all ("zero"); another token (its id); or the token
    stays, but no later one may look at it ("hidden"), which cannot be asked of the last, whose
    entries are NaN. The changes of the run hold. `progress` is told of the places.
    """
    ids, wanted = trace.ids[: position + 1], _wanted(places, position)
    cache = subject.model.new_cache()
    whole_run = Segment(ids, cache, edits=subject.edits)
    logits, logprobs = np.full((2, len(wanted)), np.nan, np.float32)
    own = _outcome(subject.model.forward(Run([whole_run]))[0], token)
    for done, (number, row) in enumerate(_repeated(subject, ids, cache, wanted, by), 1):
        logits[number], logprobs[number] = _outcome(row, token)
        if subject.progress:
            subject.progress(done, len(wanted))
    return {
        "places": np.array(wanted, np.int64),
        "logits": logits,
        "logprobs": logprobs,
        "logit": np.array(own[:1], np.float32),
        "logprob": np.array(own[1:], np.float32),
        "target_ids": np.array([token], np.int64),
        "by_ids": np.array(_by_ids(by), np.int64),
    }


def _wanted(places: Sequence[int] | None, position: int) -> list[int]:
    return list(range(position + 1) if places is None else places)


def _by_ids(by: str | int) -> list[int]:
    return [] if isinstance(by, str) else [by]


def _repeated(
    subject: Subject, ids: Sequence[int], cache: KeyValues, wanted: Sequence[int], by: str | int
) -> Iterator[tuple[int, Floats]]:
    """The number of each place, and the logits `[vocab]` of the last row without it."""
    way = None if by == "hidden" else said_of(subject, ids, by)
    at_once: list[tuple[int, Segment]] = []
    for number, place in enumerate(wanted):
        segment = _without(subject, ids, cache, place, None if way is None else way[place])
        rows = sum(len(one.ids) for _, one in at_once)
        if at_once and segment and rows + len(segment.ids) > _ROWS_AT_ONCE:
            yield from _computed(subject, at_once)
            at_once = []
        if segment:
            at_once.append((number, segment))
    yield from _computed(subject, at_once)


def _computed(
    subject: Subject, numbered: Sequence[tuple[int, Segment]]
) -> Iterator[tuple[int, Floats]]:
    if not numbered:
        return
    logits = subject.model.forward(Run([segment for _, segment in numbered]))
    check_finite([logits])
    yield from zip((number for number, _ in numbered), logits, strict=True)


def _without(
    subject: Subject, ids: Sequence[int], cache: KeyValues, place: int, way: Floats | None
) -> Segment | None:
    """The rows that depend on a token, to be computed without it; None if that is none."""
    start = place if way is not None else place + 1
    if start == len(ids):
        return None
    fork = cache.fork()
    fork.trim(start)
    edit = (
        Edit("layers.*.attn.scores", partial(_hide, place))
        if way is None
        else Edit("embed", partial(_take_out, place, way))
    )
    return Segment(ids[start:], fork, edits=[*subject.edits, edit])


def _take_out(place: int, way: Floats, rows: Floats, positions: Positions) -> Floats:
    rows[positions == place] -= way
    return rows


def _hide(place: int, rows: Floats, positions: Positions) -> Floats:
    rows[positions > place, :, place] = -np.inf
    return rows


def _outcome(logits: npt.NDArray[np.float32], token: int) -> tuple[float, float]:
    logit = float(logits[token])
    return logit, logit - logsumexp(logits)
