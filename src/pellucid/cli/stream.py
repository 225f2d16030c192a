"""Text as it comes, written so that a stranger's text cannot steer the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click


def write_stream(pieces: Iterable[str], before: str = "") -> None:
    """Write pieces as they come, and a line end after the last.

    In a terminal the prompt stands `before` them, dimmed, and control characters are shown; a
    pipe gets the pieces alone, as they are.
    """
    terminal = sys.stdout.isatty()
    if terminal:
        from pellucid.look.visible import harmless

        click.echo(click.style(harmless(before), dim=True), nl=False)
    try:
        for piece in pieces:
            click.echo(harmless(piece) if terminal else piece, nl=False)
            sys.stdout.flush()
    finally:
        click.echo()
