"""`pellucid tokens`, `next` and `score`: what a text is to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pellucid.cli.explain import html_option, show_or_write
from pellucid.cli.options import (
    json_option,
    load,
    model_option,
    ready,
    running,
    show,
    text_argument,
)

if TYPE_CHECKING:
    from pellucid.engine.prompt import Said


@click.command()
@text_argument
@model_option
@click.option(
    "--special", is_flag=True, help="Read special-token text, such as <|im_end|>, as the token."
)
@click.option(
    "--merges/--no-merges",
    default=None,
    help="Show how each word was merged; the default for a short text.",
)
@html_option
@json_option
def tokens(
    text: Said,
    model: str,
    special: bool,
    merges: bool | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Show how TEXT is cut into tokens: pieces, ids, bytes, offsets, and the merges of each word.

    A TEXT of - is read from standard input.
    """
    from pellucid.lm import load

    if special and not isinstance(text, str):
        raise click.UsageError("--special has no effect with --chat: the template says what is one")
    view = load(model).tokens(text, parse_special=special, merges=merges)
    show_or_write(view, as_json, page)


@click.command("next")
@text_argument
@click.option("--top", default=10, show_default=True, metavar="N", help="How many tokens to list.")
@running
def next_(text: Said, top: int, as_json: bool, **options: Any) -> None:
    """Show the likeliest next tokens after TEXT, with their probabilities.

    A TEXT of - is read from standard input.
    """
    show(ready(load(options)).next(text, top=top), as_json)


@click.command()
@text_argument
@running
def score(text: Said, as_json: bool, **options: Any) -> None:
    """Show how likely TEXT is: the log-probability of each token and of the whole, the perplexity.

    A TEXT of - is read from standard input.
    """
    show(ready(load(options)).score(text), as_json)
