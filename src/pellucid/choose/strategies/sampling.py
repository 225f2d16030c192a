"""One token after the other: the likeliest, or a draw; one answer, or several side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pellucid.choose.branch import Branch
from pellucid.choose.strategies.lines import together
from pellucid.choose.strategies.picker import Picker
from pellucid.choose.strategies.steps import Score, Steps
from pellucid.choose.task import Scored, Task


def sample(task: Task) -> Steps:
    """Grow the root; with `num_return_sequences`, forks of it beside each other.

    The first is what it would be alone. What the parameters make greedy is the same in all.
    """
    return side_by_side(task, task.parameters.num_return_sequences or 1)


def side_by_side(
    task: Task,
    count: int,
    picking: type[Picker] = Picker,
    ask: Callable[[Sequence[Branch]], Score] = Score,
) -> Steps:
    """So many lines of one prompt, each with draws of its own."""
    (scored,) = yield ask([task.root])
    branches = [task.root, *(task.root.fork() for _ in range(count - 1))]
    lines = [_grow(branch, picking(task, i), scored, ask) for i, branch in enumerate(branches)]
    yield from lines[0] if count == 1 else together(lines, ask)


def _grow(
    branch: Branch, picker: Picker, scored: Scored, ask: Callable[[Sequence[Branch]], Score]
) -> Steps:
    """One line, token by token."""
    while True:
        say = picker.pick(branch, scored)
        branch.append(say.token)
        if (yield say):
            return
        (scored,) = yield ask([branch])
