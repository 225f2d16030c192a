"""`pellucid look`, `trace`, `replay`, and `show` of a trace: what happens inside a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from pellucid.cli.options import (
    json_option,
    load,
    print_json,
    ready,
    running,
    show,
    text_argument,
    written,
)
from pellucid.cli.sampling import generation, sampling, unless_given
from pellucid.cli.seeing import FILE, VIEWS, Seeing, asked, seeing, taken
from pellucid.cli.stream import noticed, remark
from pellucid.engine.prompt import Said
from pellucid.errors import ParameterError, PellucidError
from pellucid.lm import LM
from pellucid.look.looking import Look, open_trace
from pellucid.look.view import View
from pellucid.trace.origin import Origin
from pellucid.trace.trace import Trace
from pellucid.weights.progress import human


@unless_given("none when no parameter of generation is given")
@click.command(cls=Seeing)
@text_argument
@seeing
@sampling
@running
def look(
    text: Said, wanted: Sequence[str], page: Path | None, as_json: bool, **options: Any
) -> None:
    """Read TEXT, and show what happens inside the model.

    With a length, such as --max-new-tokens 20, the text is continued first, and the answer is read
    with it. A TEXT of - is read from standard input.
    """
    arguments = asked(wanted, options)
    if page:
        _check_folder(page)
    found = _looked(text, options)
    _show(found, wanted, arguments, page, as_json)


@unless_given("none when no parameter of generation is given")
@click.command(cls=Seeing)
@text_argument
@click.option("-o", "--output", type=FILE, metavar="FILE", required=True, help="Where to write.")
@click.option(
    "--watch",
    multiple=True,
    metavar="SITES",
    help="Keep these values, such as 'layers.*.resid'; may be given several times.",
)
@seeing
@sampling
@running
def trace(
    text: Said, output: Path, watch: Sequence[str], wanted: Sequence[str], page: Path | None,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Read TEXT, or continue it, and write what happened to a file.

    The file holds the tokens, the settings, the answer with its ledgers, and whatever --watch and
    --view ask for. `pellucid replay` makes it again and compares every number; `pellucid show`
    opens it. A TEXT of - is read from standard input.
    """
    arguments = asked(wanted, options)
    for file in filter(None, (output, page)):
        _check_folder(file)
    found = _looked(text, options, watch)
    for _ in _made(found, wanted, arguments):
        pass  # the trace holds what it needs now
    with written(output):
        found.save(output)
    _tell_written(output)
    if page:
        _write_page(found, wanted, arguments, page)
    if as_json:
        print_json(found.to_dict())


@click.command()
@click.argument("file", type=FILE)
@click.option("-m", "--model", metavar="REF", help="The model; the one it says unless given.")
@click.option("--threads", type=int, metavar="N", help="native: processors to use.")
@json_option
def replay(file: Path, model: str | None, threads: int | None, as_json: bool) -> None:
    """Make the run of a trace again, and compare every number, to the last bit.

    It is computed as the trace says: backend, kinds of numbers, context. Exits with 1 if anything
    is different.
    """
    found = open_trace(file)
    lm = ready(_model_of(found.trace.origin, model, threads))
    with noticed("replaying ..."):
        view = lm.replay(found)
    show(view, as_json)
    if not view.same:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("one", type=FILE)
@click.argument("other", type=FILE)
@click.option("--html", "page", type=FILE, metavar="FILE", help="Write an interactive page there.")
@json_option
def compare(one: Path, other: Path, page: Path | None, as_json: bool) -> None:
    """Compare the runs of two traces: other texts, other models, other settings or changes inside.

    Token by token: how far the two distributions are apart, what each would say next, and how far
    the residuals are.
    """
    first, second = (_opened(open_trace(file).trace) for file in (one, other))
    with noticed("comparing ..."):
        view = first.compare(second)
    if page:
        with written(page):
            view.save_html(page)
        _tell_written(page)
    if as_json or not page:
        show(view, as_json)


def show_trace(
    file: Path, wanted: Sequence[str], arguments: dict[str, Any], page: Path | None, as_json: bool
) -> None:
    """Views of a trace; its model is opened for what it does not hold."""
    _show(_opened(open_trace(file).trace), wanted, arguments, page, as_json)


def _opened(trace: Trace) -> Look:
    """A trace whose model is opened when it is needed."""
    return Look(trace, lambda: ready(_model_of(trace.origin)).look(trace).subject)


def _looked(text: Said, options: dict[str, Any], watch: Sequence[str] = ()) -> Look:
    given = {name: value for name, value in generation(options).items() if value is not None}
    if "draft" in given:
        raise ParameterError("draft", "has no effect here: the answer is the same without")
    lm = ready(load(options))
    with noticed("reading ..."):
        return lm.look(text, watch=watch, **given)


def _model_of(origin: Origin, model: str | None = None, threads: int | None = None) -> LM:
    """The model of a trace, computed as it was."""
    names = ("quantize", "cache_dtype", "dtype", "device")
    return load({
        "model": model or origin.name,
        "backend": origin.backend,
        "threads": threads,
        "context_length": origin.config.context_length,
        **{name: origin.settings.get(name) for name in names},
    })  # fmt: skip


def _show(
    found: Look, wanted: Sequence[str], arguments: dict[str, Any], page: Path | None, as_json: bool
) -> None:
    if page:
        _write_page(found, wanted, arguments, page)
        if not as_json:
            return
    if as_json:
        made = {name: view.to_dict() for name, view in _made(found, wanted, arguments)}
        print_json(found.to_dict() | {"views": made})
        return
    if not wanted:
        show(found, as_json=False)
        remark(f"more is to be seen with --view: {', '.join(VIEWS)}")
    for number, (_, view) in enumerate(_made(found, wanted, arguments)):
        if number:
            click.echo()  # between two views
        show(view, as_json=False)


def _write_page(found: Look, wanted: Sequence[str], arguments: dict[str, Any], page: Path) -> None:
    made = dict(_made(found, wanted, arguments)) if wanted else None
    with noticed("drawing ..."):
        text = found.page(views=made)
    with written(page):
        page.write_text(text, "utf-8")
    _tell_written(page)


def _tell_written(file: Path) -> None:
    """A page of a long text has more than a hundred megabytes: that is not kept quiet."""
    remark(f"written to {file} ({human(file.stat().st_size)})")


def _made(
    found: Look, wanted: Sequence[str], arguments: dict[str, Any]
) -> Iterator[tuple[str, View]]:
    """The views that were asked for, each with what it takes of the options."""
    for name in dict.fromkeys(wanted):
        given = {key: value for key, value in arguments.items() if key in taken(name)}
        with noticed(f"computing {name} ...") as found.progress:
            view = getattr(found, name)(**given)
        yield name, view


def _check_folder(file: Path) -> None:
    """Refuse, before anything takes time, a file that could not be written."""
    if not file.parent.is_dir():
        raise PellucidError(f"{str(file)!r} cannot be written: no such directory")
