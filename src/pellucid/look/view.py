# ruff: noqa: PLC0415  (rich takes 50 ms to load, and most results are never printed)
"""The base of what a person sees: a pure function of a result, shown in three ways."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pellucid.look.figure import Figure


class View(ABC):
    """A result that shows itself: as JSON, in a terminal, in a notebook, as a page.

    All say the same, since each is made from the fields of the view alone. A subclass gives
    `to_dict`, `terminal` and `html`, and `figure` where there is something to play with; printing,
    rich, notebooks and pages follow from these.
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

    def figure(self) -> Figure | None:
        """The interactive drawing of a notebook; None where the view has none."""
        return None

    def figures(self) -> Sequence[Figure]:
        """The drawings of a page, one below the other."""
        figure = self.figure()
        return () if figure is None else (figure,)

    def page(self, title: str | None = None) -> str:
        """An HTML file that works offline: the figures, or `html` where there are none."""
        from pellucid.look.html import document
        from pellucid.look.page import page

        figures = self.figures()
        if not figures:
            return document(title or "Pellucid", self.html())
        return page(title or "Pellucid", figures)

    def save_html(self, path: str | PathLike[str]) -> None:
        """Write `page` to a file. Raises OSError."""
        Path(path).write_text(self.page(), "utf-8")

    def __str__(self) -> str:
        return plain(self.terminal())

    def __repr__(self) -> str:
        return str(self)

    def __rich__(self) -> RenderableType:
        return self.terminal()

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """What a notebook picks from: static HTML always, and a widget where there can be one."""
        from pellucid.look import widget

        figure = self.figure()
        live: dict[str, Any] = {}
        if figure is not None and widget.installed():
            live = widget.bundle(figure)
        return {**live, "text/plain": str(self), "text/html": self.html()}


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
