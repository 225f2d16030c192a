"""The tokens that lie nearest to those of a text, in the model's embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pellucid.look import found, html, terminal
from pellucid.look.html import Html
from pellucid.look.numbers import left_out
from pellucid.look.view import View
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 40, 200
_SHOWN = 6  # neighbours of each that a line has room for
_STEPS = (0.4, 0.55, 0.7, 0.85)  # cosines at which a tint deepens
_NOTE = (
    "Cosine of two embeddings: 1 points the same way, 0 has nothing to do with it. This is what the"
    " model knows of a token before it has read any other."
)

Near = list[tuple[int, float]]


class NeighboursView(View):
    """For each distinct token of a run, those that are most like it.

    The trace has the reading "neighbours" with these arguments; raises ParameterError where it has
    not.
    """

    def __init__(self, trace: Trace, arguments: Mapping[str, Any]) -> None:
        told = found.arrays(trace, "neighbours", arguments)
        self._trace = trace
        self.ids: list[int] = told["ids"].tolist()
        self._near = told["neighbour_ids"].tolist(), told["cosines"].tolist()

    def of(self, token: int) -> Near:
        """The neighbours of a token of the text, nearest first: ids and cosines."""
        at = self.ids.index(token)
        return [*zip(*(each[at] for each in self._near), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """`tokens[] {id, text, neighbours[] {id, text, cosine}}`."""
        return {
            "tokens": [
                {
                    "id": token,
                    "text": found.text(self._trace, token),
                    "neighbours": self._told(token),
                }
                for token in self.ids
            ]
        }

    def _told(self, token: int) -> list[dict[str, Any]]:
        return [
            {"id": other, "text": found.text(self._trace, other), "cosine": cosine}
            for other, cosine in self.of(token)
        ]

    def terminal(self) -> RenderableType:
        rows = (
            (terminal.piece(self._trace.bytes_of(token), terminal.TINTS[0]), self._line(near))
            for token, near in self._rows(_ROWS_IN_TERMINAL)
        )
        notes = terminal.words("\n".join(self._notes(_ROWS_IN_TERMINAL)))
        return terminal.stack(terminal.table(("token", "nearest"), rows), notes)

    def _line(self, near: Near) -> RenderableType:
        line = terminal.words()
        for other, cosine in near[:_SHOWN]:
            line.append(terminal.piece(self._trace.bytes_of(other), terminal.HEAT[_depth(cosine)]))
            line.append(f" {cosine:.2f}  ", terminal.QUIET)
        return line

    def html(self) -> str:
        rows = (
            (html.piece(self._trace.bytes_of(token), class_="t0"), self._cells(near))
            for token, near in self._rows(_ROWS_IN_HTML)
        )
        table = html.table(("token", "nearest"), rows, "The nearest tokens of each")
        notes = (html.element("p", note) for note in self._notes(_ROWS_IN_HTML))
        return html.fragment(table, *notes)

    def _cells(self, near: Near) -> Html:
        each = (
            html.element(
                "span",
                html.piece(self._trace.bytes_of(other), class_=_tint(cosine)),
                html.element("span", f" {cosine:.2f} ", class_="quiet"),
            )
            for other, cosine in near[:_SHOWN]
        )
        return Html(" ".join(each))

    def _rows(self, most: int) -> Iterator[tuple[int, Near]]:
        for token in self.ids[:most]:
            yield token, self.of(token)

    def _notes(self, most: int) -> Iterator[str]:
        if len(self.ids) > most:
            yield left_out(len(self.ids) - most)
        yield _NOTE


def _tint(cosine: float) -> str | None:
    return f"h{_depth(cosine)}" if _depth(cosine) else None


def _depth(cosine: float) -> int:
    """How deep a tint says that two tokens are alike."""
    return sum(cosine >= step for step in _STEPS)
