"""Best of n: several answers are drawn, and the likeliest of them are said."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pellucid.choose.strategies.lines import Path
from pellucid.choose.strategies.sampling import side_by_side
from pellucid.choose.strategies.steps import Begin, Say, Score, Steps
from pellucid.choose.task import Task
from pellucid.choose.tree import log


def best_of_n(task: Task) -> Steps:
    """Draw `best_of` answers as `num_return_sequences` would, and keep them back.

    They are ranked by the mean log-probability of their tokens, the stop token included, in the
    model's own distribution; of equals the first drawn is the first.
    """
    lines = yield from _drawn(task, task.parameters.best_of or 1)
    scores = [_mean_logprob(line) for line in lines]
    ranked = sorted(range(len(lines)), key=lambda place: -scores[place])
    said = ranked[: task.parameters.num_return_sequences or 1]
    for place, line in enumerate(lines):
        _record(task, line, said=place in said)
    for number, place in enumerate(said):
        yield Begin(number, scores[place])
        for say in lines[place]:
            yield say._replace(line=number)


def _drawn(task: Task, count: int) -> Generator[Score, Any, list[list[Say]]]:
    """What `count` lines would say, said to nobody."""
    lines: list[list[Say]] = [[] for _ in range(count)]
    endings = [task.ending() for _ in lines]
    steps = side_by_side(task, count)
    sent: Any = None
    while True:
        try:
            step = steps.send(sent)
        except StopIteration:
            return lines
        if isinstance(step, Score):
            sent = yield step
        elif isinstance(step, Say):
            lines[step.line].append(step)
            sent = endings[step.line].push(step.token) is not None


def _mean_logprob(line: list[Say]) -> float:
    return sum(log(say.prob) for say in line) / len(line)


def _record(task: Task, line: list[Say], said: bool) -> None:
    """A way of its own in the tree."""
    path = Path(task)
    for say in line:
        path.grow(say, "said" if said else None)
    if not said:
        path.end("finished")
