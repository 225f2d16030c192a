"""Kinds of values that name tokens one after the other, or say how much one is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pellucid.choose.parameters.values import MANY_TOKENS, Integer, Number, listed, shown, whole
from pellucid.errors import ParameterError

_MOST_PHRASES = 4096
_LONGEST_PHRASE = 256
_STRONGEST = 1_000_000

Phrase = tuple[int, ...]
Key = TypeVar("Key", int, Phrase)

_ID = Integer(0, MANY_TOKENS)


@dataclass(frozen=True)
class Phrases:
    """Sequences of token ids, as a list of lists."""

    def __str__(self) -> str:
        return f"at most {_MOST_PHRASES} lists of 1 to {_LONGEST_PHRASE} token ids"

    def check(self, name: str, value: Any) -> tuple[Phrase, ...]:
        """The sequences as tuples, or ParameterError."""
        return tuple(_phrase(name, one) for one in listed(name, value, _MOST_PHRASES))

    def tokens(self, value: tuple[Phrase, ...]) -> Iterable[int]:
        """The ids that a checked value names."""
        return (token for phrase in value for token in phrase)


@dataclass(frozen=True)
class Biases:
    """Numbers from `low` to `high` for tokens: `{id: bias}`, or pairs."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"token ids, each with a number from {self.low:g} to {self.high:g}"

    def check(self, name: str, value: Any) -> tuple[tuple[int, float], ...]:
        """The pairs, or ParameterError. JSON's keys are texts, so those of digits are ids too."""
        bias = Number(self.low, self.high)
        pairs = [(_token(name, i), bias.check(name, b)) for i, b in _pairs(name, value)]
        return _unlike(name, pairs)

    def tokens(self, value: tuple[tuple[int, float], ...]) -> Iterable[int]:
        """The ids that a checked value names."""
        return (token for token, _ in value)


@dataclass(frozen=True)
class PhraseBiases:
    """Numbers for sequences of tokens: `{(id, id): bias}`, or pairs as transformers writes them."""

    def __str__(self) -> str:
        return f"lists of token ids, each with a number of at most {_STRONGEST}"

    def check(self, name: str, value: Any) -> tuple[tuple[Phrase, float], ...]:
        """The pairs, or ParameterError."""
        bias = Number(-_STRONGEST, _STRONGEST)
        pairs = [(_phrase(name, ids), bias.check(name, b)) for ids, b in _pairs(name, value)]
        return _unlike(name, pairs)

    def tokens(self, value: tuple[tuple[Phrase, float], ...]) -> Iterable[int]:
        """The ids that a checked value names."""
        return (token for phrase, _ in value for token in phrase)


@dataclass(frozen=True)
class Decay:
    """A number of tokens and a factor: where something begins, and how it grows from there."""

    most: float

    def __str__(self) -> str:
        return f"a number of tokens, and a factor above 0 and at most {self.most:g}"

    def check(self, name: str, value: Any) -> tuple[int, float]:
        """The pair, or ParameterError."""
        pair = listed(name, value, 2)
        if len(pair) != 2:
            raise ParameterError(name, f"must be {self}, not {shown(value)}")
        start = Integer(0, MANY_TOKENS).check(name, pair[0])
        return start, Number(0, self.most, above=True).check(name, pair[1])


def _phrase(name: str, value: Any) -> Phrase:
    if whole(value) is not None:
        raise ParameterError(name, f"must be a list of lists of token ids; {value} stands alone")
    return tuple(_ID.check(name, token) for token in listed(name, value, _LONGEST_PHRASE))


def _token(name: str, value: Any) -> int:
    digits = isinstance(value, str) and value.isdecimal() and len(value) < 12
    return _ID.check(name, int(value) if digits else value)


def _pairs(name: str, value: Any) -> list[list[Any]]:
    """The members of a mapping, or of a list of pairs."""
    given = value.items() if isinstance(value, Mapping) else value
    pairs = [listed(name, pair, 2) for pair in listed(name, given, _MOST_PHRASES)]
    if any(len(pair) != 2 for pair in pairs):
        raise ParameterError(name, "must be pairs of what is meant and a number")
    return pairs


def _unlike(name: str, pairs: list[tuple[Key, float]]) -> tuple[tuple[Key, float], ...]:
    seen: set[Key] = set()
    for key, _ in pairs:
        if key in seen:
            raise ParameterError(name, f"{shown(key)} is given twice")
        seen.add(key)
    return tuple(pairs)
