"""What a model expects next: the likeliest tokens, and how much the others have together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from pellucid.choose.vocabulary import leading, logsumexp
from pellucid.look import html, terminal
from pellucid.look.numbers import finite, left_out, percent
from pellucid.look.view import View
from pellucid.weights.tensor import Floats

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 100, 500


@dataclass(frozen=True)
class Candidate:
    """A token that may come next: its logit, its probability, its rank (1 for the likeliest).

    `bytes`, where known, show what `text` cannot: part of a character.
    """

    id: int
    text: str
    logit: float
    prob: float
    rank: int
    bytes: bytes | None = None


class NextView(View, Sequence[Candidate]):
    """The likeliest next tokens; a sequence of `Candidate`.

    `vocab_size`, where given, says how many tokens share the rest of the probability.

    >>> NextView([Candidate(262, " the", 14.5, 0.5, 1), Candidate(257, " a", 13.8, 0.25, 2)])
    rank  id   token  logit  probability
       1  262  ␣the   14.50      50.00 %  ████████████
       2  257  ␣a     13.80      25.00 %  ██████
    <BLANKLINE>
    All other tokens together have 25.00 %.
    """

    def __init__(self, candidates: Sequence[Candidate], *, vocab_size: int | None = None) -> None:
        self.candidates = tuple(candidates)
        self.vocab_size = vocab_size

    @classmethod
    def of(cls, logits: Floats, top: int, bytes_of: Callable[[int], bytes]) -> NextView:
        """The `top` likeliest of all tokens, by their logits, `[vocab]`."""
        shift = logsumexp(logits)
        candidates = [
            Candidate(
                token,
                bytes_of(token).decode("utf-8", "replace"),
                float(logits[token]),
                math.exp(float(logits[token]) - shift),
                rank,
                bytes_of(token),
            )
            for rank, token in enumerate(leading(logits, top).tolist(), 1)
        ]
        return cls(candidates, vocab_size=len(logits))

    @property
    def rest(self) -> float:
        """The probability of all tokens that are not listed, together."""
        return max(0.0, 1.0 - math.fsum(c.prob for c in self.candidates))

    def __len__(self) -> int:
        return len(self.candidates)

    @overload
    def __getitem__(self, at: int) -> Candidate: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Candidate]: ...
    def __getitem__(self, at: int | slice) -> Candidate | Sequence[Candidate]:
        return self.candidates[at]

    def to_dict(self) -> dict[str, Any]:
        """`next[] {id, text, logit, prob, rank}`, and `rest`, the probability of the others."""
        entries = [
            {
                "id": c.id,
                "text": c.text,
                "logit": finite(c.logit),
                "prob": finite(c.prob),
                "rank": c.rank,
            }
            for c in self.candidates
        ]
        return {"next": entries, "rest": self.rest}

    def terminal(self) -> RenderableType:
        rows = (
            (*cells, terminal.piece(c.bytes or c.text), *numbers, terminal.bar(c.prob))
            for c, cells, numbers in self._rows(_ROWS_IN_TERMINAL)
        )
        headings = ("#rank", "#id", "token", "#logit", "#probability", "")
        notes = self._notes(_ROWS_IN_TERMINAL)
        return terminal.stack(terminal.table(headings, rows), *(terminal.words(n) for n in notes))

    def html(self) -> str:
        rows = (
            (*cells, html.piece(c.bytes or c.text), *numbers, html.bar(c.prob))
            for c, cells, numbers in self._rows(_ROWS_IN_HTML)
        )
        headings = ("#rank", "#id", "token", "#logit", "#probability", "")
        notes = (html.element("p", note) for note in self._notes(_ROWS_IN_HTML))
        return html.fragment(html.table(headings, rows, "The likeliest next tokens"), *notes)

    def _rows(self, most: int) -> Iterator[tuple[Candidate, tuple[str, str], tuple[str, str]]]:
        for c in islice(self.candidates, most):
            yield c, (str(c.rank), str(c.id)), (f"{c.logit:.2f}", percent(c.prob))

    def _notes(self, most: int) -> Iterator[str]:
        if len(self) > most:
            yield left_out(len(self) - most)
        if self.vocab_size is None or self.vocab_size > len(self):
            others = "" if self.vocab_size is None else f"{self.vocab_size - len(self):,} "
            yield f"All other {others}tokens together have {percent(self.rest)}."
