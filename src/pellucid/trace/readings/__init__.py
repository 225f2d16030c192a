"""What is computed of a run with the model's weights. One file a reading; all in one table.

A trace keeps what was read, so that whoever opens it sees it without the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from inspect import signature
from typing import Any

from pellucid.backends import backend
from pellucid.errors import ParameterError
from pellucid.model import sites
from pellucid.model.config import ModelConfig
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.trace.form import Form
from pellucid.trace.record import record
from pellucid.trace.trace import Array, Reading, Trace, mentioned
from pellucid.weights.checkpoint import Checkpoint

# name -> the module here that computes it: `forms(config, ids, **arguments)`, what its arrays are,
# which raises ParameterError for arguments out of range; and `read(subject, trace, **arguments)`
READINGS: tuple[str, ...] = (
    "next",
    "lens",
    "why",
    "neurons",
    "ablation",
    "neighbours",
    "analogy",
    "map",
    "attribution",
    "occlusion",
)


@dataclass(frozen=True)
class Subject:
    """The model of a run, for whoever reads it: to be run again, and its weights.

    `edits` are the changes that the run was made under; `bytes_of` gives any token's bytes, and
    `ids_of` the tokens of a text, as a person names them (None where nobody does). A reading that
    takes long tells `progress` how much of how much is done.
    """

    model: Model
    checkpoint: Checkpoint
    bytes_of: Callable[[int], bytes]
    edits: Sequence[Edit] = ()
    ids_of: Callable[[object], Sequence[int]] | None = None
    progress: Callable[[int, int], None] | None = None

    @property
    def config(self) -> ModelConfig:
        """Sizes and traits of the model."""
        return self.model.config

    @cached_property
    def differentiable(self) -> Model:
        """The model on the torch backend in float32, with gradients. Raises BackendError."""
        if self.model.backend.settings() == {"dtype": "float32", "device": "cpu"}:
            return self.model
        return Model.load(self.checkpoint, self.config, backend("torch"))


def watched(subject: Subject, trace: Trace, patterns: Sequence[str]) -> Trace:
    """The trace with what these sites were; those that it has are not computed again."""
    named = sites.select(patterns, trace.config, "watch") if patterns else []
    missing = [name for name in named if name not in trace.values]
    if not missing:
        return trace
    return trace.with_values(record(subject.model, trace.ids, missing, subject.edits))


def taken(subject: Subject, trace: Trace, name: str, **arguments: Any) -> Trace:
    """The trace with this reading; computed if it is not there. Raises what the reading raises."""
    if trace.reading(name, **arguments):
        return trace
    expected(trace, name, arguments)
    reading = Reading(name, arguments, computed(subject, trace, name, arguments))
    return trace.with_reading(reading, {t: subject.bytes_of(t) for t in mentioned(reading)})


def expected(trace: Trace, name: str, arguments: Mapping[str, Any]) -> dict[str, Form]:
    """What the arrays of a reading of this trace are. Raises ParameterError for arguments that it
    cannot have.
    """
    make = _module(name).forms
    known = [*signature(make).parameters][2:]  # behind config and ids
    for argument in arguments:
        if argument not in known:
            raise ParameterError(name, f"takes no argument {argument!r:.40}")
    forms: dict[str, Form] = make(trace.config, trace.ids, **arguments)
    return forms


def computed(
    subject: Subject, trace: Trace, name: str, arguments: Mapping[str, Any]
) -> dict[str, Array]:
    """The arrays of a reading."""
    arrays: dict[str, Array] = _module(name).read(subject, trace, **arguments)
    return arrays


def _module(name: str) -> Any:
    if name not in READINGS:
        raise ParameterError("reading", f"must be one of {', '.join(READINGS)}, not {name!r:.80}")
    return import_module(f"pellucid.trace.readings.{name}")
