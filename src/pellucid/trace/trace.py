"""The record of a run, and the single source of every view of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.engine.generation import Generation
from pellucid.errors import FormatError, ParameterError
from pellucid.model.config import ModelConfig
from pellucid.trace.origin import Origin
from pellucid.weights.tensor import Floats

Array = npt.NDArray[Any]

LARGEST = 1e12  # of all that a model computes; sums of it, and products of two, are float32 still
_FINITE = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Reading:
    """What was computed of a run with the model's weights, such as a logit lens.

    `arguments` are those that it was asked with; of JSON's kinds. Arrays whose name ends in "ids"
    hold token ids, -1 for none.
    """

    name: str
    arguments: Mapping[str, Any]
    arrays: Mapping[str, Array]

    def answers(self, name: str, arguments: Mapping[str, Any]) -> bool:
        """Whether this is what was asked."""
        return self.name == name and dict(self.arguments) == dict(arguments)


@dataclass(frozen=True, eq=False)
class Trace:
    """A run: the tokens that were fed, how they came about, and what was seen inside.

    `ids` are the prompt's and the answer's tokens, `prompt_length` counts the former. `messages`
    is the conversation that the model's `template` made the prompt of, where it was one.
    `parameters` are those that the answer was generated with, and `generation` is that answer with
    ledgers and tree; None where a text was only read. `edits` are the changes that the run was
    made under, as data, or as a string where it was a Python function. `values` are what was
    watched, by site: `[rows, ...]` float32, a row for each of `ids`. `readings` were computed of
    these. `words` gives the bytes of every token that occurs anywhere in here. `file` is where it
    was read from, and `stored` are the sites whose values come from there.
    """

    origin: Origin
    ids: tuple[int, ...]
    prompt_length: int
    words: Mapping[int, bytes]
    messages: Sequence[Mapping[str, Any]] | None = None
    template: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    generation: Generation | None = None
    edits: Sequence[Any] = ()
    values: Mapping[str, Floats] = field(default_factory=dict)
    readings: Sequence[Reading] = ()
    file: str = ""
    stored: frozenset[str] = frozenset()

    @classmethod
    def of_run(
        cls,
        origin: Origin,
        prompt_ids: Sequence[int],
        answer: Generation | None,
        bytes_of: Callable[[int], bytes],
        **told: Any,
    ) -> Trace:
        """A prompt and its answer, if there is one; `told` are the fields that say how they came
        about.
        """
        said = answer.ids if answer else ()
        known = {*prompt_ids, *(occurring(answer) if answer else ())}
        return cls(
            origin,
            (*prompt_ids, *said),
            len(prompt_ids),
            {token: bytes_of(token) for token in sorted(known)},
            generation=answer,
            **told,
        )

    @property
    def config(self) -> ModelConfig:
        """Sizes and traits of the model."""
        return self.origin.config

    @property
    def largest(self) -> float:
        """Of the numbers that were computed; an edit may have put any in their place."""
        return _FINITE if self.edits else LARGEST

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of each token."""
        return tuple(self.words[token] for token in self.ids)

    @property
    def text(self) -> str:
        """All that was fed, as text."""
        return b"".join(self.pieces).decode("utf-8", "replace")

    def bytes_of(self, token: int) -> bytes:
        """The bytes of any token that occurs in this trace."""
        return self.words.get(token, b"")

    def value(self, site: str) -> Floats:
        """What was seen at a site, `[rows, ...]`. Raises ParameterError where it is not kept, and
        FormatError where a file has no numbers for it: they are not looked at before.
        """
        if site not in self.values:
            raise ParameterError("site", f"{site!r:.80} is not kept in this trace; {_has(self)}")
        value = self.values[site]
        if site in self.stored and not _are_numbers(site, value, self.largest):
            reason = f"holds what is no number, or none from -{self.largest:g} to {self.largest:g}"
            raise FormatError(self.file, f"values/{site}", reason)
        return value

    def reading(self, name: str, **arguments: Any) -> Reading | None:
        """What was read of the run, if it was asked just so."""
        return next((r for r in self.readings if r.answers(name, arguments)), None)

    def with_values(self, values: Mapping[str, Floats]) -> Trace:
        """This, with more that was seen."""
        stored = self.stored - values.keys()
        return replace(self, values={**self.values, **values}, stored=stored)

    def with_reading(self, reading: Reading, words: Mapping[int, bytes]) -> Trace:
        """This, with more that was read, and the bytes of the tokens that it names."""
        kept = [r for r in self.readings if not r.answers(reading.name, reading.arguments)]
        return replace(self, readings=[*kept, reading], words={**self.words, **words})


def mentioned(reading: Reading) -> list[int]:
    """The tokens that a reading names.

    >>> mentioned(Reading("lens", {}, {"top_ids": np.array([[3, -1], [3, 5]])}))
    [3, 5]
    """
    found = [array.ravel() for name, array in reading.arrays.items() if name.endswith("ids")]
    every = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    return [int(token) for token in every if token >= 0]


def occurring(generation: Generation) -> set[int]:
    """The tokens of an answer and its alternatives, of their ledgers, and of what was searched."""
    found: set[int] = set()
    for answer in (generation, *generation.alternatives):
        found |= {*answer.prompt_ids, *answer.ids}
        for token in answer.tokens:
            found |= {token.id, *(token.ledger.ids.tolist() if token.ledger else ())}
    tree = generation.tree
    return found | {node.token for node in tree.nodes[1:]} if tree else found


def _are_numbers(site: str, value: Floats, largest: float) -> bool:
    """Whether they are what a model computes: finite, but for scores of what may not be seen."""
    fine = np.abs(value) <= largest
    hidden = np.isneginf(value) if site.endswith("attn.scores") else False
    return bool((fine | hidden).all())


def _has(trace: Trace) -> str:
    return f"it has {', '.join(trace.values)}" if trace.values else "it keeps no values"
