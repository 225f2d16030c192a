"""What a generation gives: the result, and the events on the way to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pellucid.errors import PellucidError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GeneratedToken:
    """One token of an answer.

    `text` is what the token completed: empty for the first part of a character that several
    tokens make up. `prob` and `rank` belong to the model's own distribution, before filters and
    temperature; rank 1 is the likeliest.
    """

    id: int
    text: str
    prob: float
    rank: int


@dataclass(frozen=True)
class Generation:
    """A finished answer.

    `finish_reason` is "stop" after a stop token, a stop string, or a strategy's own end, and
    "length" when the most tokens were made or the context is full. A stop token is no part of
    the answer: neither in `text` nor in `ids`. A stop string is cut out of `text`, but the tokens
    that made it were made: `ids` and `tokens` keep them, so that the texts of `tokens` joined are
    `text` and what the stop string cut away. `seed` repeats the draws; None where nothing is
    drawn.
    """

    text: str
    ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    finish_reason: FinishReason
    tokens: tuple[GeneratedToken, ...]
    seed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: text, ids, prompt_ids, finish_reason, tokens, seed."""
        plain = asdict(self)
        return plain | {name: list(plain[name]) for name in ("ids", "prompt_ids", "tokens")}


@dataclass(frozen=True)
class Event:
    """Something that happened to the request with this `index`.

    `text` may be shown now; the texts of all events of a request, joined, are the text of its
    generation. `token` is the token that was made, if the event is about one. The last event
    brings either the `generation` or the `error` that ended it.
    """

    index: int
    text: str = ""
    token: GeneratedToken | None = None
    generation: Generation | None = None
    error: PellucidError | None = None
