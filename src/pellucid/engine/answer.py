"""One answer as it is written: tokens come in, text comes out, and stops and lengths end it."""

from __future__ import annotations

from dataclasses import replace

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies import Say
from pellucid.engine.generation import Event, FinishReason, GeneratedToken, Generation
from pellucid.engine.stops import StopStrings
from pellucid.tokens.stream import Decoder


class Answer:
    """What has been said so far to one prompt. The parameters are resolved."""

    def __init__(
        self,
        index: int,
        prompt_ids: tuple[int, ...],
        parameters: GenerationParameters,
        decoder: Decoder | None,
    ) -> None:
        self._index = index
        self._prompt_ids = prompt_ids
        self._parameters = parameters
        self._ends = frozenset(parameters.stop_token_ids or ())
        self._decoder = decoder
        self._stops = StopStrings(parameters.stop or ())
        self._tokens: list[GeneratedToken] = []
        self._text: list[str] = []

    def take(self, say: Say) -> Event:
        """Add a token, or end at it: then the event has the generation."""
        if say.token in self._ends:
            return self.finish("stop")
        piece = self._decoder.push(say.token) if self._decoder else ""
        token = GeneratedToken(say.token, piece, say.prob, say.rank)
        self._tokens.append(token)
        shown = self._show(piece)
        if self._stops.stopped:
            return self.finish("stop", shown, token)
        if len(self._tokens) == self._parameters.max_new_tokens:
            return self.finish("length", shown, token)
        return Event(self._index, shown, token)

    def finish(
        self, reason: FinishReason, shown: str = "", token: GeneratedToken | None = None
    ) -> Event:
        """End here, with the text that was held back and still has to be `shown`."""
        if self._decoder and not self._stops.stopped:
            shown += self._flush(self._decoder.flush())
            token = token and self._tokens[-1]
        generation = Generation(
            text="".join(self._text),
            ids=tuple(t.id for t in self._tokens),
            prompt_ids=self._prompt_ids,
            finish_reason="stop" if self._stops.stopped else reason,
            tokens=tuple(self._tokens),
            seed=self._parameters.seed,
        )
        return Event(self._index, shown, token, generation)

    def _show(self, piece: str) -> str:
        """What may be shown of the text, now that this piece has come."""
        searched = len(self._tokens) > (self._parameters.min_new_tokens or 0)
        shown = self._stops.push(piece) if searched else piece
        self._text.append(shown)
        return shown

    def _flush(self, rest: str) -> str:
        """Show the rest of the text, which belongs to the last token, and what was held back."""
        if rest and self._tokens:
            last = self._tokens[-1]
            self._tokens[-1] = replace(last, text=last.text + rest)
        shown = self._show(rest)
        self._text.append(held := self._stops.flush())
        return shown + held
