"""The parts of a model that write to a logit, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pellucid.look import html, terminal

if TYPE_CHECKING:
    from rich.bar import Bar

_MORE, _LESS = "#d55e00", "#2f86e0"  # as figures have it


@dataclass(frozen=True)
class Writer:
    """Who adds so much to a logit: a `kind`, and where there are several its `layer` and `head`.

    `logit` and `prob` are what becomes of the target without it, where that was tested.
    """

    kind: str
    added: float
    layer: int | None = None
    head: int | None = None
    logit: float | None = None
    prob: float | None = None

    @property
    def name(self) -> str:
        """As `lm.edit` names it, where it can be edited.

        >>> Writer("head", 1.5, 3, 2).name, Writer("mlp", 1.5, 3).name, Writer("embedding", 0).name
        ('layers.3.heads.2', 'layers.3.mlp', 'embedding')
        """
        if self.layer is None:
            return self.kind
        return f"layers.{self.layer}.{self.kind if self.head is None else f'heads.{self.head}'}"

    @property
    def place(self) -> tuple[str, str]:
        """Its layer and what it is there, as tables have it.

        >>> Writer("head", 1.5, 3, 2).place, Writer("embedding", 0).place
        (('3', 'head 2'), ('', 'embedding'))
        """
        part = self.kind if self.head is None else f"{self.kind} {self.head}"
        return "" if self.layer is None else str(self.layer), part


def largest(values: npt.NDArray[np.float32], count: int) -> list[tuple[int, ...]]:
    """The places of the numbers that are farthest from zero, the farthest first.

    >>> largest(np.array([[1, -3], [2, 0]], np.float32), 2)
    [(0, 1), (1, 0)]
    """
    order = np.argsort(-np.abs(values), axis=None, kind="stable")[:count]
    return [tuple(map(int, place)) for place in np.stack(np.unravel_index(order, values.shape), 1)]


def signed_bar(share: float) -> Bar:
    """A bar for -1 to 1: orange adds, blue takes."""
    return terminal.bar(abs(share), _MORE if share > 0 else _LESS)


def html_bar(share: float) -> html.Html:
    """The same in HTML."""
    return html.bar(abs(share), "heat" if share > 0 else "")
