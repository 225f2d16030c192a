"""One request on its way: its strategy, its text so far, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies import Say, Score, Strategy
from pellucid.engine.generation import Event, FinishReason, GeneratedToken, Generation
from pellucid.engine.stops import StopStrings
from pellucid.errors import BackendError, PellucidError
from pellucid.weights.tensor import Floats


class Decoder(Protocol):
    """Token ids -> text, as they come; see `pellucid.tokens.tokenizer`."""

    def push(self, token: int, /) -> str:
        """The text that this token completes."""
        ...

    def flush(self) -> str:
        """The rest, when no more tokens come."""
        ...


class Running:
    """A request between its start and its end.

    `asked` is what its strategy waits for: None before it has begun, and once it has ended. The
    parameters are resolved: lengths are concrete, and the model's own end tokens among the stops.
    """

    def __init__(
        self,
        index: int,
        root: Branch,
        parameters: GenerationParameters,
        strategy: Strategy,
        decoder: Decoder | None,
    ) -> None:
        self.index = index
        self.begun = False
        self.asked: Score | None = None
        self._parameters = parameters
        self._prompt_ids = tuple(root.ids)
        self._ends = frozenset(parameters.stop_token_ids or ())
        self._steps = strategy(root, parameters)
        self._decoder = decoder
        self._stops = StopStrings(parameters.stop or ())
        self._tokens: list[GeneratedToken] = []
        self._text: list[str] = []

    def close(self) -> None:
        """End here, without a result; what the strategy holds is freed."""
        self.asked = None
        self._steps.close()

    def advance(self, answers: list[Floats] | None) -> list[Event]:
        """Send the strategy what it asked for (None to begin), until it asks again or ends.

        What is wrong with this request alone ends it with an event, and disturbs no other.
        """
        self.begun, self.asked = True, None
        events: list[Event] = []
        try:
            check_finite(answers or ())
            step = self._step(answers)
            while isinstance(step, Say):
                events.append(self._said(step))
                if events[-1].generation:
                    return events
                step = self._step(None)
        except PellucidError as error:
            self.close()
            return [*events, Event(self.index, error=error)]
        self.asked = step
        return events if step else [*events, self._finish("stop")]

    def _step(self, answers: list[Floats] | None) -> Score | Say | None:
        try:
            return next(self._steps) if answers is None else self._steps.send(answers)
        except StopIteration:
            return None

    def _said(self, say: Say) -> Event:
        """Take a token into the answer, or end the answer at it."""
        if say.token in self._ends:
            return self._finish("stop")
        piece = self._decoder.push(say.token) if self._decoder else ""
        token = GeneratedToken(say.token, piece, say.prob, say.rank)
        self._tokens.append(token)
        shown = self._show(piece)
        if self._stops.stopped:
            return self._finish("stop", shown, token)
        if len(self._tokens) == self._parameters.max_new_tokens:
            return self._finish("length", shown, token)
        return Event(self.index, shown, token)

    def _show(self, piece: str) -> str:
        """What may be shown of the text, now that this piece has come."""
        searched = len(self._tokens) > (self._parameters.min_new_tokens or 0)
        shown = self._stops.push(piece) if searched else piece
        self._text.append(shown)
        return shown

    def _finish(
        self, reason: FinishReason, shown: str = "", token: GeneratedToken | None = None
    ) -> Event:
        self.close()
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
        return Event(self.index, shown, token, generation)

    def _flush(self, rest: str) -> str:
        """Show the rest of the text, which belongs to the last token, and what was held back."""
        if rest:
            last = self._tokens[-1]
            self._tokens[-1] = replace(last, text=last.text + rest)
        shown = self._show(rest)
        self._text.append(held := self._stops.flush())
        return shown + held


def check_finite(answers: Sequence[Floats]) -> None:
    """Refuse logits from which nothing can be chosen; BackendError."""
    for logits in answers:  # [rows, vocab]
        if not np.isfinite(logits.max(axis=-1)).all():  # the maximum of NaN and 1 is NaN
            raise BackendError("the model computed NaN or infinity; its weights may be damaged")
