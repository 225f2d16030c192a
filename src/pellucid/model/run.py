"""What one pass needs besides weights: whose rows they are, and where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pellucid.model.cache import KeyValues
from pellucid.model.probe import Edit, Probe
from pellucid.weights.tensor import Floats

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """The next tokens of one sequence, and which of their logits are wanted.

    Without a cache the tokens are the whole sequence, and nothing is kept. `watch` names sites of
    the forward, as patterns (see `model.sites`), and `edits` change them, for these tokens only.
    """

    ids: Sequence[int]
    cache: KeyValues | None = None
    wanted: Literal["all", "last"] = "last"
    watch: Sequence[str] = ()
    edits: Sequence[Edit] = ()

    @property
    def start(self) -> int:
        """The position of the first of these tokens."""
        return self.cache.length if self.cache else 0


class Run:
    """Segments of many sequences, packed into flat rows, so that one forward serves them all.

    After the pass `seen` has a dict for each segment: what it watched, `[rows, ...]` by site. With
    `survey`, `candidates` has those of each wanted row, where a backend has looked at its logits
    while they were near; else it stays empty. `lists` are ids, positions and wanted as lists: in
    decoding, which has a row of each sequence, arrays would take longer to make than they save.

    >>> run = Run([Segment([5, 6, 7]), Segment([8], wanted="all")])
    >>> run.ids, run.positions, run.wanted
    (array([5, 6, 7, 8]), array([0, 1, 2, 0]), array([2, 3]))
    """

    def __init__(self, segments: Sequence[Segment], *, survey: bool = False) -> None:
        self.segments = segments
        self.survey = survey
        self.candidates: list[Any] = []
        self.spans: list[slice] = []
        self.wanted_spans: list[slice] = []
        ids: list[int] = []
        positions: list[int] = []
        wanted: list[int] = []
        for segment in segments:
            start, count = len(ids), len(segment.ids)
            assert count, "the last row of an empty segment would be another's"
            stop, rows = start + count, count if segment.wanted == "all" else 1
            self.spans.append(slice(start, stop))
            self.wanted_spans.append(slice(len(wanted), len(wanted) + rows))
            ids.extend(segment.ids)
            positions.extend(range(segment.start, segment.start + count))
            wanted.extend(range(stop - rows, stop))
        self.lists = ids, positions, wanted
        self.probe: Probe | None = None  # of the model that runs this, where somebody asks
        self.seen: list[dict[str, Floats]] = [{} for _ in segments]

    @cached_property
    def ids(self) -> Numbers:
        """The token of each row."""
        return np.array(self.lists[0], np.int64)

    @cached_property
    def positions(self) -> Numbers:
        """Where in its sequence each row stands."""
        return np.array(self.lists[1], np.int64)

    @cached_property
    def wanted(self) -> Numbers:
        """The rows whose logits are wanted, in order."""
        return np.array(self.lists[2], np.int64)
