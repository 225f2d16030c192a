"""The lines of a session: those that a person types, or that come through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress

import click

from pellucid.cli.options import LARGEST_INPUT_BYTES, decoded


def typed() -> Iterator[str]:
    """The lines that a person types, until Ctrl-D."""
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  (gives input() history and editing)
    while True:
        try:
            line = _line()
        except EOFError:
            click.echo(err=True)
            return
        yield line


def _line() -> str:
    if sys.stdout.isatty():
        return input("> ")
    click.echo("> ", nl=False, err=True)  # input() would write it among the answers
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def piped() -> Iterator[str]:
    """The lines that come through a pipe."""
    while data := sys.stdin.buffer.readline(LARGEST_INPUT_BYTES + 1):
        yield decoded(data).rstrip("\r\n")
