"""One request on its way: its strategy asks and says, until the answer ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies import Say, Score, Strategy
from pellucid.engine.answer import Answer
from pellucid.engine.generation import Event
from pellucid.errors import BackendError, PellucidError
from pellucid.tokens.stream import Decoder
from pellucid.weights.tensor import Floats


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
        self._steps = strategy(root, parameters)
        self._answer = Answer(index, tuple(root.ids), parameters, decoder)

    def close(self) -> None:
        """End here, without a result; what the strategy holds is freed."""
        self.asked = None
        self._steps.close()

    def advance(self, answers: list[Floats] | None) -> list[Event]:
        """Send the strategy what it asked for (None to begin), until it asks again or ends.

        What is wrong with this request alone ends it with an event, and disturbs no other.
        """
        self.begun = True
        events: list[Event] = []
        try:
            check_finite(answers or ())
            self.asked = self._until_asked(answers, events)
        except PellucidError as error:
            self.asked = None
            events.append(Event(self.index, error=error))
        if not self.asked:
            self.close()
        return events

    def _until_asked(self, answers: list[Floats] | None, events: list[Event]) -> Score | None:
        """What the strategy asks next; None if it, or a token that it said, ended the answer."""
        step = self._step(answers)
        while isinstance(step, Say):
            events.append(self._answer.take(step))
            if events[-1].generation:
                return None
            step = self._step(None)
        if step is None:
            events.append(self._answer.finish("stop"))
        return step

    def _step(self, answers: list[Floats] | None) -> Score | Say | None:
        try:
            return next(self._steps) if answers is None else self._steps.send(answers)
        except StopIteration:
            return None


def check_finite(answers: Sequence[Floats]) -> None:
    """Refuse logits from which nothing can be chosen; BackendError."""
    for logits in answers:  # [rows, vocab]
        if not np.isfinite(logits.max(axis=-1)).all():  # the maximum of NaN and 1 is NaN
            raise BackendError("the model computed NaN or infinity; its weights may be damaged")
