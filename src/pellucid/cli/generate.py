"""`pellucid generate`: a text continued."""

from __future__ import annotations

from typing import Any

import click

from pellucid.cli.options import load, print_json, running, sampling, text_argument


@click.command()
@text_argument
@sampling
@running
def generate(text: str, as_json: bool, **options: Any) -> None:
    """Continue TEXT, piece by piece as the model answers.

    Giving --temperature, --top-k, --top-p or the like means sampling; giving none of them takes
    the likeliest token each time. A TEXT of - is read from standard input.
    """
    from pellucid.cli.stream import write_stream

    lm = load(options)
    if as_json:
        print_json(lm.generate(text, **options).to_dict())
    else:
        write_stream(lm.stream(text, **options), before=text)
