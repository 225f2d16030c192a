"""`pellucid demo`: one text all the way."""

from __future__ import annotations

from typing import Any

import click

from pellucid.cli.options import load, print_json, running, show


@click.command()
@click.argument("text", default="The man walked the cat")
@running
def demo(text: str, as_json: bool, **options: Any) -> None:
    """Take TEXT all the way: its tokens, a table of the likely next tokens, and a continuation."""
    from pellucid.cli.stream import write_stream

    lm = load(options)
    if as_json:
        answer = lm.generate(text, max_new_tokens=24)
        print_json(
            lm.tokens(text).to_dict()
            | lm.next(text, top=5).to_dict()
            | {"generate": answer.to_dict()}
        )
        return
    click.secho("1. The text is cut into tokens.", bold=True)
    show(lm.tokens(text, merges=False), False)
    click.secho(
        "\n2. The model gives every token in its vocabulary a probability of being next.", bold=True
    )
    show(lm.next(text, top=5), False)
    click.secho("\n3. One is chosen, and the round begins again.", bold=True)
    write_stream(lm.stream(text, max_new_tokens=24), before=text)
    click.echo('\nGo on: pellucid chat, pellucid generate --help, pellucid tokens "your own text"')
