"""A long array of strings that stays in the file: items are decoded when they are asked for."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import overload

from pellucid.errors import UnsupportedError
from pellucid.weights.mapped import MappedFile

Raw = bytes  # inside the class, `bytes` is a method

_LENGTH = struct.Struct("<Q")

# Vocabularies have up to 262,144 tokens and merges up to 600,000; walking this many takes 0.4 s.
_MAX_STRINGS = 1 << 22


class Strings(Sequence[str]):
    """Strings as GGUF stores them: each is a length (u64), then that many bytes.

    Items should be UTF-8, but tokens of some vocabularies are not: `bytes(i)` gives any item as
    it is, while reading a string that is not UTF-8 raises FormatError.
    """

    def __init__(self, file: MappedFile, name: str, starts: array[int]) -> None:
        """`starts[i]` is where item i's length stands; one more entry says where the last ends."""
        self._file = file
        self._name = name
        self._starts = starts

    @classmethod
    def walk(cls, file: MappedFile, name: str, start: int, count: int) -> tuple[Strings, int]:
        """Find `count` strings from byte `start`; also returns where they end."""
        if count * _LENGTH.size > file.size - start:
            raise file.error(name, f"an array of {count} strings is more than the file holds")
        if count > _MAX_STRINGS:
            reason = f"an array of {count} strings, at most {_MAX_STRINGS} are read"
            raise UnsupportedError(f"{file.path}: {name}: {reason}")
        at, view, read = start, file.view, _LENGTH.unpack_from
        starts = array("q", [start])
        append = starts.append
        try:
            for _ in range(count):
                at += 8 + read(view, at)[0]
                append(at)
        except (struct.error, OverflowError):  # the length before led out of the file
            at = file.size + 1
        if at > file.size:
            i = bisect_right(starts, file.size) - 1
            raise file.error(f"{name}[{i}]", "the string goes beyond the file's end")
        return cls(file, name, starts), at

    def bytes(self, i: int) -> Raw:
        """Item i as it is in the file."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self._name} has {len(self)} items, none at {i}")
        i %= len(self)
        return self._file.view[self._starts[i] + 8 : self._starts[i + 1]].tobytes()

    def all_bytes(self) -> list[Raw]:
        """Every item as it is in the file, in order; much faster than one by one."""
        starts = self._starts
        start, stop = starts[0], starts[-1]
        block = self._file.view[start:stop].tobytes()
        at = start - 8
        return [block[i - at : j - start] for i, j in pairwise(starts)]

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> list[str]: ...
    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        return self._decoded(self.bytes(i), i)

    def __iter__(self) -> Iterator[str]:
        items = self.all_bytes()
        try:
            return iter([item.decode() for item in items])
        except UnicodeDecodeError:
            return map(self._decoded, items, range(len(items)))  # which tells where it is

    def __repr__(self) -> str:
        return f"<{len(self)} strings, {self._name}>"

    def _decoded(self, item: Raw, i: int) -> str:
        try:
            return item.decode()
        except UnicodeDecodeError:
            reason = f"not UTF-8: {item[:40]!r}; its bytes can be had with .bytes({i})"
            raise self._file.error(f"{self._name}[{i}]", reason) from None
