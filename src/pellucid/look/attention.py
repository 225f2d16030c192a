"""Attention: what each head looks at, computed from the queries and keys that a trace keeps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pellucid.errors import ParameterError
from pellucid.look import html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.heads import Head, Link
from pellucid.look.html import Html
from pellucid.look.numbers import left_out, percent
from pellucid.look.packing import pack
from pellucid.look.view import View
from pellucid.model import attention, sites
from pellucid.model.config import ModelConfig
from pellucid.weights.tensor import Floats

if TYPE_CHECKING:
    from rich.console import RenderableType

_MATRIX_TOKENS = 32  # of a matrix that is text, or a table
_LISTED = 20  # heads
_SHADES = " ░▒▓█"
_OF_LINKS = ("#", "token", "#", "looks at", "#share")
_OF_HEADS = ("#layer", "#head", "#first", "#previous", "#itself", *_OF_LINKS)

# Title and hint of each.
_FIGURES: Mapping[str, tuple[str, str]] = MappingProxyType({
    "head": (
        "What a token looks at",
        "Move over a token on the left: lines go to what each head (a colour) looks at, the thicker"
        " the more. Look for heads that find the word before, the same word earlier, or a verb's"
        " subject.",
    ),
    "model": (
        "All heads at a glance",
        "Each square is a head's pattern, rows looking at columns. A strong left edge rests on the"
        " first token, a diagonal looks at neighbours; pick one that does neither to see it below.",
    ),
    "matrix": (
        "A head's pattern",
        "Each row is a token, its shades are what it looks at. Look for diagonals (a token so many"
        " before), columns (one that many look at) and blocks (sentences that stay apart).",
    ),
    "neuron": (
        "Why a token looks there",
        "A score is a sum over dimensions of query times key. Look for the few dimensions that"
        " decide it: where query and key are large with the same sign.",
    ),
})  # fmt: skip


class Kept(Protocol):
    """What a view of attention needs of a `Trace`."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def pieces(self) -> tuple[bytes, ...]: ...

    @property
    def edits(self) -> Sequence[Any]: ...

    def value(self, site: str) -> Floats: ...


class AttentionView(View):
    """The heads of some layers: what each token looks at, and how much.

    `layers` and `heads` are numbers of them, one or several, all where None is given; `figure` is
    the one that is drawn: "head", "model", "matrix" or "neuron". The trace keeps the sites attn.q
    and attn.k of these layers. Raises ParameterError where it does not, for a layer or head that
    the model does not have, and for attention that was changed behind its queries and keys.
    """

    def __init__(
        self,
        trace: Kept,
        layers: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        figure: str | None = None,
    ) -> None:
        self.config = trace.config
        self.pieces = trace.pieces
        self.layers = numbers("layers", layers, self.config.layers)
        self.heads = numbers("heads", heads, self.config.heads)
        self._alone = len(self.layers) * len(self.heads) == 1
        self._asked = figure
        if figure is not None and figure not in _FIGURES:
            reason = f"must be one of {', '.join(_FIGURES)}, not {figure!r:.40}"
            raise ParameterError("figure", reason)
        _refuse_changed(trace, self.layers)
        self._q = {i: trace.value(f"layers.{i}.attn.q") for i in self.layers}
        self._k = {i: trace.value(f"layers.{i}.attn.k") for i in self.layers}

    def pattern(self, layer: int, head: int) -> Floats:
        """How much each token takes of each: `[rows, rows]` float32, whose rows sum to one.

        Keys are as they were computed; where they are kept as float16, the forward's own pattern
        (the site attn.pattern) may be off by 2e-4.
        """
        if layer not in self.layers or head not in self.heads:
            raise ParameterError("layer", f"{layer} with a head {head} is not in this view")
        c = self.config
        q, k = self._q[layer][:, head, None], self._k[layer][:, self._group(head), None]
        positions = np.arange(len(q))
        mask = attention.visible(positions, positions, c.window[layer])
        scores = attention.scores(q, k, mask, c.attention_scale, c.attention_softcap)
        weights: Floats = attention.softmax(scores)[0]
        return weights

    @cached_property
    def summaries(self) -> tuple[Head, ...]:
        """Each head in a few numbers, layer by layer."""
        return tuple(
            Head.of(layer, head, self.pattern(layer, head))
            for layer in self.layers
            for head in self.heads
        )

    def to_dict(self) -> dict[str, Any]:
        """`tokens[]`, and `heads[]` as `Head.to_dict` has them; `pattern` has all there is."""
        return {
            "tokens": [piece.decode("utf-8", "replace") for piece in self.pieces],
            "heads": [head.to_dict() for head in self.summaries],
        }

    def terminal(self) -> RenderableType:
        shown = self._shades() if self._drawn else terminal.table(*self._table(terminal))
        return terminal.stack(terminal.words((self._says(), terminal.QUIET)), shown)

    def html(self) -> str:
        shown = self._tints() if self._drawn else html.table(*self._table(html), self._says())
        return html.fragment(html.element("p", self._says(), class_="quiet"), shown)

    def figure(self) -> Figure:
        return self._figure(self._asked or ("matrix" if self._alone else "model"))

    def figures(self) -> Sequence[Figure]:
        """The one that was asked for, or: lines; all heads, or the one; query times key. All are of
        the same queries and keys, which a page carries once.
        """
        every = ("head", "matrix" if self._alone else "model", "neuron")
        return [self._figure(kind) for kind in ([self._asked] if self._asked else every)]

    def _group(self, head: int) -> int:
        """Which of the keys' heads a head reads."""
        return head // (self.config.heads // self.config.kv_heads)

    # ---- text and tables --------------------------------------------------------------------

    @property
    def _drawn(self) -> bool:
        """Whether text and tables show a whole pattern."""
        return self._alone and len(self.pieces) <= _MATRIX_TOKENS

    def _says(self) -> str:
        if not self._alone:
            more = len(self.summaries) - _LISTED
            rest = f" ({left_out(more, 'heads')})" if more > 0 else ""
            return f"The heads that rest least on the first token, and their strongest link{rest}."
        place = f"Layer {self.layers[0]}, head {self.heads[0]}"
        if self._drawn:
            return f"{place}: each row is a token; the stronger a column, the more it looks there."
        return f"{place}: its strongest links to other tokens than the first."

    def _table(self, made: Any) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Headings and rows; `made` is the module that makes pieces and bars: terminal or html."""
        if not self._alone:
            listed = sorted(self.summaries, key=lambda head: head.first)[:_LISTED]
            return _OF_HEADS, ((*_shares(h), *self._link(h.strongest[:1], made)) for h in listed)
        links = self.summaries[0].strongest
        return _OF_LINKS, (self._link((link,), made) for link in links)

    def _link(self, links: Sequence[Link], made: Any) -> Sequence[Any]:
        """The cells of a link, or of none."""
        for link in links:
            one, other = (made.piece(self.pieces[at]) for at in (link.row, link.at))
            return str(link.row), one, str(link.at), other, percent(link.weight)
        return ("",) * 5

    def _shades(self) -> RenderableType:
        rows = (
            (str(i), terminal.piece(self.pieces[i]), "".join(map(_shade, row[: i + 1])))
            for i, row in enumerate(self.pattern(self.layers[0], self.heads[0]))
        )
        return terminal.table(("#", "token", "looks at"), rows)

    def _tints(self) -> Html:
        pattern = self.pattern(self.layers[0], self.heads[0])
        rows = (
            html.element("tr", _cell(str(i)), html.element("td", html.piece(self.pieces[i])),
                         *(_tinted(float(weight)) for weight in row[: i + 1]))
            for i, row in enumerate(pattern)
        )  # fmt: skip
        across = (_cell(text) for text in ("", "", *map(str, range(len(pattern)))))
        table = html.element("table", html.element("tr", *across), *rows, class_="cells")
        return html.element("div", table, class_="rows")

    # ---- figures ----------------------------------------------------------------------------

    def _figure(self, kind: str) -> Figure:
        return Figure(f"attention-{kind}", *_FIGURES[kind], self._data)

    @cached_property
    def _data(self) -> Mapping[str, Any]:
        """What web/src/attention.ts reads."""
        c = self.config
        shared = sorted({self._group(head) for head in self.heads})
        groups = [shared.index(self._group(head)) for head in self.heads]
        q = [self._q[i][:, list(self.heads)] for i in self.layers]
        k = [self._k[i][:, shared] for i in self.layers]
        packed = pack(q, k, groups, c.attention_scale)
        return {
            "tokens": labels(self.pieces),
            "heads": self.heads,
            "groups": groups,
            "scale": c.attention_scale,
            "softcap": c.attention_softcap,
            "layers": [
                {"layer": i, "window": c.window[i], "q": of_q.to_figure(), "k": of_k.to_figure()}
                for i, (of_q, of_k) in zip(self.layers, packed, strict=True)
            ],
        }


def numbers(what: str, chosen: int | Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The layers or heads that were chosen, or all. Raises ParameterError for what are none."""
    several = (chosen,) if isinstance(chosen, int) else chosen
    if several is None or not len(several):
        return tuple(range(count))
    for number in several:
        if not 0 <= number < count:
            raise ParameterError(what, f"must be 0 to {count - 1} in this model, not {number}")
    return tuple(sorted(set(several)))


def _refuse_changed(trace: Kept, layers: Sequence[int]) -> None:
    """Queries and keys do not say what became of scores and patterns that were changed."""
    for edit in trace.edits:
        for place in sites.find(edit["site"], trace.config, "edits"):
            layer, name = sites.place(place.site)
            if layer in layers and name in ("attn.scores", "attn.pattern"):
                reason = f"{place.site} was changed; watch layers.{layer}.attn.pattern to see it"
                raise ParameterError("layers", reason)


def _shares(head: Head) -> tuple[str, ...]:
    means = (head.first, head.previous, head.itself)
    return str(head.layer), str(head.head), *map(percent, means)


def _shade(weight: float) -> str:
    """Two cells of a terminal: about a square.

    >>> _shade(0.0), _shade(0.3), _shade(1.0)
    ('  ', '▒▒', '██')
    """
    return 2 * _SHADES[round(math.sqrt(weight) * (len(_SHADES) - 1))]


def _cell(text: str) -> Html:
    return html.element("td", text, class_="n")


def _tinted(weight: float) -> Html:
    style = f"background:rgb(30 130 240 / {math.sqrt(weight):.3f})"
    return html.element("td", title=percent(weight), style=style)
