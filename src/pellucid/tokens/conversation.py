"""Conversations as a caller gives them, checked and rebuilt from plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.errors import ParameterError

Message = Mapping[str, Any]

_DEEPEST = 100  # levels of lists and mappings; a JSON schema has about ten
_LONGEST_INT_BITS = 4096  # Python itself refuses to write integers of more than 4,300 digits

# Names under which a message's reasoning is passed; transformers gives templates the first two.
_REASONING = ("reasoning_content", "thinking", "reasoning")


def plain_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as a template sees them in transformers: plain data, without keys that are None,
    and with reasoning under each of its usual names.

    ParameterError names the message and the key that is wrong.

    >>> plain_messages([{"role": "user", "content": "Hello", "name": None}])
    [{'role': 'user', 'content': 'Hello'}]
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ParameterError("messages", "must be a list of {role, content}")
    if not messages:
        raise ParameterError("messages", "must hold at least one message")
    return [_message(f"messages[{i}]", message) for i, message in enumerate(messages)]


def _message(place: str, message: Message) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise ParameterError(place, f"must be {{role, content}}, not {type(message).__name__}")
    checked = {k: v for k, v in plain(place, message).items() if v is not None}
    role = checked.get("role")
    if not isinstance(role, str) or not role:
        raise ParameterError(f"{place}.role", 'must be a text such as "user"')
    if "content" in checked:
        _check_content(f"{place}.content", checked["content"])
    elif "tool_calls" not in checked:
        raise ParameterError(f"{place}.content", "is missing")
    reasoning = next((checked[name] for name in _REASONING if name in checked), None)
    if reasoning is None:
        return checked
    return {"thinking": reasoning, **checked, "reasoning_content": reasoning}


def _check_content(place: str, content: object) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise ParameterError(place, f"must be text or a list of parts, not {_kind(content)}")
    for i, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise ParameterError(f"{place}[{i}]", 'must be a part such as {"type": "text", ...}')
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise ParameterError(f"{place}[{i}].text", "must be text")


def plain(place: str, value: Any, depth: int = 0) -> Any:
    """The value rebuilt from None, bool, int, float, str, list and dict: what JSON can carry.

    ParameterError, with the `place`, for anything else.
    """
    if depth > _DEEPEST:
        raise ParameterError(place, f"is nested deeper than {_DEEPEST} levels")
    match value:
        case None | bool():
            return value
        case int() if value.bit_length() <= _LONGEST_INT_BITS:
            return int(value)
        case float():
            return float(value)
        case str():
            return str.__str__(value)
        case Mapping():
            return {
                _key(place, key): plain(f"{place}.{key}", item, depth + 1)
                for key, item in value.items()
            }
        case list() | tuple():
            return [plain(f"{place}[{i}]", item, depth + 1) for i, item in enumerate(value)]
    raise ParameterError(place, f"must be made of text, numbers, lists and dicts, {_not(value)}")


def _key(place: str, key: object) -> str:
    if not isinstance(key, str):
        raise ParameterError(place, f"has the key {str(key)[:40]!r}, which is not text")
    return key


def _not(value: object) -> str:
    return "not so long an integer" if isinstance(value, int) else f"not {_kind(value)}"


def _kind(value: object) -> str:
    return type(value).__name__
