# ruff: noqa: PLC0415  (rich takes 50 ms to load, and most results are never printed)
"""The base of what a person sees: a pure function of a result, shown in three ways."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


class View(ABC):
    """A result that shows itself: as JSON, in a terminal, in a notebook.

    The three say the same, since each is made from the fields of the view alone. A subclass gives
    `to_dict`, `terminal` and `html`; printing, rich and notebooks follow from these.
    """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The whole result, of what JSON can carry. A number that is not finite becomes None."""

    @abstractmethod
    def terminal(self) -> RenderableType:
        """What rich prints; it chooses colours that the terminal has and wants."""

    @abstractmethod
    def html(self) -> str:
        """A fragment that needs nothing else, for light and dark pages alike."""

    def __str__(self) -> str:
        return plain(self.terminal())

    def __repr__(self) -> str:
        return str(self)

    def __rich__(self) -> RenderableType:
        return self.terminal()

    def _repr_html_(self) -> str:
        return self.html()


def plain(renderable: RenderableType, width: int | None = None) -> str:
    """What rich would print, as text without colours; `width` cells, or as wide as the terminal."""
    from rich.console import Console

    console = Console(
        file=StringIO(),
        width=width or shutil.get_terminal_size().columns,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,  # or rich would print into the notebook instead of the file
        legacy_windows=False,
    )
    with console.capture() as captured:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n"))
