"""The options of a command that shows views of a run: one for each argument that a view takes."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from pellucid.cli.sampling import Grouped, Row
from pellucid.cli.spelling import Spelling
from pellucid.look import looking
from pellucid.look.view import View

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
VIEWS = looking.views()
_HEADING = "What to see"
_HELP = {
    "top": "so many of each",
    "layer": "this layer, from 0",
    "layers": "such a layer, from 0; may be given several times",
    "head": "this head, from 0",
    "heads": "such a head, from 0; may be given several times",
    "figure": "of a page: head, model, matrix or neuron",
    "depth": "so many tokens of each way",
    "width": "so many branches of each token",
    "position": "the token at this place, from 0; -1 is the last",
    "token": "the token that may come next, by its text or id",
    "versus": "another token, to which it is compared",
    "test": "check so many of the leading ones, by leaving each out",
    "by": "what stands in for what is left out: zero or mean; for a token also hidden or another",
    "of": "what is explained: logprob or logit",
    "steps": "at most so many gradients",
    "hold": "leave so many first tokens as they are, where idle attention rests",
}


class Seeing(Grouped):
    """A command that shows views of a run: its help tells what each of them is."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Views"):
            formatter.write_dl([(name, _summary(method)) for name, method in VIEWS.items()])
        super().format_options(ctx, formatter)


def seeing(command: Command) -> Command:
    """The options of a command that shows views of a run."""
    for name, takers in reversed(_takers().items()):
        words = f"{_HELP.get(name, name.replace('_', ' '))} ({', '.join(takers)})"
        command = click.option(
            f"--{name.replace('_', '-')}", name, cls=Row, heading=_HEADING, default=None,
            help=f"{words[0].upper()}{words[1:]}.", **_spelling(name, takers[0]),
        )(command)  # fmt: skip
    for option in (
        click.option("--html", "page", type=FILE, metavar="FILE", cls=Row, heading=_HEADING,
                     help="Write an interactive page there, of the quick views or those given."),
        click.option("--view", "wanted", multiple=True, type=click.Choice(list(VIEWS)), cls=Row,
                     heading=_HEADING, metavar="NAME",
                     help="One of the views above; may be given several times."),
    ):  # fmt: skip
        command = option(command)
    return command


def asked(wanted: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of views out of a command's; each must have an effect."""
    given = {name: options.pop(name) for name in _takers()}
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    for name in asked:
        if not any(name in taken(view) for view in wanted):
            names = " or ".join(f"--view {view}" for view in _takers()[name])
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} has no effect without {names}")
    return asked


def _takers() -> dict[str, list[str]]:
    """The arguments of views, and which of them take each."""
    takers: dict[str, list[str]] = {}
    for view in VIEWS:
        for name in taken(view):
            takers.setdefault(name, []).append(view)
    return takers


def taken(view: str) -> list[str]:
    return [name for name in signature(VIEWS[view]).parameters if name != "self"]


def _spelling(name: str, view: str) -> dict[str, Any]:
    """How click reads an argument, from its type."""
    hint = get_type_hints(VIEWS[view], vars(looking))[name]
    kinds = {k for k in _members(hint) if k is not type(None)}
    if bool in kinds:
        return {"is_flag": True}
    if int in kinds and str in kinds:
        return {"type": _TOKEN}
    several = any(get_origin(kind) for kind in kinds)
    kinds |= {arg for kind in kinds for arg in get_args(kind)}
    for kind, settings in ((int, {"type": int, "metavar": "N"}),
                           (float, {"type": float, "metavar": "NUMBER"})):  # fmt: skip
        if kind in kinds:
            return {**settings, "multiple": several}
    return {"metavar": "TEXT", "multiple": several}


def _members(hint: Any) -> tuple[Any, ...]:
    union = get_origin(hint) in (Union, types.UnionType)
    return get_args(hint) if union else (hint,)


def _token(text: str) -> int | str:
    """Digits alone are an id, everything else is a text."""
    return int(text) if text.isdecimal() else text


_TOKEN = Spelling("TOKEN", _token)


def _summary(method: Callable[..., View]) -> str:
    return (method.__doc__ or "").strip().split("\n")[0]
