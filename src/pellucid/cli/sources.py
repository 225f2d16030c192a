"""A text that is typed, or that stands in a file: `@schema.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pellucid.choose.parameters.sources import LONGEST

_LONGEST_NAME = 200  # a text that long is no name of a file, and asking the system may fail


class Source(click.ParamType[str]):
    """A text; after an `@` the name of a file that holds it, in UTF-8, and `@-` is stdin.

    Windows' line ends and its mark at the start of a file are no part of the text.
    """

    name = "TEXT|@FILE"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What the help shows."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text. Of a long file only so much is read as shows that it is too long."""
        if not value.startswith("@"):
            if len(value) < _LONGEST_NAME and Path(value).is_file():
                self.fail(f"names a file; to read it, put an @ before it: @{value}", param, ctx)
            return str(value)
        try:
            with click.open_file(value[1:], encoding="utf-8-sig") as file:
                return str(file.read(LONGEST + 1))
        except OSError as error:
            self.fail(f"{value[1:]!r} cannot be read: {error.strerror}", param, ctx)
        except UnicodeDecodeError:
            self.fail(f"{value[1:]!r} is not UTF-8", param, ctx)


SOURCE = Source()
