"""What characters one element of a pattern can match, known well enough to prove two disjoint."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_MAX_LISTED = 4096  # characters of a range whose categories are looked up one by one

_NAMES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn"
CATEGORIES = frozenset(_NAMES.split())

Range = tuple[int, int]


@dataclass(frozen=True)
class Charset:
    """Characters by Unicode general category: it may hold some of `possible`, holds all of
    `certain`, and is exactly `ranges` if those are not None.

    Where more is not known, `possible` is too large and `certain` too small, never otherwise.
    """

    possible: frozenset[str]
    certain: frozenset[str] = frozenset()
    ranges: tuple[Range, ...] | None = None

    @classmethod
    def of(cls, *ranges: Range) -> Charset:
        """Exactly these characters, first and last of each range.

        >>> sorted(Charset.of((0x41, 0x5A), (0x30, 0x30)).possible)
        ['Lu', 'Nd']
        """
        size = sum(last - first + 1 for first, last in ranges)
        if size > _MAX_LISTED:
            return cls(CATEGORIES, frozenset(), ranges)
        found = {unicodedata.category(chr(c)) for a, b in ranges for c in range(a, b + 1)}
        return cls(frozenset(found), frozenset(), ranges)

    @classmethod
    def property(cls, name: str) -> Charset:
        r"""The characters of \p{name}; anything but a general category could be any character."""
        wanted = name.replace("_", "").replace(" ", "")
        found = frozenset(c for c in CATEGORIES if wanted and c.startswith(wanted[:2]))
        if len(wanted) > 2 or not found:
            return ANY
        return cls(found, found)

    def __or__(self, other: Charset) -> Charset:
        both = self.ranges is not None and other.ranges is not None
        ranges = (*(self.ranges or ()), *(other.ranges or ())) if both else None
        return Charset(self.possible | other.possible, self.certain | other.certain, ranges)

    def __and__(self, other: Charset) -> Charset:
        return Charset(self.possible & other.possible, self.certain & other.certain)

    def __invert__(self) -> Charset:
        certain = CATEGORIES - self.possible
        if self.ranges is None:
            return Charset(CATEGORIES - self.certain, certain)
        return Charset(CATEGORIES - self.certain, certain, _gaps(self.ranges))

    def disjoint(self, other: Charset) -> bool:
        """Whether it is certain that no character is in both.

        >>> Charset.property("L").disjoint(~Charset.property("L"))
        True
        >>> Charset.property("L").disjoint(Charset.property("Lu"))
        False
        """
        if self.ranges is not None and other.ranges is not None:
            return not any(a <= d and c <= b for a, b in self.ranges for c, d in other.ranges)
        return self.possible.isdisjoint(other.possible)


def union(sets: Iterable[Charset]) -> Charset:
    """All characters of all of them.

    >>> union([]).possible
    frozenset()
    """
    result = Charset(frozenset(), frozenset(), ())
    for charset in sets:
        result |= charset
    return result


def _gaps(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    gaps, after = [], 0
    for first, last in sorted(ranges):
        if first > after:
            gaps.append((after, first - 1))
        after = max(after, last + 1)
    return (*gaps, (after, 0x10FFFF))


ANY = Charset(CATEGORIES)
DIGIT = Charset.property("Nd")
SPACE = union([Charset.property("Z"), Charset.of((9, 13), (0x85, 0x85))])
# Letters, digits, marks and what else libraries count as part of a word.
WORD = Charset(
    frozenset(c for c in CATEGORIES if c[0] in "LMN") | {"Pc", "Cf", "So"},
    frozenset(c for c in CATEGORIES if c[0] == "L") | {"Nd"},
)
