"""Choosing the next token of a branch: filters, then the likeliest or a draw, and an account."""

from __future__ import annotations

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.draw import Draws, draw
from pellucid.choose.filters import Context
from pellucid.choose.ledger import account
from pellucid.choose.strategies.steps import Say
from pellucid.choose.task import Scored, Task


class Picker:
    """Chooses for one line of an answer: its draws are a stream of their own."""

    def __init__(self, task: Task, line: int = 0) -> None:
        self.task = task
        self.line = line
        sampling = task.parameters.sampling
        self.draws = Draws(task.parameters.seed, line) if sampling else None

    def steps(self, branch: Branch, scored: Scored, row: int = -1) -> list[tuple[str, Candidates]]:
        """The model's own candidates after a branch, then what each filter leaves of them."""
        own = scored.own[row]
        steps = [("model", own), *self.contrasted(own, scored)]
        task = self.task
        if not task.chain.filters:
            return steps
        beside = None if scored.beside is None else scored.beside[row]
        context = Context(
            branch.array, task.prompt_length, task.stop_ids, beside, self.draws, own.size
        )
        return [*steps, *task.chain(steps[-1][1], context, branch)]

    def contrasted(self, own: Candidates, scored: Scored) -> list[tuple[str, Candidates]]:
        """What a strategy makes of the model's own candidates before any filter."""
        return []

    def pick(self, branch: Branch, scored: Scored, row: int = -1) -> Say:
        """The next token of a branch, by a row of what the model says of it."""
        return self.choose(self.steps(branch, scored, row))

    def choose(self, steps: list[tuple[str, Candidates]]) -> Say:
        """The likeliest of what these steps leave, or a draw from it."""
        last = steps[-1][1]
        uniform = self.draws.uniform() if self.draws else None
        token = draw(last, uniform) if uniform is not None else last.likeliest
        return self.account(steps, token, uniform)

    def account(
        self, steps: list[tuple[str, Candidates]], token: int, uniform: float | None = None
    ) -> Say:
        """A token as it was chosen after these steps."""
        own, last = steps[0][1], steps[-1][1]
        size = self.task.parameters.ledger
        ledger = account(steps, token, uniform, size) if size else None
        prob = own.prob(token)
        processed = prob if last is own else last.prob(token)
        return Say(token, prob, own.rank(token), processed, ledger, self.line)
