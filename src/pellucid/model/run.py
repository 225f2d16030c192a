"""What one pass needs besides weights: whose rows they are, and where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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

    After the pass `seen` has a dict for each segment: what it watched, `[rows, ...]` by site.

    >>> run = Run([Segment([5, 6, 7]), Segment([8], wanted="all")])
    >>> run.ids, run.positions, run.wanted
    (array([5, 6, 7, 8]), array([0, 1, 2, 0]), array([2, 3]))
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments
        lengths = [len(segment.ids) for segment in segments]
        assert all(lengths), "the last row of an empty segment would be another's"
        stops = np.cumsum(lengths, dtype=np.int64).tolist()
        self.spans = [slice(b - n, b) for n, b in zip(lengths, stops, strict=True)]
        self.ids: npt.NDArray[np.int64] = np.concatenate(
            [np.asarray(s.ids, dtype=np.int64) for s in segments]
        )
        self.positions: npt.NDArray[np.int64] = np.concatenate(
            [np.arange(s.start, s.start + n) for s, n in zip(segments, lengths, strict=True)]
        )
        self.probe: Probe | None = None  # of the model that runs this, where somebody asks
        self.seen: list[dict[str, Floats]] = [{} for _ in segments]
        self.wanted: npt.NDArray[np.int64] = np.concatenate(
            [
                np.arange(span.start if s.wanted == "all" else span.stop - 1, span.stop)
                for s, span in zip(segments, self.spans, strict=True)
            ]
        )
        counts = [n if s.wanted == "all" else 1 for s, n in zip(segments, lengths, strict=True)]
        ends = np.cumsum(counts).tolist()
        self.wanted_spans = [slice(b - n, b) for n, b in zip(counts, ends, strict=True)]
