"""Kinds of values: the languages that an answer may be held to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from pellucid.choose.parameters.values import Text, listed, shown
from pellucid.errors import ParameterError

LONGEST = 1 << 16  # characters; what a few levels of a schema or grammar cost is bounded by it
_DEEPEST = 100  # llguidance reads 128 levels, some of them its own
_MOST_CHOICES = 1000


@dataclass(frozen=True)
class JsonSchema:
    """A JSON schema, as a dict or as its text; in its plain form the text.

    >>> JsonSchema().check("json_schema", {"type": "integer"})
    '{"type":"integer"}'
    >>> JsonSchema().check("json_schema", "object")
    '{"type":"object"}'
    """

    def __str__(self) -> str:
        return f'a JSON schema of at most {LONGEST} characters, or "object" for any JSON object'

    def check(self, name: str, value: Any) -> str:
        """The schema as a text, or ParameterError."""
        if isinstance(value, str):
            value = {"type": "object"} if value == "object" else _read(name, value)
        if not isinstance(value, Mapping):
            reason = f"must be a JSON schema, which is an object, not {shown(value)}"
            raise ParameterError(name, reason)
        return _write(name, value)


@dataclass(frozen=True)
class Source(Text):
    """A text that usually stands in a file."""

    longest: int = LONGEST


@dataclass(frozen=True)
class Choices:
    """Texts of which the answer is one."""

    def __str__(self) -> str:
        return f"at most {_MOST_CHOICES} texts, of {LONGEST} characters together"

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        """The texts as a tuple, each once, or ParameterError."""
        texts = (value,) if isinstance(value, str) else listed(name, value, _MOST_CHOICES)
        for text in texts:
            Text(LONGEST).check(name, text)
            if not text:
                raise ParameterError(name, "an empty text is no answer to choose")
        if sum(map(len, texts)) > LONGEST:
            raise ParameterError(name, f"the texts have more than {LONGEST} characters together")
        return tuple(dict.fromkeys(texts))


def _read(name: str, text: str) -> Any:
    def number(found: str) -> Any:
        raise ParameterError(name, f"{found} is no JSON")

    try:
        return json.loads(Text(LONGEST).check(name, text), parse_constant=number)
    except RecursionError:
        raise ParameterError(name, "is nested too deep") from None
    except ValueError as error:
        raise ParameterError(name, f"is no JSON: {error}") from None


def _write(name: str, value: Mapping[str, Any]) -> str:
    """The text of a schema; piece by piece, as one object may stand in many places of it."""
    encoder = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
    )
    pieces, length = [], 0
    try:
        for piece in encoder.iterencode(value):
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST:
                raise ParameterError(name, f"has more than {LONGEST} characters")
    except RecursionError:
        raise ParameterError(name, "is nested too deep") from None
    except (TypeError, ValueError) as error:
        raise ParameterError(name, f"is no JSON: {error}") from None
    text = Text(LONGEST).check(name, "".join(pieces))
    if _depth(text) > _DEEPEST:
        raise ParameterError(name, f"is nested too deep; at most {_DEEPEST} levels are read")
    return text


def _depth(text: str) -> int:
    """How deep a JSON text is nested.

    >>> _depth('{"a":[{}],"[[[[":[]}')
    3
    """
    marks = re.findall(r"[][{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text))
    return max(accumulate(1 if mark in "[{" else -1 for mark in marks), default=0)


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"it holds {shown(value)}")
