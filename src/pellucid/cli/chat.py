"""`pellucid chat`: a conversation, streamed."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from pellucid.cli.lines import piped, typed
from pellucid.cli.options import load, print_json, ready, running, system_option, text_given
from pellucid.cli.sampling import Grouped, generation, sampling
from pellucid.cli.stream import explain_cut, remark, write_answers
from pellucid.errors import ParameterError, PellucidError

if TYPE_CHECKING:
    from pellucid.look.conversation import Conversation
    from pellucid.look.generation import GenerationView

_HELP = """/clear  begin again
/undo   forget the last question and its answer
/exit   leave; so does Ctrl-D
Ctrl-C  stops an answer"""


@click.command(cls=Grouped)
@click.argument("message", required=False, callback=text_given)
@system_option
@sampling
@running
def chat(message: str | None, system: str | None, as_json: bool, **options: Any) -> None:
    """Talk with a model, in its own chat template.

    With MESSAGE, answer it and end; a MESSAGE of - is read from standard input. Without one, go on
    until Ctrl-D; lines from a pipe are turns of one conversation.
    """
    given = generation(options)
    lm = load(options)
    lm.chat_ids([{"role": "user", "content": message or ""}])  # no template? then say so at once
    conversation = ready(lm).conversation(system)
    if message is not None:
        _answer(conversation, message, as_json, given)
    elif sys.stdin.isatty():
        _talk(conversation, as_json, given)
    else:
        for line in filter(str.strip, piped()):
            _answer(conversation, line, as_json, given)


def _answer(
    conversation: Conversation, text: str, as_json: bool, given: dict[str, Any]
) -> GenerationView:
    """Answer, or stop at Ctrl-C: what was seen until then joins the conversation."""
    with closing(conversation.say(text, **given)) as stream:
        if as_json:
            print_json(stream.finish().to_dict())
        else:
            write_answers(stream, given["num_return_sequences"])
        return stream.finish()


def _talk(conversation: Conversation, as_json: bool, given: dict[str, Any]) -> None:
    """Answer a person at a terminal until the person leaves."""
    remark(f"{conversation.lm.name}. /help for commands, Ctrl-D to leave.")
    for text in filter(str.strip, typed()):
        if text.startswith("/"):
            if not _command(text.split()[0], conversation):
                return
            continue
        try:
            explain_cut(_answer(conversation, text, as_json, given))
        except KeyboardInterrupt:
            remark("stopped")
        except PellucidError as error:
            full = isinstance(error, ParameterError) and error.parameter == "prompt"
            hint = "; /clear begins again" if full else ""
            click.echo(f"pellucid: {error}{hint}", err=True)


def _command(name: str, conversation: Conversation) -> bool:
    """Do what a line such as /clear says; whether to go on."""
    match name:
        case "/exit" | "/quit" | "/bye":
            return False
        case "/clear":
            conversation.clear()
            remark("begun again")
        case "/undo":
            conversation.undo()
            remark(f"{len(conversation.messages)} messages left")
        case "/help":
            remark(_HELP)
        case unknown:
            remark(f"no such command: {unknown}; /help lists them")
    return True
