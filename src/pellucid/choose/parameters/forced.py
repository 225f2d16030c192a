"""A kind of value: phrases that must stand in an answer, each with its alternatives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pellucid.choose.parameters.values import MANY_TOKENS, Integer, listed, shown, whole
from pellucid.errors import ParameterError

_MOST = 64  # phrases, and alternatives of each: every step tries the next token of all
_LONGEST = 256

Phrase = tuple[tuple[int, ...], ...]  # the alternatives, of which one must stand in the answer

_ID = Integer(0, MANY_TOKENS)


@dataclass(frozen=True)
class Forced:
    """Phrases of token ids: lists, or lists of lists of which one is enough."""

    def __str__(self) -> str:
        return f"at most {_MOST} lists of 1 to {_LONGEST} token ids, or lists of such lists"

    def check(self, name: str, value: Any) -> tuple[Phrase, ...]:
        """For each phrase its alternatives, or ParameterError."""
        return tuple(_phrase(name, one) for one in listed(name, value, _MOST))

    def tokens(self, value: tuple[Phrase, ...]) -> Iterable[int]:
        """The ids that a checked value names."""
        return (token for phrase in value for ids in phrase for token in ids)


def clash(phrase: Phrase) -> tuple[int, ...] | None:
    """An alternative with which another one begins: the longer could never come."""
    for place, ids in enumerate(phrase):
        for other, longer in enumerate(phrase):
            if other != place and longer[: len(ids)] == ids:
                return ids
    return None


def _phrase(name: str, value: Any) -> Phrase:
    if whole(value) is not None:
        raise ParameterError(name, f"must be a list of lists of token ids; {value} stands alone")
    members = listed(name, value, _LONGEST)
    if whole(members[0]) is not None:
        return (_ids(name, members),)
    phrase = tuple(_ids(name, ids) for ids in listed(name, members, _MOST))
    if begun := clash(phrase):
        reason = f"one alternative begins with another, {shown(list(begun))}"
        raise ParameterError(name, f"{reason}; leave the longer one out")
    return phrase


def _ids(name: str, value: Any) -> tuple[int, ...]:
    return tuple(_ID.check(name, token) for token in listed(name, value, _LONGEST))
