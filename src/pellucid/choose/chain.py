"""The filters that some parameters switch on, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.filters import FILTERS, ORDER, Context
from pellucid.choose.parameters import GenerationParameters
from pellucid.errors import ParameterError

if TYPE_CHECKING:
    from pellucid.choose.task import Task


class Chain:
    """The filters in order, each with the values of its parameters."""

    def __init__(self, parameters: GenerationParameters) -> None:
        rows = [FILTERS[name] for name in ORDER]
        self.filters = [row for row in rows if parameters.acts(row.parameters[0])]
        self._values = {
            row.name: [getattr(parameters, name) for name in row.parameters] for row in self.filters
        }

    def follow(self, branch: Branch, task: Task) -> None:
        """Give a branch what the filters have to remember of it."""
        for row in self.filters:
            if row.state:
                branch.followers[row.name] = row.state(task, *self._values[row.name])

    def __call__(
        self, candidates: Candidates, context: Context, branch: Branch | None = None
    ) -> list[tuple[str, Candidates]]:
        """What each filter leaves, by its name. Those that remember need the branch.

        Raises ParameterError at the first filter that leaves nothing.
        """
        steps = []
        for row in self.filters:
            state = [branch.followers[row.name]] if branch and row.state else []
            candidates = row.apply(candidates, context, *state, *self._values[row.name])
            if candidates.empty:
                raise ParameterError(row.name, "leaves no token to choose from; loosen it")
            steps.append((row.name, candidates))
        return steps
