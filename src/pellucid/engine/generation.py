"""What a generation gives: the result, and the events on the way to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from pellucid.choose.ledger import Ledger
from pellucid.choose.tree import Tree, log
from pellucid.errors import PellucidError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GeneratedToken:
    """One token of an answer.

    `text` is what the token completed: empty for the first part of a character that several
    tokens make up. `prob` and `rank` belong to the model's own distribution, before filters and
    temperature; rank 1 is the likeliest. `processed_prob` is the probability after all of these,
    with which the token was chosen. `ledger` says what each filter did.
    """

    id: int
    text: str
    prob: float
    rank: int
    processed_prob: float
    ledger: Ledger | None = None

    @property
    def logprob(self) -> float:
        """The log-probability in the model's own distribution."""
        return log(self.prob)

    @property
    def processed_logprob(self) -> float:
        """The log-probability after all filters."""
        return log(self.processed_prob)

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: id, text, prob, rank, processed_prob."""
        names = ("id", "text", "prob", "rank", "processed_prob")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Generation:
    """A finished answer.

    `finish_reason` is "stop" after a stop token, a stop string, or a strategy's own end, and
    "length" when the most tokens were made or the context is full. A stop token is no part of
    the answer: neither in `text` nor in `ids`. A stop string is cut out of `text`, but the tokens
    that made it were made: `ids` and `tokens` keep them, so that the texts of `tokens` joined are
    `text` and what the stop string cut away. `seed` repeats the draws; None where nothing is
    drawn. `score` is what a search ranked the answer by. `alternatives` are the other answers,
    where several were asked for. `tree` is what a search considered, or what was said and what was
    rejected of guesses; None where each token was chosen for good. `drafted` tokens were guessed,
    `accepted` of them proved right, each of which saved a pass; None where nothing guesses.
    """

    text: str
    ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    finish_reason: FinishReason
    tokens: tuple[GeneratedToken, ...]
    seed: int | None = None
    score: float | None = None
    alternatives: tuple[Generation, ...] = ()
    tree: Tree | None = None
    drafted: int | None = None
    accepted: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: text, ids, prompt_ids, finish_reason, tokens, seed, score, ..."""
        return {
            "text": self.text,
            "ids": list(self.ids),
            "prompt_ids": list(self.prompt_ids),
            "finish_reason": self.finish_reason,
            "tokens": [token.to_dict() for token in self.tokens],
            "seed": self.seed,
            "score": self.score if self.score is None or math.isfinite(self.score) else None,
            "alternatives": [other.to_dict() for other in self.alternatives],
            "drafted": self.drafted,
            "accepted": self.accepted,
        }


@dataclass(frozen=True)
class Event:
    """Something that happened to the request with this `index`.

    `text` may be shown now; the texts of all events of a request and a `line`, joined, are the text
    of that answer. `token` is the token that was made, if the event is about one. The last event
    brings either the `generation` or the `error` that ended it.
    """

    index: int
    text: str = ""
    token: GeneratedToken | None = None
    generation: Generation | None = None
    error: PellucidError | None = None
    line: int = 0
