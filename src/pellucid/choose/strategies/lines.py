"""Lines of an answer that grow beside each other, each as it would alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pellucid.choose.branch import Branch
from pellucid.choose.strategies.steps import Say, Score, Steps


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
