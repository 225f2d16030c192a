"""JSON from strangers: one object, no name twice, no depth that exhausts the stack."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pellucid.errors import FormatError


def parse_object(data: bytes, path: str | Path, place: str = "") -> dict[str, Any]:
    """The object that UTF-8 `data` holds; `path` and `place` say where it comes from, for errors.

    Raises FormatError for anything else, also where Python's reader is lenient: a name that
    comes twice (it would keep the last), and encodings other than UTF-8. Infinity and NaN pass,
    since published configurations hold them (Mamba's `time_step_limit`).

    >>> parse_object(b'{"a": 1, "a": 2}', "config.json")
    Traceback (most recent call last):
    pellucid.errors.FormatError: config.json: not valid JSON: "a" comes twice in one object
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        raise FormatError(path, place, f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise FormatError(path, place, "not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise FormatError(path, place, f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(path, place, f"a JSON object is expected, not {_json_name(value)}")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise ValueError(f"{json.dumps(twice)[:80]} comes twice in one object")
    return found


def _json_name(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
