"""A generated text, and the probability and rank of each of its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from pellucid.engine.generation import FinishReason, GeneratedToken, Generation
from pellucid.look import html, terminal
from pellucid.look.numbers import left_out, percent
from pellucid.look.view import View
from pellucid.look.visible import harmless

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 100, 500
_SAME = 1e-5  # of itself; as far apart may two ways of rounding one probability be
_PART = "part of a character"
_REASONS = {"stop": "ended at a stop", "length": "ended at the length asked for, or the context's"}


class GenerationView(View):
    """An answer that shows its text, and the probability and rank of its tokens: the model's own,
    and the probability after all filters beside it where these changed it.

    `pieces`, where given, are the bytes of each token, and show what its text cannot: part of a
    character.

    >>> token = GeneratedToken(1005, " Too", 0.25, 2, 0.25)
    >>> GenerationView(Generation(" Too", (1005,), (51,), "length", (token,)))
     Too
    <BLANKLINE>
    #    id  token  probability  rank
    0  1005  ␣Too       25.00 %     2  ██████
    <BLANKLINE>
    1 token, ended at the length asked for, or the context's.
    """

    def __init__(self, generation: Generation, pieces: Sequence[bytes] = ()) -> None:
        self.generation = generation
        self.pieces = tuple(pieces)

    @property
    def text(self) -> str:
        """The answer."""
        return self.generation.text

    @property
    def ids(self) -> tuple[int, ...]:
        """The answer's tokens."""
        return self.generation.ids

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The tokens before the answer."""
        return self.generation.prompt_ids

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended: "stop" or "length"."""
        return self.generation.finish_reason

    @property
    def tokens(self) -> tuple[GeneratedToken, ...]:
        """The answer's tokens, each with its probability and rank."""
        return self.generation.tokens

    @property
    def seed(self) -> int | None:
        """What repeats the draws; None where nothing was drawn."""
        return self.generation.seed

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: docs/json.md."""
        return self.generation.to_dict()

    def terminal(self) -> RenderableType:
        rows: Iterator[list[RenderableType]] = (
            [
                *before,
                terminal.piece(piece) if piece else terminal.words((_PART, terminal.QUIET)),
                *after,
                terminal.bar(token.prob),
            ]
            for token, piece, before, after in self._rows(_ROWS_IN_TERMINAL)
        )
        notes = terminal.words("\n".join(self._notes(_ROWS_IN_TERMINAL)))
        table = [terminal.table(self._headings, rows)] if self.tokens else []
        return terminal.stack(terminal.words(harmless(self.text)), *table, notes)

    def html(self) -> str:
        rows = (
            (
                *before,
                html.piece(piece) if piece else html.element("span", _PART, class_="quiet"),
                *after,
                html.bar(token.prob),
            )
            for token, piece, before, after in self._rows(_ROWS_IN_HTML)
        )
        text = html.element("p", html.element("bdi", harmless(self.text)), class_="answer")
        table = html.table(self._headings, rows, "The tokens of the answer")
        notes = (html.element("p", note, class_="quiet") for note in self._notes(_ROWS_IN_HTML))
        return html.fragment(text, table, *notes)

    @property
    def _filtered(self) -> bool:
        """Whether filters changed the probability of any token."""
        return not all(
            math.isclose(t.prob, t.processed_prob, rel_tol=_SAME, abs_tol=_SAME)
            for t in self.tokens
        )

    @property
    def _headings(self) -> tuple[str, ...]:
        probs = ("#model's own", "#after filters") if self._filtered else ("#probability",)
        return ("##", "#id", "token", *probs, "#rank", "")

    def _rows(
        self, most: int
    ) -> Iterator[tuple[GeneratedToken, str | bytes, tuple[str, str], tuple[str, ...]]]:
        filtered = self._filtered
        for i, token in enumerate(islice(self.tokens, most)):
            piece = self.pieces[i] if i < len(self.pieces) else token.text
            probs = (token.prob, token.processed_prob)[: 1 + filtered]
            yield token, piece, (str(i), str(token.id)), (*map(percent, probs), f"{token.rank:,}")

    def _notes(self, most: int) -> Iterator[str]:
        if len(self.tokens) > most:
            yield left_out(len(self.tokens) - most)
        noun = "token" if len(self.tokens) == 1 else "tokens"
        seed = "" if self.seed is None else f"; seed {self.seed} repeats it"
        yield f"{len(self.tokens):,} {noun}, {_REASONS[self.finish_reason]}{seed}."
        drafted, accepted = self.generation.drafted, self.generation.accepted
        if drafted is not None:
            yield f"Of {drafted:,} guessed tokens, {accepted:,} were right."
