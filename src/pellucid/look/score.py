"""How well a model expected a text: each token's log-probability, their sum, the perplexity."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from pellucid.look import html, terminal
from pellucid.look.numbers import finite, left_out, percent
from pellucid.look.view import View

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 100, 500
_HEADINGS = ("##", "#id", "token", "#log-prob", "#probability", "#surprise")
_STEPS = (1, 4, 8, 12)  # bits at which the colour deepens; 1 bit is a coin toss
_MOST_BITS = 20  # the length of a full bar: one in a million
_BAR_COLOR = "#e8590c"


@dataclass(frozen=True)
class ScoredToken:
    """A token of a text. `logprob` is the natural logarithm of its probability after the tokens
    before it; None where there are none.

    `bytes`, where known, show what `text` cannot: part of a character.
    """

    id: int
    text: str
    logprob: float | None
    bytes: bytes | None = None


class ScoreView(View, Sequence[ScoredToken]):
    """The scored tokens of a text; a sequence of `ScoredToken`.

    >>> view = ScoreView([ScoredToken(51, "T", None), ScoredToken(1005, "oo", math.log(0.25))])
    >>> view
    T│oo
    <BLANKLINE>
    #    id  token  log-prob  probability  surprise
    0    51  T
    1  1005  oo       -1.386      25.00 %  2.0 bits  ██▍
    <BLANKLINE>
    Log-probability -1.386 over 1 token, 2.00 bits each; perplexity 4.00.
    The first token has nothing before it, and so no probability.
    >>> view.perplexity
    4.0

    A subclass has `more` columns, with the headings of `table`, and `_more` gives a row of them.
    """

    more: tuple[str, ...] = ()

    def __init__(self, tokens: Sequence[ScoredToken]) -> None:
        self.tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    @overload
    def __getitem__(self, at: int) -> ScoredToken: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[ScoredToken]: ...
    def __getitem__(self, at: int | slice) -> ScoredToken | Sequence[ScoredToken]:
        return self.tokens[at]

    @property
    def scored(self) -> int:
        """How many tokens have a probability."""
        return sum(token.logprob is not None for token in self.tokens)

    @property
    def logprob(self) -> float:
        """The natural logarithm of the probability of the whole."""
        return math.fsum(token.logprob for token in self.tokens if token.logprob is not None)

    @property
    def perplexity(self) -> float | None:
        """exp of the mean negative log-probability; None where no token has one."""
        if not self.scored:
            return None
        try:
            return math.exp(-self.logprob / self.scored)
        except OverflowError:
            return math.inf

    def to_dict(self) -> dict[str, Any]:
        """`tokens[] {id, text, logprob}, logprob, perplexity`."""
        return {
            "tokens": [
                {"id": token.id, "text": token.text, "logprob": finite(token.logprob)}
                for token in self.tokens
            ],
            "logprob": finite(self.logprob),
            "perplexity": finite(self.perplexity),
        }

    def terminal(self) -> RenderableType:
        shown = self.tokens[:_ROWS_IN_TERMINAL]
        running = terminal.Running((t.bytes or t.text, terminal.HEAT[_heat(t)]) for t in shown)
        rows = (
            (
                *before,
                terminal.piece(token.bytes or token.text, terminal.HEAT[_heat(token)]),
                *after,
                *map(terminal.piece, self._more(i)),
                "" if token.logprob is None else terminal.bar(_share(token), _BAR_COLOR),
            )
            for i, (token, before, after) in enumerate(self._rows(_ROWS_IN_TERMINAL))
        )
        notes = terminal.words("\n".join(self._notes(_ROWS_IN_TERMINAL)))
        return terminal.stack(running, terminal.table(self._headings, rows), notes)

    def html(self) -> str:
        shown = self.tokens[:_ROWS_IN_HTML]
        running = html.running(_tinted(token, title=_title(token)) for token in shown)
        rows = (
            (
                *before,
                _tinted(token),
                *after,
                *map(html.piece, self._more(i)),
                html.bar(_share(token), "heat"),
            )
            for i, (token, before, after) in enumerate(self._rows(_ROWS_IN_HTML))
        )
        table = html.table(self._headings, rows, "The tokens of the text and their probabilities")
        notes = (html.element("p", note) for note in self._notes(_ROWS_IN_HTML))
        return html.fragment(running, table, *notes)

    @property
    def _headings(self) -> tuple[str, ...]:
        return (*_HEADINGS, *self.more, "")

    def _more(self, at: int) -> tuple[str | bytes, ...]:
        return ()

    def _rows(
        self, most: int
    ) -> Iterator[tuple[ScoredToken, tuple[str, str], tuple[str, str, str]]]:
        for i, token in enumerate(islice(self.tokens, most)):
            yield token, (str(i), str(token.id)), _numbers(token.logprob)

    def _notes(self, most: int) -> Iterator[str]:
        if len(self) > most:
            yield left_out(len(self) - most)
        if self.perplexity is not None:
            bits = bits_of(self.logprob / self.scored)
            yield (
                f"Log-probability {self.logprob:.3f} over {self.scored:,} "
                f"token{'s' * (self.scored != 1)}, {bits:.2f} bits each; "
                f"perplexity {self.perplexity:,.2f}."
            )
        if self.tokens and self.tokens[0].logprob is None:
            yield "The first token has nothing before it, and so no probability."


def bits_of(logprob: float | None) -> float:
    """The surprise, -log2 of the probability."""
    return 0.0 - (logprob or 0.0) / math.log(2)


def _share(token: ScoredToken) -> float:
    """Of a full bar."""
    return bits_of(token.logprob) / _MOST_BITS


def _heat(token: ScoredToken) -> int:
    return bisect(_STEPS, bits_of(token.logprob))


def _numbers(logprob: float | None) -> tuple[str, str, str]:
    if logprob is None:
        return "", "", ""
    return f"{logprob:.3f}", percent(math.exp(logprob)), f"{bits_of(logprob):.1f} bits"


def _tinted(token: ScoredToken, title: str | None = None) -> html.Html:
    tint = f"h{_heat(token)}" if _heat(token) else None
    return html.piece(token.bytes or token.text, class_=tint, title=title)


def _title(token: ScoredToken) -> str:
    _, probability, bits = _numbers(token.logprob)
    return f"{token.id}: {probability}, {bits}" if bits else str(token.id)
