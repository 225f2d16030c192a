"""What a strategy asks for and says: the whole of its language.

A strategy is a generator. It yields `Score` and is sent a `Scored` for each branch; it yields `Say`
and is sent whether that line of the answer is over. The engine gathers what all running strategies
ask into one pass, ends a line at a stop or at its length, closes the generator when all lines are
over, and computes only ids that a branch's cache does not hold yet; so forking and dropping costs
no second computation. What is said in every step is a named tuple, which is made in a third of the
time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pellucid.choose.branch import Branch
from pellucid.choose.ledger import Ledger
from pellucid.choose.task import Task


class Score(NamedTuple):
    """Asks for the logits that follow each branch; each must have unfed ids.

    `rows` of them: the last is what follows the whole branch, those before it what followed its
    last ids. Each drafted token has a row more. `watch` names sites of the forward (`model.sites`)
    whose rows are wanted too, of all ids that this feeds; `exits` are numbers of layers: what the
    output matrix makes of the residual after so many (0: the embedding), which is not normed; the
    model must be one of all branches then.
    """

    branches: Sequence[Branch]
    rows: int = 1
    watch: tuple[str, ...] = ()
    exits: tuple[int, ...] = ()


class Say(NamedTuple):
    """Emits a token of the answer.

    `prob` is the token's probability under the model's own distribution: the softmax of the
    logits before any filter or temperature. `rank` is its place there, 1 for the likeliest; equal
    logits share the better rank. `processed_prob` is its probability after all filters, where it
    was chosen. `line` is the answer it belongs to, when several are returned.
    """

    token: int
    prob: float
    rank: int
    processed_prob: float
    ledger: Ledger | None = None
    line: int = 0


@dataclass(frozen=True)
class Begin:
    """Says that a line begins which a search has found, and how it scored there."""

    line: int
    score: float


Steps = Generator[Score | Say | Begin, Any, None]
Strategy = Callable[[Task], Steps]
