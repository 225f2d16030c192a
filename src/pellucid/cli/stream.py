"""Text as it comes, written so that a stranger's text cannot steer the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pellucid.look.generation import GenerationView
    from pellucid.look.streams import Stream

_NOTICED_AFTER = 0.8  # seconds; the default model is read in less


def write_stream(pieces: Iterable[str], before: str = "") -> None:
    """Write pieces as they come, and a line end after the last.

    In a terminal the prompt stands `before` them, dimmed, and control characters are shown; a
    pipe gets the pieces alone, as they are.
    """
    terminal = sys.stdout.isatty()
    if terminal:
        from pellucid.look.visible import harmless

        click.echo(styled(harmless(before), dim=True), nl=False)
    begun = terminal
    try:
        for piece in pieces:
            begun = True
            # color: or click would take away what looks like an escape, as a model may write it
            click.echo(harmless(piece) if terminal else piece, nl=False, color=True)
            sys.stdout.flush()
    except BaseException:
        if begun:  # what is said of the failure has a line of its own
            click.echo()
        raise
    click.echo()


def write_answers(stream: Stream, count: int | None, before: str = "") -> None:
    """Write an answer as it comes; of `count` answers that were asked for, the others below it."""
    if count is None or count == 1:
        write_stream(stream, before)
        return
    remark("answer 1")
    write_stream(stream, before)
    for number, other in enumerate(stream.finish().alternatives, 2):
        click.echo()
        remark(f"answer {number}")
        write_stream([other.text], before)


def styled(text: str, **style: bool) -> str:
    """The text dim or bold, unless the terminal is one that would show the escapes."""
    return text if os.environ.get("TERM") in ("dumb", "unknown") else click.style(text, **style)


def remark(text: str) -> None:
    """A quiet line on standard error, beside the answer."""
    click.echo(styled(text, dim=True), err=True)


def explain_cut(answer: GenerationView) -> None:
    """Say why an answer ends in the middle of a sentence."""
    if answer.finish_reason == "length":
        remark(f"cut after {len(answer.ids)} tokens: --max-new-tokens or the context ends here")


@contextmanager
def noticed(text: str) -> Iterator[Callable[[int, int], None] | None]:
    """Say on a terminal what keeps a person waiting, once it does; wiped away when it is done.

    What it gives, if there is a person, may be told how much of how much is done.
    """
    if not sys.stderr.isatty():
        yield None
        return
    import threading

    said, shown = threading.Event(), text

    def say() -> None:
        click.echo(text, nl=False, err=True)
        said.set()

    def tell(done: int, total: int) -> None:
        nonlocal shown
        if said.is_set():
            shown = f"{text} {done:,} of {total:,}"
            click.echo("\r" + shown, nl=False, err=True)

    timer = threading.Timer(_NOTICED_AFTER, say)
    timer.daemon = True
    timer.start()
    try:
        yield tell
    finally:
        timer.cancel()
        timer.join()
        if said.is_set():
            click.echo("\r" + " " * len(shown) + "\r", nl=False, err=True)
