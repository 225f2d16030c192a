"""What commands share: the model and where it runs, the text, and how a result is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pellucid.cli.stream import noticed
from pellucid.errors import PellucidError, TextError

if TYPE_CHECKING:
    from pellucid.lm import LM
    from pellucid.look.view import View
    from pellucid.model.probe import Edit

Command = TypeVar("Command", bound=Callable[..., Any])
LARGEST_INPUT_BYTES = 64 << 20
_READ_BY = "pellucid.read_by"  # of a context: the parameter that has taken standard input

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
model_option = click.option(
    "-m", "--model", default="smollm2", show_default=True, metavar="REF",
    help="An alias, a directory, a .gguf file, org/name[@revision], or pypi:package.",
)  # fmt: skip


def about_a_model(default: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A model as the argument REF, or by -m as the commands that read a text take it."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def given(reference: str | None, model: str | None, **rest: Any) -> Any:
            if reference and model:
                raise click.UsageError("the model is given twice: as REF and with --model")
            chosen = reference or model or default
            if chosen is None:
                raise click.UsageError("which model? give it as REF")
            return command(reference=chosen, **rest)

        option = click.option("-m", "--model", metavar="REF", help="The same as REF.")
        return click.argument("reference", metavar="[REF]", required=False)(option(given))

    return decorate


def running(command: Command) -> Command:
    """The options of every command that runs a model."""
    for option in reversed((
        model_option,
        click.option("--backend", type=click.Choice(["native", "reference", "torch"]),
                     default="native", show_default=True,
                     help="C++; NumPy, the specification; PyTorch."),
        click.option("--threads", type=int, metavar="N",
                     help="native: processors to use; all of them unless given."),
        click.option("--quantize", type=click.Choice(["q8", "q4"]),
                     help="native: pack a file of floats to 8 or 4 bits."),
        click.option("--cache-dtype", type=click.Choice(["float16", "float32"]),
                     help="native: what keys and values are kept as; float16 unless given."),
        click.option("--dtype", type=click.Choice(["float32", "bfloat16"]),
                     help="torch: what to compute with; float32 unless given."),
        click.option("--device", help="torch: cpu, cuda, cuda:1 ...; the cpu unless given."),
        click.option("--context-length", type=int, metavar="N",
                     help="Open the model for this many tokens; the default is the model's own."),
        click.option("--edit", multiple=True, metavar="SITE[@POSITIONS]=CHANGE", callback=_edits,
                     help="Change values inside: layers.5.heads.3=zero, layers.12.resid=scale:0.5"
                          " (docs/sites.md); may be given several times."),
        json_option,
    )):  # fmt: skip
        command = option(command)
    return command


def _edits(_ctx: click.Context, _param: click.Parameter, texts: Sequence[str]) -> list[Edit]:
    from pellucid.model.probe import Edit

    return [Edit.read(text) for text in texts]


def load(options: dict[str, Any]) -> LM:
    """The model that the options of `running` ask for; its weights are not read yet."""
    from pellucid.lm import load

    names = (
        "backend", "threads", "quantize", "cache_dtype", "dtype", "device", "context_length",
    )  # fmt: skip
    lm = load(options["model"], **{name: options[name] for name in names})
    for edit in options.get("edit", ()):
        lm = lm.edit(edit.site, edit.change, positions=edit.positions)
    return lm


def ready(lm: LM) -> LM:
    """The model with its weights read; a person in front of a terminal hears if that takes long."""
    with noticed(f"reading {lm.name} ..."):
        _ = lm.model
    return lm


def text_given(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The text that was typed, or for - all of standard input, less one line end at its end."""
    if value is None:
        return None
    if value == "-":
        name = _name(param)
        if (other := ctx.meta.setdefault(_READ_BY, name)) != name:
            raise click.UsageError(f"{name} and {other} cannot both be -: standard input is one")
        data = sys.stdin.buffer.read(LARGEST_INPUT_BYTES + 1)
        return decoded(data).removesuffix("\n").removesuffix("\r")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise TextError(f"{_name(param)} is not UTF-8 from character {error.start} on") from None
    return value


def _name(param: click.Parameter) -> str:
    """A parameter as a person writes it."""
    return param.opts[0] if isinstance(param, click.Option) else param.opts[0].upper()


system_option = click.option(
    "--system", metavar="TEXT", callback=text_given,
    help="What the model is told before a conversation.",
)  # fmt: skip


def text_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """A TEXT argument; - reads standard input. The command's `text` is that text, or with --chat
    the conversation that it begins.
    """

    @wraps(command)
    def given(text: str, chat: bool, system: str | None, **rest: Any) -> Any:
        if system is not None and not chat:
            raise click.UsageError("--system has no effect without --chat")
        said = [("system", system), ("user", text)]
        messages = [{"role": who, "content": what} for who, what in said if what is not None]
        return command(text=messages if chat else text, **rest)

    flag = click.option("--chat", is_flag=True, help="TEXT is said to the model, in its template.")
    return click.argument("text", callback=text_given)(flag(system_option(given)))


def decoded(data: bytes) -> str:
    r"""Bytes of standard input as text, kept as they are: a carriage return is part of the text.

    >>> decoded(b"caf\xe9.")
    Traceback (most recent call last):
    pellucid.errors.TextError: standard input is not UTF-8: byte 3: invalid continuation byte
    """
    if len(data) > LARGEST_INPUT_BYTES:
        raise TextError(f"standard input is larger than {LARGEST_INPUT_BYTES >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        reason = f"byte {error.start}: {error.reason}"
        raise TextError(f"standard input is not UTF-8: {reason}") from None


def show(view: View, as_json: bool) -> None:
    """A result as one line of JSON, or drawn for the terminal."""
    if as_json:
        print_json(view.to_dict())
        return
    from rich.console import Console

    console = Console()
    with console.capture() as captured:  # click writes it, and so a closed pipe is its matter
        console.print(view)
    lines = (line.rstrip() for line in captured.get().split("\n"))
    click.echo("\n".join(lines), nl=False, color=True)  # rich has decided about colours already


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    import msgspec

    click.echo(msgspec.json.encode(value).decode())


@contextmanager
def written(path: Path) -> Iterator[None]:
    """What goes wrong with a file that a person named is told of that file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise PellucidError(f"{str(path)!r} cannot be written: {reason}") from None
