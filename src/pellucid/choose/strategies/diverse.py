"""Diverse beam search: groups of beams, each pushed away from what the earlier ones choose.

Vijayakumar et al. 2016, "Diverse Beam Search", arXiv:1610.02424; as transformers 4.55.4 does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.diversity import Earlier, diversity_penalty
from pellucid.choose.strategies.group import Beam, Group, Search, search_groups
from pellucid.choose.strategies.steps import Steps
from pellucid.choose.task import Scored, Task


def diverse_beam_search(task: Task) -> Steps:
    """`num_beam_groups` groups that share the beams; the best of all groups are said."""
    search = Search(task)
    count = task.parameters.num_beam_groups or 1
    groups: list[_Group] = []
    for _ in range(count):
        groups.append(_Group(search, search.width // count, tuple(groups)))
    return search_groups(search, groups)


class _Group(Group):
    """A group that knows those before it, and what it chose itself in this step."""

    def __init__(self, search: Search, width: int, before: Sequence[_Group]) -> None:
        super().__init__(search, width)
        self.before = before
        self.chosen: list[int] = []

    def advance(self, answers: Mapping[Branch, Scored]) -> None:
        # A group that is over goes on saying the first stop token: that is transformers' padding,
        # which its penalty counts too.
        self.chosen = [int(token) for token in self.search.task.stop_ids[:1]] * self.width
        earlier = [token for group in self.before for token in group.chosen]
        for beam in self.beams:
            follower = beam.branch.followers[diversity_penalty.__name__]
            assert isinstance(follower, Earlier)
            follower.tokens = earlier
        super().advance(answers)

    def select(
        self, others: list[Beam], left: Mapping[Beam, Candidates]
    ) -> tuple[list[Beam], list[Beam]]:
        running, pruned = super().select(others, left)
        self.chosen = [child.token for child in running]
        return running, pruned
