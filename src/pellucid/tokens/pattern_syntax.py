"""A reader for the part of Oniguruma's syntax that tokenizers use.

The syntax is described at https://github.com/kkos/oniguruma/blob/master/doc/RE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pellucid.tokens.charsets import ANY, DIGIT, SPACE, WORD, Charset, union

_MAX_LENGTH = 20_000
_MAX_DEPTH = 40
_MAX_COUNT = 1_000  # of a{n,m}; the largest in use is 512


class UnreadableError(Exception):
    """The reason, as the end of a sentence that begins with "the pattern"."""


@dataclass(frozen=True)
class Empty:
    r"""Matches a place, not a character: ^ $ \b \A \z."""


@dataclass(frozen=True)
class One:
    """One character."""

    charset: Charset


@dataclass(frozen=True)
class Sequence:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of them."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Look:
    """What must or must not stand before or behind a place."""

    item: Node


@dataclass(frozen=True)
class Repeat:
    """From `least` to `most` times, None for any number; possessive ones give nothing back."""

    item: Node
    least: int
    most: int | None
    possessive: bool = False


Node = Empty | One | Sequence | Choice | Look | Repeat

_NAMED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
_CLASSES = {
    "s": SPACE, "S": ~SPACE, "d": DIGIT, "D": ~DIGIT, "w": WORD, "W": ~WORD,
    "h": Charset.of((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
    "O": ANY, "N": ~Charset.of((10, 10)),
}  # fmt: skip
_PLACES = frozenset("bBAzZGK")
_POSIX = {
    "alpha": "L", "upper": "Lu", "lower": "Ll", "digit": "Nd", "punct": "P",
}  # fmt: skip
_COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")
_SWITCH = re.compile(r"\(\?([a-zA-Z-]+)\)")
_GROUP = re.compile(r"\?(?:(?P<look><?[=!])|>|<\w+>|(?P<flags>[a-zA-Z-]*):)")


def parse(pattern: str) -> Node:
    """The tree of a pattern; raises UnreadableError for what is not understood.

    >>> parse("a|b?").items[1].most
    1
    """
    if len(pattern) > _MAX_LENGTH:
        raise UnreadableError(f"has {len(pattern)} characters, at most {_MAX_LENGTH} are read")
    reader = _Reader(pattern)
    tree = reader.choice(0, ignore_case=False)
    if reader.at < len(pattern):
        raise UnreadableError(f"has an unmatched ')' at {reader.at}")
    return tree


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0

    def choice(self, depth: int, *, ignore_case: bool) -> Node:
        if depth > _MAX_DEPTH:
            raise UnreadableError(f"has groups more than {_MAX_DEPTH} deep")
        paths = []
        while True:
            paths.append(self._sequence(depth, ignore_case))
            if not self._take("|"):
                break
        return paths[0] if len(paths) == 1 else Choice(tuple(paths))

    def _sequence(self, depth: int, ignore_case: bool) -> Node:
        items: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            if flags := _SWITCH.match(self.text, self.at):  # (?i) holds until the group ends
                self._check_flags(flags[1])
                self.at = flags.end()
                ignore_case = "i" in flags[1].partition("-")[0]
                continue
            items.append(self._repeats(self._item(depth, ignore_case)))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self, depth: int, ignore_case: bool) -> Node:
        letter = self._next()
        if letter == "(":
            return self._group(depth, ignore_case)
        if letter == "[":
            return One(self._class(depth, ignore_case))
        if letter == ".":
            return One(~Charset.of((10, 10)))
        if letter in "^$":
            return Empty()
        if letter == "\\":
            return self._escape(ignore_case)
        return One(_exactly(letter, ignore_case))

    def _group(self, depth: int, ignore_case: bool) -> Node:
        head = _GROUP.match(self.text, self.at)
        if head is None and self.text.startswith("?", self.at):
            raise UnreadableError(f"has a group of a kind that is not supported at {self.at}")
        if head is not None:
            self.at = head.end()
            self._check_flags(head["flags"] or "")
            on, _, off = (head["flags"] or "").partition("-")
            ignore_case = (ignore_case or "i" in on) and "i" not in off
        item = self.choice(depth + 1, ignore_case=ignore_case)
        if not self._take(")"):
            raise UnreadableError("has an unmatched '('")
        return Look(item) if head is not None and head["look"] else item

    def _check_flags(self, flags: str) -> None:
        if strange := set(flags) - {"i", "m", "-"}:
            raise UnreadableError(f"has an option that is not supported: {min(strange)}")

    def _repeats(self, item: Node) -> Node:
        while self.at < len(self.text):
            counts = self._counts()
            if counts is None:
                return item
            least, most, is_counted = counts
            possessive = not is_counted and self._take("+")
            if not possessive:
                self._take("?")  # lazy: the same ways, in another order
            item = Repeat(item, least, most, possessive)
        return item

    def _counts(self) -> tuple[int, int | None, bool] | None:
        letter = self.text[self.at]
        simple = {"*": (0, None, False), "+": (1, None, False), "?": (0, 1, False)}.get(letter)
        if simple:
            self.at += 1
            return simple
        found = _COUNT.match(self.text, self.at)
        if not found or not (found[1] or found[3]):
            return None
        self.at = found.end()
        least = int(found[1] or 0)
        most = None if found[2] and not found[3] else int(found[3] or least)
        if max(least, most or 0) > _MAX_COUNT:
            raise UnreadableError(f"repeats more than {_MAX_COUNT} times: {found[0]}")
        if most is not None and most < least:
            raise UnreadableError(f"has a repetition from more to less: {found[0]}")
        return least, most, True

    def _escape(self, ignore_case: bool) -> Node:
        if self.text[self.at : self.at + 1] in _PLACES:
            self.at += 1
            return Empty()
        return One(self._escaped(ignore_case))

    def _escaped(self, ignore_case: bool) -> Charset:
        """What stands behind a backslash, inside of a class or outside."""
        letter = self._next()
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in "pP" and self._take("{"):
            return self._property(negated=letter == "P")
        if letter in "xu":
            return self._hexadecimal(letter)
        if letter in _NAMED:
            return Charset.of((ord(_NAMED[letter]),) * 2)
        if letter.isalnum():
            raise UnreadableError(f"has an escape that is not supported: \\{letter}")
        return _exactly(letter, ignore_case)

    def _property(self, *, negated: bool) -> Charset:
        end = self.text.find("}", self.at)
        if end < 0:
            raise UnreadableError("has a property without an end")
        name, self.at = self.text[self.at : end], end + 1
        if name.startswith("^"):
            name, negated = name[1:], not negated
        found = Charset.property(name)
        return ~found if negated else found

    def _hexadecimal(self, letter: str) -> Charset:
        form = (
            r"\{([0-9A-Fa-f]{1,6})\}"
            if self.text.startswith("{", self.at)
            else (r"([0-9A-Fa-f]{4})" if letter == "u" else r"([0-9A-Fa-f]{1,2})")
        )
        found = re.compile(form).match(self.text, self.at)
        if not found or int(found[1], 16) > 0x10FFFF:
            raise UnreadableError(f"has a character code that is not understood at {self.at}")
        self.at = found.end()
        return Charset.of((int(found[1], 16),) * 2)

    def _class(self, depth: int, ignore_case: bool) -> Charset:
        """Behind the "[" of a character class, up to its end."""
        if depth > _MAX_DEPTH:
            raise UnreadableError(f"has classes more than {_MAX_DEPTH} deep")
        negated = self._take("^")
        parts: list[Charset] = []
        met: list[Charset] = []  # what stands between &&
        if self._take("]"):
            parts.append(_exactly("]", ignore_case))
        while not self._take("]"):
            if self._take("&&"):
                met.append(union(parts))
                parts = []
            else:
                parts.append(self._member(depth, ignore_case))
        result = union(parts)
        for other in met:
            result &= other
        return ~result if negated else result

    def _member(self, depth: int, ignore_case: bool) -> Charset:
        if self.text.startswith("[:", self.at):
            return self._posix()
        if self._take("["):
            return self._class(depth + 1, ignore_case)
        first = self._class_letter(ignore_case)
        is_range = self.text.startswith("-", self.at) and not self.text.startswith("-]", self.at)
        if not is_range or first.ranges is None:
            return first
        self._take("-")
        last = self._class_letter(ignore_case)
        if not first.ranges or not last.ranges or last.ranges[0][0] < first.ranges[0][0]:
            raise UnreadableError(f"has a range that is not understood before {self.at}")
        found = Charset.of((first.ranges[0][0], last.ranges[0][0]))
        return ANY if ignore_case else found

    def _class_letter(self, ignore_case: bool) -> Charset:
        letter = self._next()
        return self._escaped(ignore_case) if letter == "\\" else _exactly(letter, ignore_case)

    def _posix(self) -> Charset:
        end = self.text.find(":]", self.at)
        if end < 0:
            raise UnreadableError("has a class without an end")
        name, self.at = self.text[self.at + 2 : end], end + 2
        found = Charset.property(_POSIX[name.lstrip("^")]) if name.lstrip("^") in _POSIX else ANY
        return ~found if name.startswith("^") else found

    def _next(self) -> str:
        if self.at >= len(self.text):
            raise UnreadableError("ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def _take(self, wanted: str) -> bool:
        if self.text.startswith(wanted, self.at):
            self.at += len(wanted)
            return True
        return False


def _exactly(letter: str, ignore_case: bool) -> Charset:
    forms = {letter, letter.lower(), letter.upper()} if ignore_case else {letter}
    return Charset.of(*((ord(c), ord(c)) for form in sorted(forms) for c in form))
