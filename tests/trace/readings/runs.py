"""Runs to be read: a trace of ids and nothing else, and its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.trace.origin import Origin
from pellucid.trace.readings import Subject, taken
from pellucid.trace.trace import Trace
from pellucid.weights.checkpoint import Checkpoint

Arrays = dict[str, npt.NDArray[Any]]


def run_of(
    model: Model, checkpoint: Checkpoint, ids: Sequence[int], edits: Sequence[Edit] = ()
) -> tuple[Subject, Trace]:
    """A text that is read by a model, and who reads it."""
    origin = Origin.of("tiny", checkpoint, model.config, model.backend)
    subject = Subject(model, checkpoint, lambda token: f"<{token}>".encode(), edits)
    words = {token: subject.bytes_of(token) for token in ids}
    return subject, Trace(origin, tuple(ids), len(ids), words)


def read(run: tuple[Subject, Trace], name: str, **arguments: Any) -> Arrays:
    """The arrays of a reading."""
    reading = taken(*run, name, **arguments).reading(name, **arguments)
    assert reading
    return dict(reading.arrays)


def log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """By its formula, in float64."""
    x = logits.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))
