"""Values that are known names in an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pellucid.choose.parameters.values import listed, shown
from pellucid.errors import ParameterError

_MOST = 64


@dataclass(frozen=True)
class Names:
    """Some of the known names, in any order, none twice: a list, or a text with `;` between them.

    A hyphen is as good as an underscore. An alias stands for one name or for several.

    >>> Names(("top_k", "top_p"), {"nucleus": ("top_p",)}).check("samplers", "nucleus;top-k")
    ('top_p', 'top_k')
    """

    known: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        return f"a list, or a text with `;` in between, of {', '.join(self.known)}"

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        """The names as a tuple, or ParameterError."""
        given = value.split(";", _MOST) if isinstance(value, str) else value
        members = listed(name, given, _MOST)
        names = [known for member in members for known in self._check_one(name, member)]
        for place, one in enumerate(names):
            if one in names[:place]:
                raise ParameterError(name, f"has {one} twice")
        return tuple(names)

    def _check_one(self, name: str, member: object) -> tuple[str, ...]:
        plain = member.strip().replace("-", "_") if isinstance(member, str) else ""
        if plain in self.known:
            return (plain,)
        if plain in self.aliases:
            return self.aliases[plain]
        near = get_close_matches(plain[:64], [*self.known, *self.aliases], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        hint = "; put ; between names" if "," in plain else hint
        raise ParameterError(name, f"has {shown(member)}, which is no filter's name{hint}")
