"""One request on its way: its strategy asks and says, until the answer ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pellucid.choose.strategies import Begin, Say, Score, Strategy
from pellucid.choose.task import Scored, Task
from pellucid.engine.answer import Answer, Shown
from pellucid.engine.generation import Event, Generation
from pellucid.errors import BackendError, PellucidError
from pellucid.weights.tensor import Floats


class Running:
    """A request between its start and its end.

    `asked` is what its strategy waits for: None before it has begun, and once it has ended.
    `answers` are the lines that it writes; the request is over when all of them are.
    """

    def __init__(self, index: int, task: Task, strategy: Strategy, answers: list[Answer]) -> None:
        self.index = index
        self.task = task
        self.begun = False
        self.asked: Score | None = None
        self._prompt_ids = tuple(task.root.ids)
        self._steps = strategy(task)
        self._answers = answers

    def close(self) -> None:
        """End here, without a result; what the strategy holds is freed."""
        self.asked = None
        self._steps.close()

    def advance(self, scored: list[Scored] | None) -> list[Event]:
        """Send the strategy what it asked for (None to begin), until it asks again or ends.

        What is wrong with this request alone ends it with an event, and disturbs no other.
        """
        self.begun = True
        events: list[Event] = []
        try:
            for answer in scored or ():
                check_highest(answer.highest)
            self.asked = self._until_asked(scored, events)
        except PellucidError as error:
            self.asked = None
            events.append(Event(self.index, error=error))
        if not self.asked:
            self.close()
        return events

    def _until_asked(self, scored: list[Scored] | None, events: list[Event]) -> Score | None:
        """What the strategy asks next; None if all its lines are over."""
        step = self._step(scored)
        while step is not None and not isinstance(step, Score):
            if isinstance(step, Begin):
                self._answers[step.line].score = step.score
                step = self._step(None)
                continue
            over = self._take(step, events)
            if over and self._over:
                return None
            step = self._step(over)
        if step is None:
            self._end(events)
        return step

    def _take(self, say: Say, events: list[Event]) -> bool:
        """Write a token on its line; whether that line is over now."""
        answer = self._answers[say.line]
        self._tell(events, answer.take(say), say.line)
        return answer.finish_reason is not None

    def _end(self, events: list[Event]) -> None:
        """End the lines that the strategy has left open.

        Those that it never began are no answers: a search may find fewer than were asked for.
        """
        self._answers = [one for one in self._answers if one.begun] or self._answers[:1]
        left = [line for line, one in enumerate(self._answers) if not one.finish_reason]
        for line in left:
            self._tell(events, self._answers[line].finish("stop"), line)
        if not left:
            self._tell(events, Shown(), 0)

    def _tell(self, events: list[Event], shown: Shown, line: int) -> None:
        over = self._answers[line].finish_reason and self._over
        generation = self._generation() if over else None
        events.append(Event(self.index, shown.text, shown.token, generation, line=line))

    @property
    def _over(self) -> bool:
        return all(answer.finish_reason for answer in self._answers)

    def _generation(self) -> Generation:
        first, *others = (self._of(*numbered) for numbered in enumerate(self._answers))
        tree = self.task.tree if len(self.task.tree.nodes) > 1 else None
        return replace(first, alternatives=tuple(others), tree=tree)

    def _of(self, line: int, answer: Answer) -> Generation:
        assert answer.finish_reason
        drafts = self.task.drafts.get(line)
        return Generation(
            text=answer.text,
            ids=tuple(token.id for token in answer.tokens),
            prompt_ids=self._prompt_ids,
            finish_reason=answer.finish_reason,
            tokens=tuple(answer.tokens),
            seed=self.task.parameters.seed,
            score=answer.score,
            drafted=drafts.drafted if drafts else None,
            accepted=drafts.accepted if drafts else None,
        )

    def _step(self, sent: list[Scored] | bool | None) -> Score | Say | Begin | None:
        try:
            return next(self._steps) if sent is None else self._steps.send(sent)
        except StopIteration:
            return None


def check_finite(answers: Sequence[Floats]) -> None:
    """Refuse logits from which nothing can be chosen; BackendError."""
    for logits in answers:  # [rows, vocab]
        check_highest(logits.max(axis=-1))  # the maximum of NaN and 1 is NaN


def check_highest(logits: Iterable[float]) -> None:
    """As `check_finite`, given the highest of each row."""
    for highest in logits:
        if not math.isfinite(highest):
            raise BackendError("the model computed NaN or infinity; its weights may be damaged")
