"""One answer as it is written: tokens come in, text comes out, and stops and lengths end it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import NamedTuple, Self

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies import Say
from pellucid.engine.generation import FinishReason, GeneratedToken
from pellucid.engine.stops import StopStrings
from pellucid.tokens.stream import Decoder


class Shown(NamedTuple):
    """What a token did to an answer: the text that may be shown now, and the token if it stays."""

    text: str = ""
    token: GeneratedToken | None = None


_NOTHING = Shown()


class Ending:
    """Follows an answer token by token, and says whether it is over; the parameters are resolved.

    `piece` is the text that the last token completed, `shown` what of all may be shown since. No
    text is kept, so what follows many answers at once costs the same at any length.
    """

    def __init__(self, parameters: GenerationParameters, decoder: Decoder | None) -> None:
        self.ends = frozenset(parameters.stop_token_ids or ())
        self.piece = self.shown = ""
        self._free = parameters.min_new_tokens or 0
        self._most = parameters.max_new_tokens or 0
        self._made = 0
        self._decoder = decoder
        self._stops = StopStrings(parameters.stop or ())

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._stops.stopped

    def push(self, token: int) -> FinishReason | None:
        """Go on by a token: why the answer is over with it, if it is."""
        if token in self.ends:
            return "stop"
        self._made += 1
        self._show(self._decoder.push(token) if self._decoder else "")
        if self.stopped:
            return "stop"
        return "length" if self._made >= self._most else None

    def flush(self) -> None:
        """No more tokens come: `piece` is the rest of the last one's text."""
        held = self._decoder.flush() if self._decoder and not self.stopped else ""
        self._show(held)
        self.shown += self._stops.flush()

    def fork(self) -> Self:
        """A second one at the same place, to go on from by itself."""
        twin = copy.copy(self)
        twin._decoder = self._decoder and self._decoder.fork()
        twin._stops = self._stops.fork()
        return twin

    def _show(self, piece: str) -> None:
        self.piece = piece
        self.shown = self._stops.push(piece) if self._made > self._free else piece


class Answer:
    """What has been said so far to one prompt, on one line. The parameters are resolved.

    `finish_reason` is None until the answer is over. `score` is a search's, if one found it.
    """

    def __init__(self, parameters: GenerationParameters, decoder: Decoder | None) -> None:
        self.finish_reason: FinishReason | None = None
        self.score: float | None = None
        self.tokens: list[GeneratedToken] = []
        self._ending = Ending(parameters, decoder)
        self._text: list[str] = []

    @property
    def text(self) -> str:
        """What has been shown."""
        return "".join(self._text)

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self.tokens or self.finish_reason)

    def take(self, say: Say) -> Shown:
        """Add a token, or end at it."""
        ending = self._ending
        reason = ending.push(say.token)
        if say.token in ending.ends:
            return self.finish("stop")
        token = made(say, ending.piece)
        self.tokens.append(token)
        self._text.append(ending.shown)
        shown = Shown(ending.shown, token)
        return self.finish(reason, shown) if reason else shown

    def finish(self, reason: FinishReason, last: Shown = _NOTHING) -> Shown:
        """End here, with the text that was held back and what the last token still has to show."""
        ending, token = self._ending, last.token
        ending.flush()
        self._text.append(ending.shown)
        if ending.piece and self.tokens:
            self.tokens[-1] = replace(self.tokens[-1], text=self.tokens[-1].text + ending.piece)
            token = token and self.tokens[-1]
        self.finish_reason = "stop" if ending.stopped else reason
        return Shown(last.text + ending.shown, token)


def made(say: Say, text: str) -> GeneratedToken:
    """A token as it was said, and the text that it completed."""
    return GeneratedToken(say.token, text, say.prob, say.rank, say.processed_prob, say.ledger)
