# ruff: noqa: PLC0415  (rich takes 50 ms to load, and most results are never printed)
"""The little that views need of rich, which is imported when something is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from unicodedata import bidirectional

from pellucid.look.numbers import clamped
from pellucid.look.visible import LINE_END, glyphs, harmless

if TYPE_CHECKING:
    from rich.bar import Bar
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

QUIET = "dim"
# Without it, a terminal that knows right-to-left scripts puts the numbers that follow a Hebrew
# token before it.
_LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"
_BAR_CELLS = 24
_LEAST_CELLS = 8  # a column of text does not get narrower

# Both colours are given, so that text is legible whatever the terminal's own background is.
TINTS = tuple(
    f"#101010 on {tint}"
    for tint in ("#a8d1f7", "#fbd58c", "#a4e3bd", "#f7b6cc", "#cdbdf5", "#dede96")
)
# From what was expected to what was not.
HEAT = ("", *(f"#101010 on {tint}" for tint in ("#fdf0c8", "#fdd49e", "#fdae6b", "#f88d55")))
SPECIAL = "#101010 on #c4c4c4"


def piece(text: str | bytes, style: str = "", *, lines: bool = False) -> Text:
    """A token's text; what stands in for something without a shape is set apart. With `lines`,
    its line ends also end the line.
    """
    from rich.text import Text

    shown = Text(style=style, overflow="fold")
    for glyph in glyphs(text):
        shown.append(glyph.text, "italic" if glyph.stands_in and len(glyph.text) > 1 else "")
        if lines and glyph == LINE_END:
            shown.append("\n")
    if any(bidirectional(character) in ("R", "AL") for character in shown.plain):
        shown.append(_LEFT_TO_RIGHT)
    return shown


class Running:
    """Pieces one after the other, each in its style; bars part them where there are no colours.

    A line that is full ends between two pieces; only a piece longer than a line is cut.
    """

    def __init__(self, pieces: Iterable[tuple[str | bytes, str]]) -> None:
        self.pieces = tuple(pieces)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.cells import cell_len

        colored = console.color_system is not None and not console.no_color
        bar, width = "" if colored else "│", options.max_width
        line, used = words(), 0  # cells of the last line
        for text, style in self.pieces:
            shown = piece(text, style, lines=True)
            first, *more = shown.plain.split("\n")
            if used:
                line.append(bar if used < width else "")
                used += len(bar)
                if used + cell_len(first) + len(bar) > width:
                    line.append("\n")
                    used = 0
            line.append(shown)
            used = cell_len(more[-1]) if more else used + cell_len(first)
        line.rstrip()
        yield line


def spaced(pieces: Sequence[str | bytes], new: int = -1) -> Text:
    """Pieces with spaces between, and one of them in colour."""
    line = words()
    for i, text in enumerate(pieces):
        line.append(" " if i else "")
        line.append(piece(text, TINTS[0] if i == new else ""))
    return line


def words(*parts: str | tuple[str, str]) -> Text:
    """A line of plain text; a part may be given with a style. Names and settings in it may be a
    stranger's, so nothing in it is obeyed.
    """
    from rich.text import Text

    shown = (
        harmless(part) if isinstance(part, str) else (harmless(part[0]), part[1]) for part in parts
    )
    return Text.assemble(*shown, overflow="fold")


def table(headings: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """Columns under quiet headings; one that starts with `#` holds numbers."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=QUIET)
    for heading in headings:
        numeric = heading.startswith("#")
        made.add_column(
            heading.removeprefix("#"),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            min_width=None if numeric or not heading else _LEAST_CELLS,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*row)
    return made


def bar(share: float, color: str = "#2f86e0") -> Bar:
    """A bar of which 24 cells are the whole; eighths of a cell can be seen."""
    from rich.bar import Bar

    return Bar(size=1.0, begin=0.0, end=clamped(share), width=_BAR_CELLS, color=color)


def stack(*parts: RenderableType) -> RenderableType:
    """One below the other, with an empty line between."""
    from rich.console import Group

    spaced: list[RenderableType] = []
    for part in parts:
        spaced += ["", part] if spaced else [part]
    return Group(*spaced)
