"""The options of generation: one for each row of the table of parameters, under headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pellucid.choose.parameters import PARAMETERS, Parameter, parameters
from pellucid.choose.parameters.forced import Forced
from pellucid.choose.parameters.layers import Layers
from pellucid.choose.parameters.names import Names
from pellucid.choose.parameters.phrases import Biases, Decay, PhraseBiases, Phrases
from pellucid.choose.parameters.sources import Choices, JsonSchema, Source
from pellucid.choose.parameters.speculation import Speculation
from pellucid.choose.parameters.values import (
    Choice,
    Flag,
    FlagOr,
    Id,
    Ids,
    Integer,
    Kind,
    Number,
    Text,
    Texts,
)
from pellucid.choose.parameters.watermark import Watermarking
from pellucid.cli.options import load
from pellucid.cli.sources import SOURCE
from pellucid.cli.spelling import BIAS, FORCED, LAYERS, PAIR, PHRASE, PHRASE_BIAS, SETTINGS, flag_or
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
    command = click.option(
        "--draft", cls=Row, heading=Speculation.heading, metavar="REF",
        help="Guess with this smaller model of the same tokens; the answer is the same.",
    )(command)  # fmt: skip
    for row in reversed(PARAMETERS.values()):
        dashed = row.name.replace("_", "-")
        flag = f"--{dashed}/--no-{dashed}" if isinstance(row.kind, Flag) else f"--{dashed}"
        option = click.option(
            flag, row.name, default=None, cls=Row, heading=row.heading, help=_help(row),
            **_spelling(row.kind),
        )  # fmt: skip
        command = option(command)
    return command


def unless_given(length: str) -> Callable[[click.Command], click.Command]:
    """A command that has a length of its own where nobody gives one: its help says so."""

    def told(command: click.Command) -> click.Command:
        for param in command.params:
            if isinstance(param, click.Option) and param.name == "max_new_tokens":
                param.help = f"Generate at most this many tokens; {length}."
        return command

    return told


def generation(options: dict[str, Any]) -> dict[str, Any]:
    """Take the generation parameters out of a command's options, and the draft model.

    They are checked here, before a model is fetched for them. Raises ParameterError.
    """
    given = {name: options.pop(name) for name in PARAMETERS}
    parameters(**given)
    if draft := options.pop("draft"):
        given["draft"] = load({**options, "model": draft, "edit": ()})
    return given


def _help(row: Parameter) -> str:
    again = "; may be given several times" if type(row.kind) in _SEVERAL else ""
    text = as_typed(row.doc, PARAMETERS)
    return f"{text[0].upper()}{text[1:]}{again}."


# How click reads a value of each kind; the table checks its range.
_ONCE: dict[type, dict[str, Any]] = {
    Flag: {"is_flag": True},
    Number: {"type": float, "metavar": "NUMBER"},
    Integer: {"type": int, "metavar": "N"},
    Id: {"type": int, "metavar": "ID"},
    Text: {"metavar": "TEXT"},
    Source: {"type": SOURCE},
    JsonSchema: {"type": SOURCE},
    Layers: {"type": LAYERS},
    Names: {"metavar": "NAME;NAME"},
    Decay: {"type": PAIR},
    Watermarking: {"type": SETTINGS},
}
_SEVERAL: dict[type, dict[str, Any]] = {
    Texts: {"metavar": "TEXT"},
    Choices: {"metavar": "TEXT"},
    Ids: {"type": int, "metavar": "ID"},
    Phrases: {"type": PHRASE},
    Forced: {"type": FORCED},
    Biases: {"type": BIAS},
    PhraseBiases: {"type": PHRASE_BIAS},
}


def _spelling(kind: Kind) -> dict[str, Any]:
    if isinstance(kind, Choice):
        return {"type": click.Choice(kind.words)}
    if isinstance(kind, FlagOr):
        return {"type": flag_or(kind.word)}
    if several := _SEVERAL.get(type(kind)):
        return several | {"multiple": True, "callback": _none_if_empty}
    return _ONCE[type(kind)]


def _none_if_empty(_ctx: click.Context, _param: click.Parameter, values: Any) -> Any:
    return values or None
