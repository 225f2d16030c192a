"""`pellucid explain` and `tree`: why an answer's tokens were chosen, and what else was there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pellucid.cli.options import load, ready, running, show, text_argument, written
from pellucid.cli.sampling import Grouped, generation, sampling, unless_given
from pellucid.cli.stream import remark
from pellucid.engine.prompt import Said
from pellucid.look.view import View

Command = TypeVar("Command", bound=Callable[..., Any])

_TOKENS = 16  # of an answer that nobody gave a length

html_option = click.option(
    "--html", "page", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write an interactive page there.",
)  # fmt: skip


@unless_given("16 when no length is given")
@click.command(cls=Grouped)
@text_argument
@sampling
@click.option("--token", type=int, metavar="N", help="Only this token of the answer, from 0.")
@click.option("--top", default=5, show_default=True, metavar="N", help="Candidates of each token.")
@html_option
@running
def explain(
    text: Said, token: int | None, top: int, page: Path | None, as_json: bool, **options: Any
) -> None:
    """Continue TEXT, and show of each token why it was chosen.

    A sentence says what the model gave it, what the filters did, and where the draw fell; a table
    has the leading candidates after the model and after each filter. An answer has 16 tokens unless
    a length is given. A TEXT of - is read from standard input.
    """
    given = _bounded(generation(options))
    view = ready(load(options)).explain(text, top=top, token=token, **given)
    show_or_write(view, as_json, page)


@unless_given("16 when no length is given")
@click.command(cls=Grouped)
@text_argument
@sampling
@click.option("--depth", type=int, metavar="N", help="Tokens drawn of each way; 16 unless given.")
@click.option(
    "--width", type=int, metavar="N", help="Branches drawn of each token; 5 unless given."
)
@html_option
@running
def tree(
    text: Said, depth: int | None, width: int | None, page: Path | None, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Continue TEXT, and draw what was considered: a search's branches, and what became of them.

    Without a search, the candidates beside each chosen token. An answer has 16 tokens unless a
    length is given. A TEXT of - is read from standard input.
    """
    bounds: dict[str, Any] = {"depth": depth, "width": width}
    drawing = {name: bound for name, bound in bounds.items() if bound is not None}
    if as_json and drawing and not page:
        raise click.UsageError(f"--{next(iter(drawing))} has no effect with --json, which has all")
    given = _bounded(generation(options))
    view = ready(load(options)).tree(text, **drawing, **given)
    show_or_write(view, as_json, page)


def _bounded(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters, with a length."""
    if given["max_new_tokens"] is None and given["max_length"] is None:
        given["max_new_tokens"] = _TOKENS
    return given


def show_or_write(view: View, as_json: bool, page: Path | None) -> None:
    """Print a view, or write its interactive page; both with --json."""
    if page:
        with written(page):
            view.save_html(page)
        remark(f"written to {page}")
    if as_json or not page:
        show(view, as_json)
