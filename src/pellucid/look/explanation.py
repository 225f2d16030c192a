"""An answer explained: the ledger of each of its tokens, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, overload

from pellucid.engine.generation import Generation
from pellucid.look import html, terminal
from pellucid.look.figure import Figure
from pellucid.look.html import Html
from pellucid.look.ledger import LedgerView, figure_of
from pellucid.look.numbers import left_out
from pellucid.look.view import View

if TYPE_CHECKING:
    from rich.console import RenderableType

_IN_TERMINAL, _IN_HTML = 100, 500
_UNFOLDED = 3  # of the tables in HTML


class ExplanationView(View, Sequence[LedgerView]):
    """Why each token of an answer was chosen; a sequence of `LedgerView`.

    `bytes_of` gives the bytes of any token, `top` is how many candidates of each are shown, `at`
    the place of the one token to be explained, all unless given. Every token needs its ledger.
    `alternatives` explain the other answers, where there are any.
    """

    def __init__(
        self,
        generation: Generation,
        bytes_of: Callable[[int], bytes],
        *,
        top: int = 5,
        at: int | None = None,
    ) -> None:
        self.generation = generation
        self._bytes_of = bytes_of
        self.ledgers = tuple(
            LedgerView(token, bytes_of, at=place, top=top)
            for place, token in enumerate(generation.tokens)
            if at in (None, place)
        )
        self.alternatives = tuple(
            ExplanationView(other, bytes_of, top=top, at=at) for other in generation.alternatives
        )

    def __len__(self) -> int:
        return len(self.ledgers)

    @overload
    def __getitem__(self, at: int) -> LedgerView: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[LedgerView]: ...
    def __getitem__(self, at: int | slice) -> LedgerView | Sequence[LedgerView]:
        return self.ledgers[at]

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: docs/json.md."""
        return self.generation.to_dict() | {
            "tokens": [ledger.to_dict() for ledger in self.ledgers],
            "alternatives": [other.to_dict() for other in self.alternatives],
        }

    def terminal(self) -> RenderableType:
        shown = [ledger.terminal() for ledger in self.ledgers[:_IN_TERMINAL]]
        notes = [terminal.words((note, terminal.QUIET)) for note in self._notes(_IN_TERMINAL)]
        others = [other.terminal() for other in self.alternatives]
        tints = cycle(terminal.TINTS)
        running = terminal.Running(zip(self._pieces(_IN_TERMINAL), tints, strict=False))
        return terminal.stack(running, *shown, *notes, *others)

    def figure(self) -> Figure | None:
        """The ledgers of the first answer; None where it has no tokens."""
        return figure_of(self.ledgers) if self.ledgers else None

    def figures(self) -> Sequence[Figure]:
        """The ledgers of each answer."""
        every = (self, *self.alternatives)
        return [figure for answer in every if (figure := answer.figure())]

    def html(self) -> str:
        return html.fragment(*self._html())

    def _html(self) -> Iterator[Html]:
        pieces = enumerate(self._pieces(_IN_HTML))
        yield html.running(html.piece(piece, class_=f"t{i % 6}") for i, piece in pieces)
        for number, ledger in enumerate(self.ledgers[:_IN_HTML]):
            piece = html.piece(ledger.piece, class_="t0")
            why = html.element("summary", f"{ledger.at}  ", piece, ledger.account)
            unfolded = "" if number < _UNFOLDED else None
            yield html.element("details", why, *ledger.details(), open=unfolded)
        for note in self._notes(_IN_HTML):
            yield html.element("p", note, class_="quiet")
        for other in self.alternatives:
            yield from other._html()

    def _pieces(self, most: int) -> Iterator[bytes]:
        return (self._bytes_of(token) for token in self.generation.ids[:most])

    def _notes(self, most: int) -> Iterator[str]:
        if len(self) > most:
            yield left_out(len(self) - most)
        if self.generation.seed is not None:
            yield f"Seed {self.generation.seed} repeats it."
