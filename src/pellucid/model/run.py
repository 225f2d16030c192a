"""What one pass needs besides weights: whose rows they are, and where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pellucid.model.cache import KeyValues
from pellucid.model.probe import Edit, Probe
from pellucid.weights.tensor import Floats


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
    while they were near; else it stays empty.

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
        # Lists, as a decode step has a row each: NumPy's calls would take longer than they save.
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
        self.ids: npt.NDArray[np.int64] = np.array(ids, np.int64)
        self.positions: npt.NDArray[np.int64] = np.array(positions, np.int64)
        self.wanted: npt.NDArray[np.int64] = np.array(wanted, np.int64)
        self.probe: Probe | None = None  # of the model that runs this, where somebody asks
        self.seen: list[dict[str, Floats]] = [{} for _ in segments]
