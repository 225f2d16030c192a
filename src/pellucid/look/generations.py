"""Several generated texts side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from pellucid.look import html, terminal
from pellucid.look.generation import GenerationView
from pellucid.look.numbers import left_out
from pellucid.look.view import View
from pellucid.look.visible import harmless

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 100, 500
_HEADINGS = ("##", "answer", "#tokens", "ended by")


class GenerationsView(View, Sequence[GenerationView]):
    """The answers to several prompts, in the order of the prompts; a sequence of `GenerationView`,
    each of which shows its tokens.

    >>> from pellucid.engine.generation import Generation
    >>> one = Generation(" Too", (1005,), (51,), "length", ())
    >>> other = Generation("", (), (52,), "stop", ())
    >>> GenerationsView([GenerationView(one), GenerationView(other)])
    #  answer    tokens  ended by
    0   Too           1  length
    1                 0  stop
    """

    def __init__(self, generations: Sequence[GenerationView]) -> None:
        self.generations = tuple(generations)

    def __len__(self) -> int:
        return len(self.generations)

    @overload
    def __getitem__(self, at: int) -> GenerationView: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[GenerationView]: ...
    def __getitem__(self, at: int | slice) -> GenerationView | Sequence[GenerationView]:
        return self.generations[at]

    def to_dict(self) -> dict[str, Any]:
        """`generations[]`, each as `GenerationView.to_dict` has it."""
        return {"generations": [answer.to_dict() for answer in self.generations]}

    def terminal(self) -> RenderableType:
        rows = (
            (number, terminal.words(text), tokens, end)
            for number, text, tokens, end in self._rows(_ROWS_IN_TERMINAL)
        )
        notes = (terminal.words(note) for note in self._notes(_ROWS_IN_TERMINAL))
        return terminal.stack(terminal.table(_HEADINGS, rows), *notes)

    def html(self) -> str:
        rows = (
            (number, html.element("bdi", text, class_="answer"), tokens, end)
            for number, text, tokens, end in self._rows(_ROWS_IN_HTML)
        )
        table = html.table(_HEADINGS, rows, "The answers")
        notes = (html.element("p", note, class_="quiet") for note in self._notes(_ROWS_IN_HTML))
        return html.fragment(table, *notes)

    def _rows(self, most: int) -> Iterator[tuple[str, str, str, str]]:
        for i, answer in enumerate(islice(self.generations, most)):
            yield str(i), harmless(answer.text), f"{len(answer.ids):,}", answer.finish_reason

    def _notes(self, most: int) -> Iterator[str]:
        if len(self) > most:
            yield left_out(len(self) - most, "answers")
