"""Facts and rows as plain text, which can be copied, searched and cut into columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click


def pairs(facts: dict[str, Any], indent: str = "") -> None:
    """Names and values, one a line; what has parts is indented below its name."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{indent}{name}")
            pairs(value, indent + "  ")
        else:
            click.echo(f"{indent}{name:<{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(map(str, value))
        case _:
            return _printable(str(value))


def _printable(text: str) -> str:
    """Text from a stranger's file, without the escapes that would steer the terminal."""
    return text if text.isprintable() else ascii(text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns; nothing is cut, so that a path can be copied."""
    lines = [header, *([_printable(cell) for cell in row] for row in rows)]
    if len(lines) == 1:
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
