"""A generated text, and the probability and rank of each of its tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from pellucid.choose.parameters.values import Integer
from pellucid.engine.generation import FinishReason, GeneratedToken, Generation
from pellucid.errors import ParameterError
from pellucid.look import html, terminal
from pellucid.look.numbers import left_out, percent
from pellucid.look.view import View
from pellucid.look.visible import harmless

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 100, 500
_SAME = 1e-5  # of itself; as far apart may two ways of rounding one probability be
_PART = "part of a character"
_OTHERS = ("##", "another answer", "#tokens", "#score")
_REASONS = {"stop": "ended at a stop", "length": "ended at the length asked for, or the context's"}


class GenerationView(View):
    """An answer that shows its text, and the probability and rank of its tokens: the model's own,
    and the probability after all filters beside it where these changed it.

    `pieces`, where given, are the bytes of each token, and show what its text cannot: part of a
    character. `alternatives` are the views of the other answers, where several were asked for.
    `go_on` continues ids and one token more, and lets `branch` do so from any place.

    >>> token = GeneratedToken(1005, " Too", 0.25, 2, 0.25)
    >>> GenerationView(Generation(" Too", (1005,), (51,), "length", (token,)))
     Too
    <BLANKLINE>
    #    id  token  probability  rank
    0  1005  ␣Too       25.00 %     2  ██████
    <BLANKLINE>
    1 token, ended at the length asked for, or the context's.
    """

    def __init__(
        self,
        generation: Generation,
        pieces: Sequence[bytes] = (),
        *,
        alternatives: Sequence[GenerationView] = (),
        go_on: Callable[..., GenerationView] | None = None,
    ) -> None:
        self.generation = generation
        self.pieces = tuple(pieces)
        self.alternatives = tuple(alternatives or map(GenerationView, generation.alternatives))
        self._go_on = go_on

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

    def branch(
        self,
        at: int | None = None,
        token: int | str | None = None,
        *,
        node: int | None = None,
        **given: Any,
    ) -> GenerationView:
        """Continue from another place: after the prompt, the first `at` tokens (all unless given)
        and then this `token`, an id or a text, which may be several tokens.

        `node` continues a branch that a search considered, by its number in the tree of the
        generation, instead. `given` as in `LM.generate`: nothing is taken over from this answer.
        What the model holds of its last generations is not computed again (see `LM.forget`), and
        the result is what the same ids would give as a prompt, on the native backend bit for bit.

        Raises ParameterError for a place, node, text or parameter that cannot be.
        """
        if self._go_on is None:
            raise ParameterError("branch", "needs the model that made this answer")
        return self._go_on([*self.prompt_ids, *self._way(at, node)], token, **given)

    def _way(self, at: int | None, node: int | None) -> Sequence[int]:
        """The tokens from the prompt to a place, or to a node of the tree."""
        if node is None:
            end = len(self.ids)
            return self.ids[: end if at is None else Integer(0, end).check("at", at)]
        if at is not None:
            raise ParameterError("node", "excludes at: give one of the two")
        tree = self.generation.tree
        if tree is None:
            raise ParameterError("node", "has no meaning here: nothing was searched; give at")
        return tree.path(Integer(0, len(tree.nodes) - 1).check("node", node))

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
        text = terminal.words(harmless(self.text))
        return terminal.stack(text, *table, notes, *self._others_in_terminal())

    def _others_in_terminal(self) -> Iterator[RenderableType]:
        """The other answers, and how a search ranked them."""
        if self.alternatives:
            rows = (
                (number, terminal.words(text), tokens, score)
                for number, text, tokens, score in self._others(_ROWS_IN_TERMINAL)
            )
            yield terminal.table(_OTHERS, rows)

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
        return html.fragment(text, table, *notes, *self._others_in_html())

    def _others_in_html(self) -> Iterator[str]:
        if self.alternatives:
            rows = (
                (number, html.element("bdi", text, class_="answer"), tokens, score)
                for number, text, tokens, score in self._others(_ROWS_IN_HTML)
            )
            yield html.table(_OTHERS, rows, "The other answers")

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

    def _others(self, most: int) -> Iterator[tuple[str, str, str, str]]:
        for number, other in enumerate(islice(self.alternatives, most), 1):
            score = other.generation.score
            told = "" if score is None else f"{score:.3f}"
            yield str(number), harmless(other.text), f"{len(other.ids):,}", told

    def _notes(self, most: int) -> Iterator[str]:
        if len(self.tokens) > most:
            yield left_out(len(self.tokens) - most)
        noun = "token" if len(self.tokens) == 1 else "tokens"
        seed = "" if self.seed is None else f"; seed {self.seed} repeats it"
        yield f"{len(self.tokens):,} {noun}, {_REASONS[self.finish_reason]}{seed}."
        drafted, accepted = self.generation.drafted, self.generation.accepted
        if drafted is not None:
            yield f"Of {drafted:,} guessed tokens, {accepted:,} were right."
