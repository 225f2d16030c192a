"""A probe: what the segments of a run watch and change, while a backend computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pellucid.errors import ParameterError
from pellucid.model import attention, sites
from pellucid.model.config import ModelConfig
from pellucid.weights.tensor import Floats

if TYPE_CHECKING:
    from pellucid.model.run import Run

Positions = npt.NDArray[np.int64]
Change = Callable[[Floats, Positions], Floats]
Select = Callable[[tuple[str, ...], str], Sequence[str]]  # `sites.select` of a model

_ATTENTION = ("attn.scores", "attn.pattern")


@dataclass(frozen=True)
class Edit:
    """A change of sites: the pass goes on with `change(rows, positions)` instead of the rows.

    `site` may be a pattern. rows `[n, ...]` are some of the sequence's that asked, as `model.sites`
    says, float32, its own to write to; positions `[n]` say which. A long sequence comes in several
    pieces. What a row may not look at stays hidden, whatever becomes of its scores or pattern.
    """

    site: str
    change: Change


class Probe:
    """Keeps and changes rows as they pass by.

    A backend shows it the sites that are in `stops` before it goes on, and takes over what `visit`
    wrote; those in `reads` it may show later, but each pass in the order of `sites.names`. Raises
    ParameterError for a site that the model does not have.
    """

    def __init__(self, run: Run, config: ModelConfig, select: Select) -> None:
        self._run = run
        self._config = config
        self._watched = [frozenset(select(tuple(s.watch), "watch")) for s in run.segments]
        self._edits = [_by_site(s.edits, select) for s in run.segments]
        self._queries: dict[tuple[int, int], Floats] = {}  # of a segment and layer, to be attended
        self.seen: list[dict[str, Floats]] = [{} for _ in run.segments]
        self.reads, self.stops = self._shown()

    def _shown(self) -> tuple[frozenset[str], frozenset[str]]:
        """The sites to be read, and those to stop at.

        Scores and patterns are not values of a forward: they are computed where the heads are, from
        the queries; the heads are computed again where they are changed.
        """
        reads, stops = set[str]().union(*self._watched), set[str]().union(*self._edits)
        for name in [n for n in reads | stops if sites.place(n)[1] in _ATTENTION]:
            layer = name.rpartition(".attn.")[0]
            both = {f"{layer}.attn.q", f"{layer}.attn.heads"}
            changes = name in stops or f"{layer}.attn.heads" in stops
            (stops if changes else reads).update(both)
            reads.discard(name)
            stops.discard(name)
        return frozenset(reads - stops), frozenset(stops)

    def visit(self, name: str, rows: Floats, first: int = 0) -> None:
        """Rows of a site from `first` on, `[n, width]`: kept or changed in place, for who asked."""
        wanted = sites.wanted(name)
        positions = self._run.positions[self._run.wanted] if wanted else self._run.positions
        spans = self._run.wanted_spans if wanted else self._run.spans
        for number, span in enumerate(spans):
            start, stop = max(span.start, first), min(span.stop, first + len(rows))
            if start < stop:
                at = _Piece(number, start - span.start, positions[start:stop])
                self._visit(name, rows[start - first : stop - first], at)

    def _visit(self, name: str, rows: Floats, at: _Piece) -> None:
        layer, local = sites.place(name)
        shaped = rows.reshape(len(rows), *sites.shape(name, self._config))  # shares memory
        if local == "attn.heads" and self._attended(at.segment, layer):
            self._attend(layer, shaped, at)
        shaped[...] = self._changed(name, shaped, at)
        self._keep(name, shaped, at)
        if local == "attn.q" and self._attended(at.segment, layer):
            self._queries[at.segment, layer] = shaped.copy()

    def _changed(self, name: str, rows: Floats, at: _Piece) -> Floats:
        for change in self._edits[at.segment].get(name, ()):
            rows = _checked(name, change(rows.copy(), at.positions.copy()), rows.shape)
        return rows

    def _keep(self, name: str, rows: Floats, at: _Piece) -> None:
        if name not in self._watched[at.segment]:
            return
        seen = self.seen[at.segment]
        if name not in seen:
            spans = self._run.wanted_spans if sites.wanted(name) else self._run.spans
            span = spans[at.segment]
            seen[name] = np.empty((span.stop - span.start, *rows.shape[1:]), np.float32)
        seen[name][at.place : at.place + len(rows)] = rows

    def _attended(self, segment: int, layer: int) -> bool:
        asked = (f"layers.{layer}.{name}" for name in _ATTENTION)
        return any(n in self._watched[segment] or n in self._edits[segment] for n in asked)

    def _attend(self, layer: int, heads: Floats, at: _Piece) -> None:
        """Scores and pattern of some rows of a segment; its heads anew if those are changed."""
        c, segment = self._config, self._run.segments[at.segment]
        assert segment.cache, "a model gives one to whoever is watched"
        q = self._queries.pop((at.segment, layer))
        keys, values = segment.cache.read(layer, int(at.positions[-1]) + 1)
        known = len(keys)  # later positions are hidden from these rows
        context = np.arange(segment.start + len(segment.ids))
        mask = attention.visible(at.positions, context, c.window[layer])[:, None]  # [rows, 1, n]
        raw = np.zeros((len(q), c.heads, len(context)), np.float32)
        raw[..., :known] = attention.scores(
            q, keys, mask[:, 0, :known], c.attention_scale, c.attention_softcap
        ).transpose(1, 0, 2)
        scores_name, pattern_name = (f"layers.{layer}.{name}" for name in _ATTENTION)
        scores = np.where(mask, self._changed(scores_name, raw, at), np.float32(-np.inf))
        self._keep(scores_name, scores, at)
        softened = attention.softmax(scores)
        pattern = np.where(mask, self._changed(pattern_name, softened, at), np.float32(0))
        self._keep(pattern_name, pattern, at)
        if {scores_name, pattern_name} & self._edits[at.segment].keys():
            heads[...] = attention.mix(pattern[..., :known].transpose(1, 0, 2), values)


@dataclass(frozen=True)
class _Piece:
    """Some rows of a segment: its number, their place among its rows, and their positions."""

    segment: int
    place: int
    positions: Positions


def _by_site(edits: Sequence[Edit], select: Select) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for edit in edits:
        for name in select((edit.site,), "edits"):
            found.setdefault(name, []).append(edit.change)
    return found


def _checked(name: str, rows: object, shape: tuple[int, ...]) -> Floats:
    if not isinstance(rows, np.ndarray) or rows.shape != shape:
        given = list(rows.shape) if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ParameterError("edits", f"the change of {name} gives {given}, not rows {list(shape)}")
    return rows.astype(np.float32, copy=False)
