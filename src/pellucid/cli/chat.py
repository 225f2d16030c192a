"""`pellucid chat`: a conversation, streamed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pellucid.cli.options import load, print_json, read_text, running, sampling
from pellucid.cli.stream import write_stream
from pellucid.errors import PellucidError

if TYPE_CHECKING:
    from pellucid.lm import LM, Conversation

_HELP = """/clear  begin again
/undo   forget the last turn
/exit   leave; so does Ctrl-D
Ctrl-C  stops an answer"""


@click.command()
@click.argument("message", required=False)
@click.option("--system", metavar="TEXT", help="What the model is told before the conversation.")
@sampling
@running
def chat(message: str | None, system: str | None, as_json: bool, **options: Any) -> None:
    """Talk with a model, in its own chat template.

    With MESSAGE, answer it and end; a MESSAGE of - is read from standard input. Without one, go on
    until Ctrl-D; lines from a pipe are turns of one conversation.
    """
    lm = load(options)
    turns = iter([read_text(message) or ""]) if message is not None else _typed(lm, as_json)
    conversation = lm.conversation(system)
    for text in turns:
        if text.startswith("/") and message is None:
            if not _command(text, conversation):
                return
            continue
        try:
            _answer(conversation, text, as_json, options)
        except PellucidError as error:
            if message is not None or not sys.stdin.isatty():
                raise
            click.echo(f"pellucid: {error}", err=True)


def _answer(conversation: Conversation, text: str, as_json: bool, given: dict[str, Any]) -> None:
    events = conversation.say(text, **given)
    if as_json:
        *_, last = events
        assert last.generation
        print_json(last.generation.to_dict())
        return
    try:
        write_stream(event.text for event in events)
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
    finally:
        events.close()  # what was seen of a stopped answer joins the conversation


def _typed(lm: LM, as_json: bool) -> Iterator[str]:
    """The lines that a person types, or that come through a pipe."""
    lm.chat_ids([{"role": "user", "content": ""}])  # no template? then say so before anything else
    terminal = sys.stdin.isatty()
    if terminal:
        _ready(lm)
    while True:
        try:
            line = input("> ") if terminal else sys.stdin.readline()
        except EOFError:
            click.echo()
            return
        if not terminal and not line:
            return
        if line.strip():
            yield line.rstrip("\r\n")


def _ready(lm: LM) -> None:
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  (gives input() history and editing)
    _ = lm.model  # read the weights before the first question, not after
    click.secho(
        f"{lm.checkpoint.path.stem}. /help for commands, Ctrl-D to leave.", dim=True, err=True
    )


def _command(text: str, conversation: Conversation) -> bool:
    """Do what a line such as /clear says; whether to go on."""
    match text.split(maxsplit=1)[0]:
        case "/exit" | "/quit" | "/bye":
            return False
        case "/clear":
            conversation.clear()
        case "/undo":
            conversation.undo()
        case "/help":
            click.echo(_HELP, err=True)
        case unknown:
            click.echo(f"pellucid: no such command: {unknown}; /help lists them", err=True)
    return True
