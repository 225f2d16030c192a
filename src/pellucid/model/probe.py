"""A probe: what the segments of a run watch and change, while a backend computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import ParameterError
from pellucid.model import attention, changes, sites
from pellucid.model import positions as places
from pellucid.model.changes import Change, Positions, ReadyMade
from pellucid.model.config import ModelConfig
from pellucid.model.sites import Place
from pellucid.weights.tensor import Floats

if TYPE_CHECKING:
    from pellucid.model.run import Run

Select = Callable[[tuple[str, ...]], Sequence[str]]  # `sites.select` of a model
Find = Callable[[tuple[str, ...]], Sequence[Sequence[Place]]]  # `sites.find` of each address

_ATTENTION = ("attn.scores", "attn.pattern")


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of sites: the pass goes on with `change(rows, positions)` instead of the rows.

    `site` is an address (see `model.sites`) or a pattern, `change` one of `model.changes` or a
    function. rows `[n, ...]` are some of the sequence's that asked, of what is addressed, float32,
    its own to write to; positions `[n]` say which. A long sequence comes in several pieces, so a
    function must do the same whenever it is asked. Only rows at `positions` are changed, if those
    are given. What a row may not look at stays hidden, whatever becomes of its scores or pattern.
    """

    site: str
    change: Change
    positions: places.Given | None = None
    chosen: places.Chosen | None = field(init=False)  # the positions in their plain form

    def __post_init__(self) -> None:
        if not isinstance(self.site, str):
            raise ParameterError("edit", f"the site must be a text, not {self.site!r:.60}")
        if not callable(self.change):
            raise ParameterError("edit", f"{self.change!r:.60} is no change; see pellucid.changes")
        if getattr(self.change, "__module__", None) == changes.__name__ and not isinstance(
            self.change, ReadyMade
        ):
            name = getattr(self.change, "__name__", "it")
            raise ParameterError("edit", f"{name} needs its arguments, such as {name}(...)")
        chosen = None if self.positions is None else places.chosen(self.positions)
        object.__setattr__(self, "chosen", chosen)

    def __str__(self) -> str:
        at = "" if self.chosen is None else f"@{places.spelled(self.chosen)}"
        made = isinstance(self.change, ReadyMade)
        return f"{self.site}{at}={self.change if made else _name(self.change)}"

    def to_dict(self) -> dict[str, Any]:
        """`site, change, positions` as JSON; of a change by a function only the name."""
        change = self.change
        told = change.to_dict() if isinstance(change, ReadyMade) else _name(change)
        at = None if self.chosen is None else places.spelled(self.chosen)
        return {"site": self.site, "change": told, "positions": at}

    @classmethod
    def read(cls, text: str) -> Edit:
        """An edit as it is typed: `layers.5.heads.3=zero`, `layers.12.resid@4:=scale:0.5`.

        What is in between are positions. Raises ParameterError for what is none.
        """
        where, equals, change = text.partition("=")
        if not equals:
            raise ParameterError("edit", f"must be SITE=CHANGE, not {text!r:.60}")
        site, at, positions = where.partition("@")
        return cls(site, changes.read(change), places.read(positions) if at else None)

    @classmethod
    def from_dict(cls, told: object) -> Edit:
        """The edit that `to_dict` told of. Raises ParameterError where it tells of none, or of a
        function.
        """
        given = told if isinstance(told, Mapping) else {}
        site, change, at = (given.get(name) for name in ("site", "change", "positions"))
        if isinstance(change, str):
            reason = f"was changed by the function {change!r:.60}, which is not written down"
            raise ParameterError("edit", f"{site!r:.80} {reason}")
        if not isinstance(site, str) or not isinstance(change, Mapping):
            raise ParameterError("edit", f"{told!r:.60} has no site and change")
        made = changes.from_dict(change)
        return cls(site, made, None if at is None else places.read(str(at)))

    def check(self, config: ModelConfig) -> None:
        """Refuse, with ParameterError, what can be no edit of such a model."""
        for place in sites.find(self.site, config, "edit"):
            varies = sites.place(place.site)[1] in _ATTENTION
            if isinstance(self.change, ReadyMade) and not varies:
                self.change.check(place.site, place.shape(config))


class Probe:
    """Keeps and changes rows as they pass by.

    A backend shows it the sites that are in `stops` before it goes on, and takes over what `visit`
    wrote; those in `reads` it may show later, but each pass in the order of `sites.names`. Raises
    ParameterError for a site that the model does not have.
    """

    def __init__(self, run: Run, config: ModelConfig, select: Select, find: Find) -> None:
        self._run = run
        self._config = config
        self._watched = [frozenset(select(tuple(s.watch))) for s in run.segments]
        self._edits = [
            _by_site(s.edits, run.positions[span], find)
            for s, span in zip(run.segments, run.spans, strict=True)
        ]
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
            changed = name in stops or f"{layer}.attn.heads" in stops
            (stops if changed else reads).update(both)
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
        changed = self._changed(name, shaped, at)
        if changed is not shaped:
            shaped[...] = changed
        self._keep(name, shaped, at)
        if local == "attn.q" and self._attended(at.segment, layer):
            self._queries[at.segment, layer] = shaped.copy()

    def _changed(self, name: str, rows: Floats, at: _Piece) -> Floats:
        for edit, place in self._edits[at.segment].get(name, ()):
            rows = _edited(edit, place, rows, at.positions)
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
        raw = np.full((len(q), c.heads, len(context)), -np.inf, np.float32)
        raw[..., :known] = attention.scores(
            q, keys, mask[:, 0, :known], c.attention_scale, c.attention_softcap
        ).transpose(1, 0, 2)
        scores_name, pattern_name = (f"layers.{layer}.{name}" for name in _ATTENTION)
        with np.errstate(invalid="ignore"):  # 0 times -inf, of what stays hidden anyway
            changed = self._changed(scores_name, raw, at)
        scores = np.where(mask, changed, np.float32(-np.inf))
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


def _name(change: Change) -> str:
    return str(getattr(change, "__name__", type(change).__name__))


_Placed = tuple[Edit, Place]


def _by_site(edits: Sequence[Edit], positions: Positions, find: Find) -> dict[str, list[_Placed]]:
    """The edits of each site that have a row at these positions, in their order."""
    found: dict[str, list[_Placed]] = {}
    placed = find(tuple(edit.site for edit in edits))
    for edit, there in zip(edits, placed, strict=True):
        if _rows(edit, positions).any():
            for place in there:
                found.setdefault(place.site, []).append((edit, place))
    return found


def _rows(edit: Edit, positions: Positions) -> npt.NDArray[np.bool_]:
    """Which of the rows at these positions are edited, `[n]`."""
    if edit.chosen is None:
        return np.ones(len(positions), np.bool_)
    return places.among(edit.chosen, positions)


def _edited(edit: Edit, place: Place, rows: Floats, positions: Positions) -> Floats:
    """The rows of a site after an edit."""
    chosen = _rows(edit, positions)
    if not chosen.any():
        return rows
    rows, mine = rows.copy(), positions[chosen]
    some = rows[chosen]
    part = some[place.key].copy()
    if isinstance(edit.change, ReadyMade):
        edit.change.check(place.site, part.shape[1:])
    some[place.key] = _checked(place.site, edit.change(part, mine), part.shape)
    rows[chosen] = some
    return rows


def _checked(name: str, rows: object, shape: tuple[int, ...]) -> Floats:
    if not isinstance(rows, np.ndarray) or rows.shape != shape:
        given = list(rows.shape) if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ParameterError("edits", f"the change of {name} gives {given}, not rows {list(shape)}")
    return rows.astype(np.float32, copy=False)
