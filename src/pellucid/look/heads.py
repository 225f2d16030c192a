"""What an attention head does with a text, in a few numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pellucid.weights.tensor import Floats

_LINKS = 16  # of a head
_LAST = 5  # positions that the last token looks at


@dataclass(frozen=True)
class Link:
    """How much the token `row` takes of the one `at` that position: a share of its attention."""

    row: int
    at: int
    weight: float


@dataclass(frozen=True)
class Head:
    """A head: the shares that rows give, on average, to the first token, to the one before them,
    and to themselves; its strongest links to tokens that are neither the first nor themselves, and
    what the last token looks at.
    """

    layer: int
    head: int
    first: float
    previous: float
    itself: float
    strongest: tuple[Link, ...]
    last: tuple[Link, ...]

    @classmethod
    def of(cls, layer: int, head: int, pattern: Floats) -> Head:
        """Summarise a pattern `[rows, rows]`.

        >>> pattern = np.array([[1, 0, 0], [0.25, 0.75, 0], [0, 0.5, 0.5]], np.float32)
        >>> head = Head.of(0, 0, pattern)
        >>> head.previous, head.itself, head.strongest
        (0.25, 0.75, (Link(row=2, at=1, weight=0.5),))
        """
        rows = len(pattern)
        others = np.tril(pattern, -1)
        others[:, 0] = 0
        return cls(
            layer,
            head,
            first=float(pattern[:, 0].mean()),
            previous=float(np.trace(pattern, -1)) / rows,
            itself=float(np.trace(pattern)) / rows,
            strongest=_links(others, 0, _LINKS),
            last=_links(pattern[-1:], rows - 1, _LAST),
        )

    def to_dict(self) -> dict[str, Any]:
        """`layer, head, first, previous, itself`, and `strongest[]`, `last[] {row, at, weight}`."""
        return asdict(self)


def _links(part: Floats, first: int, most: int) -> tuple[Link, ...]:
    """The largest weights of rows of a pattern, from the row `first` on."""
    weights = part.ravel()
    few = np.argpartition(-weights, most)[:most] if len(weights) > most else np.arange(len(weights))
    order = few[np.lexsort((few, -weights[few]))]
    places = ((float(weights[n]), *divmod(int(n), part.shape[1])) for n in order if weights[n] > 0)
    return tuple(Link(first + row, at, weight) for weight, row, at in places)
