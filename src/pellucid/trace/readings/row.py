"""One row of a run, computed again: watched, and repeated with changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.choose.parameters.values import Integer
from pellucid.engine.running import check_finite
from pellucid.model.changes import replace, zero
from pellucid.model.config import ModelConfig
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.trace.readings import Subject
from pellucid.trace.trace import Trace
from pellucid.weights.tensor import Floats

Part = tuple[int, int]  # a layer, and a head of it or WHOLE_MLP
WHOLE_MLP = -1
_AT_ONCE = 16  # repetitions in one pass: their logits lie in memory together


class Row:
    """The row at a position, after those before it; the run's changes hold.

    What comes before is computed once: every repetition goes on from it.
    """

    def __init__(self, subject: Subject, trace: Trace, position: int) -> None:
        self.position = position
        self._subject = subject
        self._ids = trace.ids[: self.position + 1]
        self._before = subject.model.new_cache()
        if self.position:
            before = Segment(self._ids[:-1], self._before, edits=subject.edits)
            subject.model.forward(Run([before]))
        self._cache = self._before.fork()

    def seen(self, watch: Sequence[str]) -> tuple[Floats, dict[str, Floats]]:
        """The logits `[vocab]` of the row, and what these sites are there, without the rows' axis.

        Raises BackendError where the model computes what is no number.
        """
        self._cache = self._before.fork()
        segment = Segment(self._ids[-1:], self._cache, "last", watch, self._subject.edits)
        run = Run([segment])
        logits = self._subject.model.forward(run)
        check_finite([logits])
        return logits[0], {name: rows[0] for name, rows in run.seen[0].items()}

    def values(self, layer: int) -> Floats:
        """The values that attention mixed, `[position + 1, kv_heads, head_dim]`."""
        return self._cache.read(layer, self.position + 1)[1]

    def repeated(self, edits: Sequence[Edit]) -> Floats:
        """The logits `[n, vocab]` of the row under each of these changes, one at a time.

        Raises BackendError where the model computes what is no number.
        """
        last = self._ids[-1:]
        segments = [
            Segment(last, self._before.fork(), edits=[*self._subject.edits, edit]) for edit in edits
        ]
        chunks = (segments[at : at + _AT_ONCE] for at in range(0, len(segments), _AT_ONCE))
        logits = np.concatenate([self._subject.model.forward(Run(chunk)) for chunk in chunks])
        check_finite([logits])
        return logits


def checked_targets(
    config: ModelConfig, ids: Sequence[int], token: int, position: int, versus: int | None = None
) -> list[int]:
    """The tokens that are asked about after a row of a run. Raises ParameterError."""
    Integer(0, len(ids) - 1).check("position", position)
    given = [("token", token), *([] if versus is None else [("versus", versus)])]
    return [Integer(0, config.vocab_size - 1).check(name, value) for name, value in given]


def silenced(part: Part, by: Floats | None = None) -> Edit:
    """A change after which a head, or an MLP, writes nothing; or always the same, `by`."""
    layer, head = part
    change = zero if by is None else replace(by)
    return Edit(f"layers.{layer}.{'mlp.out' if head == WHOLE_MLP else f'heads.{head}'}", change)
