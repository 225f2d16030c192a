"""How values of several parts are typed: `13=-100` for a token and its bias, `7,8` for a phrase."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pellucid.choose.parameters.values import shown


class Spelling(click.ParamType[Any]):
    """A value that `read` makes of a text, as `name` shows it; what it cannot read is refused."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What the help shows."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value."""
        try:
            return self._read(value)
        except ValueError:
            self.fail(f"must be of the form {self.name}, not {shown(value)}", param, ctx)


def _phrase(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _forced(text: str) -> tuple[tuple[int, ...], ...]:
    return tuple(_phrase(part) for part in text.split("|"))


def _layers(text: str) -> str | tuple[int, ...]:
    return text if text in ("low", "high") else _phrase(text)


def flag_or(word: str) -> Spelling:
    """True, False or a word."""
    values: dict[str, bool | str] = {"true": True, "false": False, word: word}

    def read(text: str) -> bool | str:
        if text not in values:
            raise ValueError
        return values[text]

    return Spelling("|".join(values), read)


def _bias(text: str) -> tuple[int, float]:
    token, bias = text.split("=")
    return int(token), float(bias)


def _phrase_bias(text: str) -> tuple[tuple[int, ...], float]:
    ids, bias = text.split("=")
    return _phrase(ids), float(bias)


def _pair(text: str) -> tuple[int, float]:
    start, factor = text.split(",")
    return int(start), float(factor)


def _settings(text: str) -> dict[str, int | float | str]:
    pairs = (part.split("=") for part in text.split(","))
    return {name.replace("-", "_"): _scalar(value) for name, value in pairs}


def _scalar(text: str) -> int | float | str:
    """A number if it reads like one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


PHRASE = Spelling("ID,ID...", _phrase)
FORCED = Spelling("ID,ID...|ID...", _forced)
BIAS = Spelling("ID=NUMBER", _bias)
PHRASE_BIAS = Spelling("ID,ID...=NUMBER", _phrase_bias)
LAYERS = Spelling("low|high|N,N...", _layers)
PAIR = Spelling("N,NUMBER", _pair)
SETTINGS = Spelling("NAME=VALUE,...", _settings)
