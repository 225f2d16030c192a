"""The filters that some parameters switch on, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.filters import FILTERS, Context
from pellucid.choose.parameters import GenerationParameters
from pellucid.errors import ParameterError

if TYPE_CHECKING:
    from pellucid.choose.setting import Setting


class NothingLeftError(ParameterError):
    """A filter leaves no token to choose from."""


class Chain:
    """The filters in order, each with the values of its parameters.

    Raises ParameterError where the order leaves out one of them.
    """

    def __init__(self, parameters: GenerationParameters) -> None:
        switches = {row.name: row.switch(parameters) for row in FILTERS.values()}
        self._switches = {name: switch for name, switch in switches.items() if switch}
        order = parameters.order
        for name, switch in self._switches.items():
            if name not in order:
                asked = "is asked for" if name == switch else f"{switch} asks for"
                raise ParameterError("samplers", f"leaves out {name}, which {asked}")
        self.filters = [FILTERS[name] for name in order if name in self._switches]
        self._values = {row.name: row.values(parameters) for row in self.filters}

    def follow(self, branch: Branch, setting: Setting) -> None:
        """Give a branch what the filters have to remember of it, and what they compare it with.

        Raises ParameterError for what no answer can meet: a grammar is compiled here.
        """
        for row in self.filters:
            if row.state:
                branch.followers[row.name] = row.state(setting, *self._values[row.name])
        self.compare(branch, setting)

    def compare(self, branch: Branch, setting: Setting) -> None:
        """Give a branch the second stream that guidance compares it with."""
        for row in self.filters:
            if row.beside:
                branch.beside = row.beside(setting, *self._values[row.name])

    def __call__(
        self, candidates: Candidates, context: Context, branch: Branch | None = None
    ) -> list[tuple[str, Candidates]]:
        """What each filter leaves, by its name. Those that remember need the branch.

        Raises NothingLeftError at the first filter that leaves nothing.
        """
        steps = []
        for row, (name, values) in zip(self.filters, self._values.items(), strict=True):
            state = [branch.followers[name]] if branch and row.state else []
            candidates = row.apply(candidates, context, *state, *values)
            if candidates.empty:
                given = self._switches[name]  # what a person gave, a filter's own name is not
                raise NothingLeftError(given, "leaves no token to choose from; loosen it")
            steps.append((name, candidates))
        return steps
