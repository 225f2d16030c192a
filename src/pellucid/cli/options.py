"""What commands share: the model, where it runs, JSON, the text, the table of parameters."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pellucid.choose.values import Flag, Ids, Integer, Kind, Number, Texts
from pellucid.errors import TextError

if TYPE_CHECKING:
    from pellucid.lm import LM
    from pellucid.look.view import View

Command = TypeVar("Command", bound=Callable[..., Any])
LARGEST_INPUT_BYTES = 64 << 20

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
model_option = click.option(
    "-m", "--model", default="smollm2", show_default=True, metavar="REF",
    help="An alias, a directory, a .gguf file, org/name[@revision], or pypi:package.",
)  # fmt: skip


def running(command: Command) -> Command:
    """The options of every command that runs a model."""
    for option in reversed((
        model_option,
        click.option("--backend", type=click.Choice(["reference", "torch"]), default="reference",
                     show_default=True, help="NumPy, or PyTorch."),
        click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32",
                     show_default=True, help="The numbers that torch computes with."),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ..."),
        click.option("--context-length", type=int, metavar="N",
                     help="Open the model for this many tokens; the default is the model's own."),
        json_option,
    )):  # fmt: skip
        command = option(command)
    return command


def load(options: dict[str, Any]) -> LM:
    """The model that the options of `running` ask for; takes them out of `options`."""
    from pellucid.lm import load

    names = ("backend", "dtype", "device", "context_length")
    return load(options.pop("model"), **{name: options.pop(name) for name in names})


def text_argument(command: Command) -> Command:
    """A TEXT argument; - reads standard input."""
    return click.argument("text", callback=lambda _ctx, _param, value: read_text(value))(command)


def read_text(value: str | None) -> str | None:
    """The text that was typed, or for - all of standard input, less one line end at its end.

    Bytes are kept as they are: a carriage return is part of the text.
    """
    if value != "-":
        return value
    data = sys.stdin.buffer.read(LARGEST_INPUT_BYTES + 1)
    if len(data) > LARGEST_INPUT_BYTES:
        raise TextError(f"standard input is larger than {LARGEST_INPUT_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(
            f"standard input is not UTF-8: byte {error.start}: {error.reason}"
        ) from error
    return text.removesuffix("\n").removesuffix("\r")


def sampling(command: Command) -> Command:
    """One option for each row of the table of generation parameters."""
    from pellucid.choose.parameters import PARAMETERS

    for row in reversed(PARAMETERS.values()):
        dashed = row.name.replace("_", "-")
        flag = f"--{dashed}/--no-{dashed}" if isinstance(row.kind, Flag) else f"--{dashed}"
        help_text = f"{row.doc[0].upper()}{row.doc[1:]}."
        command = click.option(flag, row.name, default=None, help=help_text, **_kind(row.kind))(
            command
        )
    return command


def _kind(kind: Kind) -> dict[str, Any]:
    """How click reads a value; the table checks its range."""
    match kind:
        case Flag():
            return {"is_flag": True}
        case Number():
            return {"type": float, "metavar": "NUMBER"}
        case Integer():
            return {"type": int, "metavar": "N"}
        case Texts():
            return {"multiple": True, "metavar": "TEXT", "callback": _none_if_empty}
        case Ids():
            return {"multiple": True, "type": int, "metavar": "ID", "callback": _none_if_empty}


def _none_if_empty(_ctx: click.Context, _param: click.Parameter, values: Any) -> Any:
    return values or None


def show(view: View, as_json: bool) -> None:
    """A result as one line of JSON, or drawn for the terminal."""
    if as_json:
        print_json(view.to_dict())
        return
    from rich.console import Console

    console = Console()
    with console.capture() as captured:  # click writes it, and so a closed pipe is its matter
        console.print(view)
    click.echo("\n".join(line.rstrip() for line in captured.get().split("\n")), nl=False)


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    import msgspec

    click.echo(msgspec.json.encode(value).decode())
