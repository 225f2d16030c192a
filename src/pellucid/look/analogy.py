"""What is to one token as another is to a third, by sums of embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pellucid.look import found, html, terminal
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_HEADINGS = ("#rank", "#id", "token", "#cosine", "")


class AnalogyView(View):
    """The tokens nearest to a - b + c.

    The trace has the reading "analogy" with these arguments; raises ParameterError where it has
    not.
    """

    def __init__(self, trace: Trace, arguments: Mapping[str, Any]) -> None:
        told = found.arrays(trace, "analogy", arguments)
        self._trace = trace
        self.given: list[int] = told["given_ids"].tolist()
        self.answers: list[tuple[int, float]] = [
            *zip(told["answer_ids"].tolist(), told["cosines"].tolist(), strict=True)
        ]
        self.cosines: list[float] = told["given_cosines"].tolist()

    def to_dict(self) -> dict[str, Any]:
        """`given[] {id, text, cosine}` (a, b, c), `answers[] {id, text, cosine}`."""
        given = zip(self.given, self.cosines, strict=True)
        return {"given": [*map(self._told, given)], "answers": [*map(self._told, self.answers)]}

    def _told(self, scored: tuple[int, float]) -> dict[str, Any]:
        token, cosine = scored
        return {"id": token, "text": found.text(self._trace, token), "cosine": cosine}

    def terminal(self) -> RenderableType:
        rows = (
            (rank, token, terminal.piece(piece), cosine, terminal.bar(share))
            for rank, token, piece, cosine, share in self._rows()
        )
        told = (terminal.words(line) for line in (self._says(), self._note()))
        first, note = told
        return terminal.stack(first, terminal.table(_HEADINGS, rows), note)

    def html(self) -> str:
        rows = (
            (rank, token, html.piece(piece), cosine, html.bar(share))
            for rank, token, piece, cosine, share in self._rows()
        )
        table = html.table(_HEADINGS, rows, "The nearest tokens")
        said, note = (html.element("p", line) for line in (self._says(), self._note()))
        return html.fragment(said, table, note)

    def _rows(self) -> Iterator[tuple[str, str, bytes, str, float]]:
        for rank, (token, cosine) in enumerate(self.answers, 1):
            yield str(rank), str(token), self._trace.bytes_of(token), f"{cosine:.3f}", cosine

    def _says(self) -> str:
        a, b, c = (visible(self._trace.bytes_of(token)) for token in self.given)
        return f"{a} - {b} + {c}: which tokens point there?"

    def _note(self) -> str:
        best = max(self.cosines)
        nearest = visible(self._trace.bytes_of(self.given[self.cosines.index(best)]))
        first = "it would come first" if best > self.answers[0][1] else "less than the first"
        return f"The three are left out: {nearest} itself has {best:.3f}, {first}."
