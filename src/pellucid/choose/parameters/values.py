"""What a parameter's value may be: each kind checks a value, and says in words what it allows."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

from pellucid.errors import ParameterError

MANY_TOKENS = 2**31 - 1  # beyond any context; keeps lengths within what every backend can count
_MOST_STOPS = 64
_LONGEST_STOP = 4096
_MOST_IDS = 4096


class Kind(Protocol):
    """Which values a parameter may have; `str()` says it in words."""

    def check(self, name: str, value: Any) -> Any:
        """The value in its plain form, which `check` leaves as it is; else ParameterError."""


def shown(value: object) -> str:
    """A value as an error message may quote it: short, whatever was given.

    >>> shown("x" * 10**6), shown(10**5000)
    ("'xxxxxxxxxxxxxxxxxxxxxxxx'...", 'an integer of 16610 bits')
    """
    if isinstance(value, int) and value.bit_length() > 128:  # str() refuses 4,300 digits
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str | bytes) and len(value) > 40:
        return f"{value[:24]!r}..."
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}..."


def whole(value: Any) -> int | None:
    """The value as an int if it is a whole number by type, NumPy's included; a bool is none.

    >>> whole(7), whole(7.0), whole(True)
    (7, None, None)
    """
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


@dataclass(frozen=True)
class Number:
    """A finite real number from `low` to `high`; `above` leaves `low` itself out."""

    low: float
    high: float
    above: bool = False

    def __str__(self) -> str:
        return f"{'above' if self.above else 'at least'} {self.low:g} and at most {self.high:g}"

    def check(self, name: str, value: Any) -> float:
        """The value as a float, or ParameterError."""
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ParameterError(name, f"must be a number, not {shown(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ParameterError(name, f"must be finite, not {shown(value)}")
        if not self.low <= number <= self.high or (self.above and number == self.low):
            raise ParameterError(name, f"must be {self}, not {shown(value)}")
        return number


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def check(self, name: str, value: Any) -> int:
        """The value as an int, or ParameterError."""
        number = whole(value)
        if number is None:
            raise ParameterError(name, f"must be a whole number, not {shown(value)}")
        if not self.low <= number <= self.high:
            raise ParameterError(name, f"must be {self}, not {shown(value)}")
        return number


@dataclass(frozen=True)
class Flag:
    """True or False, and nothing that merely resembles them."""

    def __str__(self) -> str:
        return "True or False"

    def check(self, name: str, value: Any) -> bool:
        """The value, or ParameterError."""
        if not isinstance(value, bool):
            raise ParameterError(name, f"must be True or False, not {shown(value)}")
        return value


@dataclass(frozen=True)
class Texts:
    """One text or several, none of them empty."""

    def __str__(self) -> str:
        return f"one text or at most {_MOST_STOPS}, of 1 to {_LONGEST_STOP} characters"

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        """The texts as a tuple, or ParameterError."""
        texts = (value,) if isinstance(value, str) else listed(name, value, _MOST_STOPS)
        return tuple(self._check_one(name, text) for text in texts)

    def _check_one(self, name: str, text: object) -> str:
        if not isinstance(text, str):
            raise ParameterError(name, f"must hold texts, not {shown(text)}")
        if not text:
            raise ParameterError(name, "an empty text is found everywhere; leave it out")
        return _fit(name, text, _LONGEST_STOP)


@dataclass(frozen=True)
class FlagOr:
    """True, False, or one word."""

    word: str

    def __str__(self) -> str:
        return f"True, False or {self.word}"

    def check(self, name: str, value: Any) -> bool | str:
        """The value, or ParameterError."""
        if isinstance(value, bool) or (isinstance(value, str) and value == self.word):
            return value
        raise ParameterError(name, f"must be {self}, not {shown(value)}")


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(self.words)

    def check(self, name: str, value: Any) -> str:
        """The word, or ParameterError."""
        if not isinstance(value, str) or value not in self.words:
            raise ParameterError(name, f"must be {self}, not {shown(value)}")
        return value


@dataclass(frozen=True)
class Text:
    """One text, which may be empty."""

    longest: int

    def __str__(self) -> str:
        return f"a text of at most {self.longest} characters"

    def check(self, name: str, value: Any) -> str:
        """The text, or ParameterError."""
        if not isinstance(value, str):
            raise ParameterError(name, f"must be a text, not {shown(value)}")
        return _fit(name, value, self.longest)


@dataclass(frozen=True)
class Ids:
    """One token id or several. Whether the vocabulary has them is known only with a model."""

    most: int = _MOST_IDS

    def __str__(self) -> str:
        return f"one token id or at most {self.most}"

    def check(self, name: str, value: Any) -> tuple[int, ...]:
        """The ids as a tuple, or ParameterError."""
        ids = (value,) if whole(value) is not None else listed(name, value, self.most)
        return tuple(Integer(0, MANY_TOKENS).check(name, i) for i in ids)

    def tokens(self, value: tuple[int, ...]) -> Iterable[int]:
        """The ids that a checked value names."""
        return value


@dataclass(frozen=True)
class Id:
    """One token id. Whether the vocabulary has it is known only with a model."""

    def __str__(self) -> str:
        return "a token id"

    def check(self, name: str, value: Any) -> int:
        """The id as an int, or ParameterError."""
        return Integer(0, MANY_TOKENS).check(name, value)

    def tokens(self, value: int) -> Iterable[int]:
        """The ids that a checked value names."""
        return (value,)


def _fit(name: str, text: str, longest: int) -> str:
    """A text that is not too long, and that a model can be given."""
    if len(text) > longest:
        reason = f"a text has {len(text)} characters; at most {longest} are allowed"
        raise ParameterError(name, reason)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"a lone surrogate at character {error.start}, which no text of a model has"
        raise ParameterError(name, reason) from None
    return text


def listed(name: str, value: object, most: int) -> list[Any]:
    """The members of a list, of which there are at least one and at most `most`."""
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        raise ParameterError(name, f"must be one value or a list of them, not {shown(value)}")
    members = [member for member, _ in zip(value, range(most + 1), strict=False)]
    if not members:
        raise ParameterError(name, "an empty list has no effect; leave it out")
    if len(members) > most:
        raise ParameterError(name, f"a list may have at most {most} values")
    return members
