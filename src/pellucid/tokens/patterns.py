"""Refuses regular expressions that could take for ever: tokenizer files bring their own.

Oniguruma, which the tokenizers library uses, tries one way after the other, so `(a+)+b` takes 2^n
steps for n times "a". It gives up (and the library panics) after ten million steps at one place of
the text, which is one second for one place of perhaps a million. A pattern passes if there are
few ways through it:

- what is repeated as a group must be deterministic: at each character at most one way to go on
  (Brueggemann-Klein and Wood 1998, "One-unambiguous regular languages");
- at most one repetition without limit may be given back characters because something that must
  follow it fails, unless the whole path is deterministic;
- choices outside of repetitions must not multiply to more than `_MAX_WAYS`.

All patterns of published models pass. What is left takes time in proportion to the text, or at
worst to its square where one character comes thousands of times in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from pellucid.errors import UnsupportedError
from pellucid.tokens.charsets import Charset
from pellucid.tokens.pattern_syntax import (
    Choice,
    Empty,
    Look,
    Node,
    One,
    Repeat,
    Sequence,
    UnreadableError,
    parse,
)

_MAX_WAYS = 10_000
_MAX_POSITIONS = 200  # characters of a repeated group, with counted repetitions written out


def check_pattern(pattern: str, where: str) -> None:
    r"""Raise UnsupportedError unless the pattern certainly does not backtrack without end.

    >>> check_pattern(r"'s|'t| ?\p{L}+|\s+(?!\S)|\s+", "tokenizer.json")
    >>> check_pattern("(a+)+b", "tokenizer.json")
    Traceback (most recent call last):
    pellucid.errors.UnsupportedError: tokenizer.json: the pattern '(a+)+b' could take for ever: a
    repeated group can match the same text in several ways
    """
    try:
        tree = parse(pattern)
        for path in tree.items if isinstance(tree, Choice) else (tree,):
            _check_path(path)
    except UnreadableError as reason:
        shown = pattern if len(pattern) <= 80 else pattern[:80] + "..."
        raise UnsupportedError(f"{where}: the pattern {shown!r} {reason}") from None


class _AmbiguousError(UnreadableError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"could take for ever: {reason}")


class _UnknownError(Exception):
    """Too large, or with a look ahead or behind: whether it is deterministic stays open."""


@dataclass(frozen=True)
class _Cost:
    """`ways`: how many ways through it, apart from repetitions without limit; `open`: how many of
    those can be asked to give characters back.
    """

    ways: int
    open: int


def _check_path(path: Node) -> None:
    cost = _cost(path, follows=False)
    if (cost.ways > _MAX_WAYS or cost.open > 1) and not _deterministic(path):
        raise _AmbiguousError(
            f"{cost.ways} ways, {cost.open} repetitions that compete for characters"
        )


def _cost(node: Node, *, follows: bool) -> _Cost:
    """`follows`: whether something that can fail comes behind it."""
    match node:
        case Sequence(items):
            total = _Cost(1, 0)
            for item in reversed(items):
                cost = _cost(item, follows=follows)
                total = _Cost(total.ways * cost.ways, total.open + cost.open)
                follows = follows or not _can_skip(item)
            return total
        case Choice(items):
            costs = [_cost(item, follows=follows) for item in items]
            return _Cost(sum(c.ways for c in costs), max(c.open for c in costs))
        case Look(item):
            return _cost(item, follows=follows)
        case Repeat():
            return _cost_of_repeat(node, follows=follows)
    return _Cost(1, 0)


def _cost_of_repeat(node: Repeat, *, follows: bool) -> _Cost:
    once = node.most == 1
    if not once and not isinstance(node.item, One):
        _check_group(node)
        inner = _Cost(1, 0)
    else:
        inner = _cost(node.item, follows=follows)
    if node.most is None:
        return _Cost(inner.ways, int(follows and not node.possessive))
    return _Cost(
        inner.ways + node.most - node.least if once else node.most - node.least + 1, inner.open
    )


def _check_group(node: Repeat) -> None:
    if _can_skip(node.item):
        raise _AmbiguousError("a repeated group can match nothing")
    if not _deterministic(Repeat(node.item, 0, None)):
        raise _AmbiguousError("a repeated group can match the same text in several ways")


def _can_skip(node: Node) -> bool:
    """Whether it can match nothing, and so never fails."""
    match node:
        case Sequence(items):
            return all(map(_can_skip, items))
        case Choice(items):
            return any(map(_can_skip, items))
        case Repeat(item, least):
            return least == 0 or _can_skip(item)
    return False


# Glushkov's construction: the positions of a pattern are its single characters.


@dataclass(frozen=True)
class _Shape:
    """Which positions a match can begin and end with, and whether it can be empty."""

    first: frozenset[int]
    last: frozenset[int]
    empty: bool


class _Positions:
    def __init__(self) -> None:
        self.sets: list[Charset] = []
        self.follow: list[list[int]] = []  # one that comes twice can be reached in two ways

    def shape(self, node: Node) -> _Shape:
        match node:
            case One(charset):
                return self._one(charset)
            case Sequence(items):
                return self._chain([self.shape(item) for item in items])
            case Choice(items):
                shapes = [self.shape(item) for item in items]
                return _Shape(
                    frozenset().union(*(s.first for s in shapes)),
                    frozenset().union(*(s.last for s in shapes)),
                    any(s.empty for s in shapes),
                )
            case Repeat(item, least, most):
                return self._repeat(item, least, most)
            case Empty():
                return _Shape(frozenset(), frozenset(), True)
        raise _UnknownError

    def _one(self, charset: Charset) -> _Shape:
        if len(self.sets) >= _MAX_POSITIONS:
            raise _UnknownError
        self.sets.append(charset)
        self.follow.append([])
        here = frozenset([len(self.sets) - 1])
        return _Shape(here, here, False)

    def _chain(self, shapes: list[_Shape]) -> _Shape:
        done = _Shape(frozenset(), frozenset(), True)
        for shape in shapes:
            for end in done.last:
                self.follow[end] += shape.first
            done = _Shape(
                done.first | shape.first if done.empty else done.first,
                shape.last | done.last if shape.empty else shape.last,
                done.empty and shape.empty,
            )
        return done

    def _repeat(self, item: Node, least: int, most: int | None) -> _Shape:
        if most is None:
            shapes = [self.shape(item) for _ in range(max(least, 1))]
            for end in shapes[-1].last:
                self.follow[end] += shapes[-1].first
            done = self._chain(shapes)
            return _Shape(done.first, done.last, done.empty or least == 0)
        copies = []
        for count in range(most):
            shape = self.shape(item)
            copies.append(_Shape(shape.first, shape.last, shape.empty or count >= least))
        return self._chain(copies)


def _deterministic(node: Node) -> bool:
    """Whether it is certain that at each character there is at most one way to go on."""
    positions = _Positions()
    try:
        first = positions.shape(node).first
    except _UnknownError:
        return False
    ways = [[*first], *positions.follow]
    return all(
        positions.sets[a].disjoint(positions.sets[b])
        for choices in ways
        for a, b in combinations(choices, 2)
    )
