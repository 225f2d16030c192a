"""The options of generation: one for each row of the table of parameters, under headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pellucid.choose.parameters import PARAMETERS, Parameter, parameters
from pellucid.choose.parameters.values import Flag, Ids, Integer, Kind, Number, Texts
from pellucid.cli.wording import as_typed

Command = TypeVar("Command", bound=Callable[..., Any])


class Row(click.Option):
    """An option that is a row of the table; `heading` is what it stands under in the help."""

    def __init__(self, *names: Any, heading: str, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.heading = heading


class Grouped(click.Command):
    """A command whose help lists its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            line = param.get_help_record(ctx)
            if isinstance(param, click.Option) and line is not None:
                groups.setdefault(getattr(param, "heading", "Options"), []).append(line)
        for heading, lines in groups.items():
            with formatter.section(heading):
                formatter.write_dl(lines)


def sampling(command: Command) -> Command:
    """The options of a command that generates."""
    for row in reversed(PARAMETERS.values()):
        dashed = row.name.replace("_", "-")
        flag = f"--{dashed}/--no-{dashed}" if isinstance(row.kind, Flag) else f"--{dashed}"
        option = click.option(
            flag, row.name, default=None, cls=Row, heading=row.heading, help=_help(row),
            **_kind(row.kind),
        )  # fmt: skip
        command = option(command)
    return command


def generation(options: dict[str, Any]) -> dict[str, Any]:
    """Take the generation parameters out of a command's options.

    They are checked here, before a model is fetched for them. Raises ParameterError.
    """
    given = {name: options.pop(name) for name in PARAMETERS}
    parameters(**given)
    return given


def _help(row: Parameter) -> str:
    again = "; may be given several times" if isinstance(row.kind, Texts | Ids) else ""
    return as_typed(f"{row.doc[0].upper()}{row.doc[1:]}{again}.", PARAMETERS)


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
