"""Lines of an answer: each grows as it would alone, beside others, and is written into the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pellucid.choose.branch import Branch
from pellucid.choose.ledger import Draft
from pellucid.choose.strategies.steps import Say, Score, Steps
from pellucid.choose.task import Task
from pellucid.choose.tree import Fate, log


def together(lines: Sequence[Steps], ask: Callable[[Sequence[Branch]], Score] = Score) -> Steps:
    """Run lines side by side: what all of them ask to be scored becomes one `ask`.

    A line says tokens, and asks for the score of one branch at a time; it returns when it is over.
    """
    sent: dict[Steps, Any] = dict.fromkeys(lines)
    while True:
        asked: dict[Steps, Branch] = {}
        for line, answer in sent.items():
            step = _step(line, answer)
            while isinstance(step, Say):
                step = _step(line, (yield step))
            if isinstance(step, Score):
                (asked[line],) = step.branches
        if not asked:
            return
        answers = yield ask(list(asked.values()))
        sent = {line: [answer] for line, answer in zip(asked, answers, strict=True)}


def _step(line: Steps, answer: Any) -> Any:
    """What a line says or asks next; None when it is over."""
    try:
        return line.send(answer)
    except StopIteration:
        return None


class Path:
    """What is chosen on one line, and what was rejected beside it, written into the task's tree."""

    def __init__(self, task: Task) -> None:
        self._tree = task.tree
        self._node = 0
        self._score = 0.0

    def grow(self, say: Say, fate: Fate | None = None) -> None:
        """Add a token."""
        self._score += log(say.processed_prob)
        self._node = self._tree.grow(self._node, say.token, log(say.prob), self._score, fate)

    def reject(self, draft: Draft, prob: float) -> None:
        """Add a guess in whose place another token is chosen, and its probability by the model."""
        score = self._score + log(draft.verified_prob)
        self._tree.grow(self._node, draft.token, log(prob), score, "rejected")

    def end(self, fate: Fate) -> None:
        """Say why nothing follows."""
        self._tree.end(self._node, fate)
