"""Several answers at once: how many are followed, and how many are returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Integer

MOST_SEQUENCES = 128  # followed at once; each holds keys and values of its own


@dataclass(frozen=True, repr=False)
class Search:
    """The rows about search."""

    heading: ClassVar[str] = "Search"

    num_return_sequences: int | None = row(
        Integer(1, MOST_SEQUENCES),
        "return this many answers: the first as without it, the others as alternatives",
        neutral=1,
    )
