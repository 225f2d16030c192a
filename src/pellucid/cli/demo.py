"""`pellucid demo`: one text all the way."""

from __future__ import annotations

import sys
from itertools import chain
from typing import Any

import click

from pellucid.cli.options import load, print_json, ready, running, show, text_given
from pellucid.cli.stream import styled, write_stream

_TOP, _NEW_TOKENS = 5, 24


@click.command()
@click.argument("text", default="The man walked the cat", callback=text_given)
@running
def demo(text: str, as_json: bool, **options: Any) -> None:
    """Take TEXT all the way: its tokens, a table of the likely next tokens, and a continuation."""
    lm = ready(load(options))
    if as_json:
        answer = lm.generate(text, max_new_tokens=_NEW_TOKENS)
        print_json(
            lm.tokens(text).to_dict()
            | lm.next(text, top=_TOP).to_dict()
            | {"generate": answer.to_dict()}
        )
        return
    _say("1. The text is cut into tokens.")
    show(lm.tokens(text, merges=False), False)
    _say("\n2. The model gives every token in its vocabulary a probability of being next.")
    show(lm.next(text, top=_TOP), False)
    _say("\n3. One is chosen, and the round begins again.")
    pieces = lm.stream(text, max_new_tokens=_NEW_TOKENS)
    if sys.stdout.isatty():
        write_stream(pieces, before=text)
    else:
        write_stream(chain([text], pieces))
    click.echo('\nGo on: pellucid chat, pellucid generate --help, pellucid tokens "your own text"')


def _say(line: str) -> None:
    click.echo(styled(line, bold=True))
