"""What the parts of a tokenizer.json do, checked before the library runs them.

A normalizer, a pre-tokenizer and a decoder are small programs from a stranger: patterns that
could take for ever and chains that blow a text up are refused here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pellucid.errors import FormatError, UnsupportedError
from pellucid.tokens.patterns import check_pattern
from pellucid.tokens.spelling import BYTE_LEVEL, SPACE, Spelling, sentencepiece

_MAX_STEPS = 100  # the most in use is about ten
_MAX_GROWTH = 32  # SentencePiece's nmt_nfkc table turns one character into up to 18

Part = Mapping[str, Any]


def check_part(part: object, path: str | Path, place: str) -> int:
    """How many characters one can become, at most; raises if the part is not safe to run.

    Unicode normalisation and lower case are not counted: they grow a text by 18 times at most,
    however often they are done.
    """
    growth = 1.0
    for number, step in enumerate(_steps(part, path, place)):
        if number >= _MAX_STEPS:
            raise UnsupportedError(f"{path}: {place}: more than {_MAX_STEPS} steps")
        if not isinstance(step.get("type"), str):  # which the library would guess by the other keys
            raise UnsupportedError(f"{path}: {place}: a step without a type")
        pattern = step.get("pattern")
        if isinstance(pattern, Mapping) and isinstance(pattern.get("Regex"), str):
            check_pattern(pattern["Regex"], f"{path}: {place}")
        growth *= max(1.0, _growth(step, path, place))
        if growth > _MAX_GROWTH:
            reason = f"one character could become more than {_MAX_GROWTH}"
            raise UnsupportedError(f"{path}: {place}: {reason}")
    return int(-(-growth // 1))


def spelling_of(decoder: object) -> Spelling:
    """How pieces spell bytes, by the decoder of a tokenizer.json.

    >>> spelling_of({"type": "ByteLevel"}) == BYTE_LEVEL
    True
    """
    steps = list(_flat(decoder)) if isinstance(decoder, Mapping) else []
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"]:
        return BYTE_LEVEL
    if kinds in (["Metaspace"], ["ByteFallback", "Metaspace"]):
        step = steps[-1]
        scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space") else "never")
        if step.get("replacement", SPACE) == SPACE:
            return Spelling(sentencepiece, leading_space=scheme != "never")
    if kinds[:3] == ["Replace", "ByteFallback", "Fuse"] and _is_space(steps[0]):
        if len(kinds) == 3:
            return Spelling(sentencepiece)
        if len(kinds) == 4 and _strips_one_space(steps[3]):
            return Spelling(sentencepiece, leading_space=True)
    return Spelling(None)


def _is_space(step: Part) -> bool:
    return step.get("pattern") == {"String": SPACE} and step.get("content") == " "


def _strips_one_space(step: Part) -> bool:
    wanted = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return all(step.get(key) == value for key, value in wanted.items())


def _flat(part: Part) -> Iterator[Part]:
    """The steps of a part in order, those of sequences within sequences too."""
    waiting: list[object] = [part]
    while waiting:
        step = waiting.pop()
        if not isinstance(step, Mapping):
            continue
        if step.get("type") == "Sequence":
            # The key of its steps differs from part to part; another list does no harm.
            inner = [item for value in step.values() if isinstance(value, list) for item in value]
            waiting += reversed(inner)
        else:
            yield step


def _steps(part: object, path: str | Path, place: str) -> Iterator[Part]:
    if part is None:
        return
    if not isinstance(part, Mapping):
        raise FormatError(path, place, "should be an object")
    yield from _flat(part)


def _growth(step: Part, path: str | Path, place: str) -> float:
    kind, content = step.get("type"), step.get("content")
    if kind == "Replace" and isinstance(content, str):
        pattern = step.get("pattern")
        found = pattern.get("String") if isinstance(pattern, Mapping) else None
        # A pattern can match between characters, which keeps them and adds the content.
        return len(content) / len(found) if isinstance(found, str) and found else len(content) + 1
    added = step.get("prepend")
    if kind == "Prepend" and isinstance(added, str) and len(added) > _MAX_GROWTH:
        reason = f"{len(added)} characters before each text, at most {_MAX_GROWTH} are supported"
        raise UnsupportedError(f"{path}: {place}: {reason}")
    if kind == "ByteLevel":
        return 4  # a letter for each byte
    if kind == "Precompiled":
        return _longest(step.get("precompiled_charsmap"), path, place)
    return 1


def _longest(charsmap: object, path: str | Path, place: str) -> int:
    """The longest replacement of a SentencePiece table: after an index of as many bytes as its
    first four say, the replacements follow, each with a NUL behind it.
    """
    try:
        table = base64.b64decode(charsmap or b"", validate=True)  # type: ignore[arg-type]
    except (binascii.Error, TypeError, ValueError):
        raise FormatError(path, place, "precompiled_charsmap is not base64") from None
    return longest_replacement(table, path, place)


def longest_replacement(table: bytes, path: str | Path, place: str) -> int:
    """The most characters that a compiled table of SentencePiece puts in place of one."""
    if not table:
        return 1
    size = int.from_bytes(table[:4], "little")
    if size % 4 or size > len(table) - 4:
        raise FormatError(path, place, "the table of characters ends too early")
    longest = max(len(text.decode("utf-8", "replace")) for text in table[4 + size :].split(b"\0"))
    if longest > _MAX_GROWTH:
        reason = f"one character could become {longest}, at most {_MAX_GROWTH} are supported"
        raise UnsupportedError(f"{path}: {place}: {reason}")
    return max(longest, 1)
