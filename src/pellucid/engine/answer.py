"""One answer as it is written: tokens come in, text comes out, and stops and lengths end it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Self

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies import Say
from pellucid.engine.generation import FinishReason, GeneratedToken
from pellucid.engine.stops import StopStrings
from pellucid.tokens.stream import Decoder


@dataclass(frozen=True)
class Shown:
    """What a token did to an answer: the text that may be shown now, and the token if it stays."""

    text: str = ""
    token: GeneratedToken | None = None


class Answer:
    """What has been said so far to one prompt, on one line. The parameters are resolved.

    `finish_reason` is None until the answer is over. `score` is a search's, if one found it.
    """

    def __init__(self, parameters: GenerationParameters, decoder: Decoder | None) -> None:
        self.finish_reason: FinishReason | None = None
        self.score: float | None = None
        self.tokens: list[GeneratedToken] = []
        self._parameters = parameters
        self._ends = frozenset(parameters.stop_token_ids or ())
        self._decoder = decoder
        self._stops = StopStrings(parameters.stop or ())
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
        if say.token in self._ends:
            return self.finish("stop")
        piece = self._decoder.push(say.token) if self._decoder else ""
        token = made(say, piece)
        self.tokens.append(token)
        shown = self._show(piece)
        if self._stops.stopped:
            return self.finish("stop", Shown(shown, token))
        if len(self.tokens) == self._parameters.max_new_tokens:
            return self.finish("length", Shown(shown, token))
        return Shown(shown, token)

    def finish(self, reason: FinishReason, last: Shown = Shown()) -> Shown:
        """End here, with the text that was held back and what the last token still has to show."""
        text, token = last.text, last.token
        if self._decoder and not self._stops.stopped:
            text += self._flush(self._decoder.flush())
            token = token and self.tokens[-1]
        self.finish_reason = "stop" if self._stops.stopped else reason
        return Shown(text, token)

    def _show(self, piece: str) -> str:
        """What may be shown of the text, now that this piece has come."""
        searched = len(self.tokens) > (self._parameters.min_new_tokens or 0)
        shown = self._stops.push(piece) if searched else piece
        self._text.append(shown)
        return shown

    def _flush(self, rest: str) -> str:
        """Show the rest of the text, which belongs to the last token, and what was held back."""
        if rest and self.tokens:
            last = self.tokens[-1]
            self.tokens[-1] = replace(last, text=last.text + rest)
        shown = self._show(rest)
        self._text.append(held := self._stops.flush())
        return shown + held


def made(say: Say, text: str) -> GeneratedToken:
    """A token as it was said, and the text that it completed."""
    return GeneratedToken(say.token, text, say.prob, say.rank, say.processed_prob, say.ledger)


class Ending:
    """Follows an answer token by token, and says whether it is over; the parameters are resolved.

    No text is kept, so what follows many answers at once costs the same at any length.
    """

    def __init__(self, parameters: GenerationParameters, decoder: Decoder | None) -> None:
        self._ends = frozenset(parameters.stop_token_ids or ())
        self._free = parameters.min_new_tokens or 0
        self._left = parameters.max_new_tokens or 0
        self._decoder = decoder if parameters.stop else None
        self._stops = StopStrings(parameters.stop or ())

    def push(self, token: int) -> FinishReason | None:
        """Go on by a token: why the answer is over with it, if it is."""
        if token in self._ends:
            return "stop"
        self._left -= 1
        piece = self._decoder.push(token) if self._decoder else ""
        if self._free:
            self._free -= 1
        else:
            self._stops.push(piece)
        if self._stops.stopped:
            return "stop"
        return None if self._left > 0 else "length"

    def fork(self) -> Self:
        """A second one at the same place, to go on from by itself."""
        twin = copy.copy(self)
        twin._decoder = self._decoder and self._decoder.fork()
        twin._stops = self._stops.fork()
        return twin
