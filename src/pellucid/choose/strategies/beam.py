"""Beam search: many sequences grow side by side, and the likeliest as a whole are said."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.choose.strategies.group import Beam, Group, Search, search_groups
from pellucid.choose.strategies.steps import Steps
from pellucid.choose.task import Task


def beam_search(task: Task) -> Steps:
    """Beam search, or with sampling beam sampling; nothing is shown before the search is over.

    As transformers' `_beam_search` (5.23): its candidates, its scores, its ends.
    """
    search = Search(task)
    return search_groups(search, [_Beams(search, search.width)])


class _Beams(Group):
    """The newer rules: length ends a sequence like any stop; hope is what grows, not what ended."""

    def stops(self, child: Beam) -> bool:
        return self.full or super().stops(child)

    def hope(self, children: Sequence[Beam]) -> float:
        return self.beams[0].total
