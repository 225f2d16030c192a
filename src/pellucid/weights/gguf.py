"""GGUF files: typed keys and values, then tensors in GGML's packed kinds.

The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Everything
that the file's head says is checked against the file's size before anything is allocated.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pellucid.errors import FormatError, UnsupportedError
from pellucid.weights.kinds import GGML, GGML_UNREAD
from pellucid.weights.mapped import MappedFile
from pellucid.weights.strings import Strings
from pellucid.weights.tensor import Kind, Tensor

# Far above what exists (about 70 keys and 1,100 tensors in files of 600 billion weights), and low
# enough that a file of nothing else is walked within a second.
_MAX_KEYS = 1 << 15
_MAX_TENSORS = 1 << 16
_MAX_NAME_BYTES = 65_535  # the specification's limit for keys
_MAX_AXES = 4  # GGML_MAX_DIMS

_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", _BOOL: "u1",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class GGUF(NamedTuple):
    """The contents of a file: strings as `Strings`, arrays of numbers as views of the map."""

    metadata: dict[str, Any]
    tensors: dict[str, Tensor]


def read_gguf(path: Path) -> GGUF:
    """The metadata and tensors of a file, version 2 or 3; of a split one, those of all its files.

    Raises FormatError if anything is not as the specification says, and UnsupportedError for
    what is valid but not read: version 1, big-endian, kinds of numbers not in `kinds.GGML`.
    """
    parts = [_read_one(shard) for shard in gguf_shards(path)]
    if len(parts) == 1 and _whole(parts[0].metadata.get("split.count", 1)) in (0, 1):
        return parts[0]
    tensors: dict[str, Tensor] = {}
    for number, part in enumerate(parts):
        said = tuple(_whole(part.metadata.get(f"split.{key}")) for key in ("no", "count"))
        if said != (number, len(parts)):
            reason = f"file {number} of {len(parts)}, but it calls itself {said[0]} of {said[1]}"
            raise FormatError(path, "split.no", reason)
        if twice := tensors.keys() & part.tensors.keys():
            raise FormatError(path, f"tensor {min(twice)}", "in two files of a split model")
        tensors |= part.tensors
    return GGUF(parts[0].metadata, tensors)


def gguf_shards(path: Path) -> list[Path]:
    """All files of the split model that `path` is one of, in order, or `path` alone.

    >>> [shard.name for shard in gguf_shards(Path("model.gguf"))]
    ['model.gguf']
    """
    match = _SHARD.fullmatch(path.name)
    if not match or not 1 <= int(match["number"]) <= int(match["count"]):
        return [path]
    shards, count = [], int(match["count"])
    for number in range(1, count + 1):
        shard = path.with_name(f"{match['stem']}-{number:05}-of-{count:05}.gguf")
        if not shard.is_file():
            raise FormatError(path, "", f"one of {count} files, of which {shard.name} is missing")
        shards.append(shard)
    return shards


def _whole(value: Any) -> int | None:
    """A whole number, or None: an array, say, which could not even be compared."""
    return value if type(value) is int else None


def _read_one(path: Path) -> GGUF:
    head = _Head(MappedFile(path))
    tensor_count, key_count = head.open()
    metadata: dict[str, Any] = {}
    for _ in range(key_count):
        key, value = head.pair()
        if key in metadata:
            raise head.file.error(f"key {key}", "given twice")
        metadata[key] = value
    infos = [head.tensor_info() for _ in range(tensor_count)]
    alignment = _alignment(head.file, metadata)
    start = -(-head.at // alignment) * alignment
    return GGUF(metadata, _tensors(head.file, infos, start, alignment))


class _Info(NamedTuple):
    """What the head says of one tensor; `offset` counts from where the tensors begin."""

    name: str
    shape: tuple[int, ...]
    kind: Kind
    offset: int


class _Head:
    """Reads the head of a file from front to back; `at` is the next byte."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.at = 0

    def open(self) -> tuple[int, int]:
        """Check magic and version; return how many tensors and keys follow."""
        if bytes(self.file.view[:4]) != b"GGUF":
            raise self.file.error("byte 0", "does not begin with GGUF: not a GGUF file")
        self.at = 4
        version = self.number(4, "version")
        if version == 1:
            raise self._unsupported("GGUF version 1 of 2023 is not read; convert the model again")
        if version in (2 << 24, 3 << 24):
            raise self._unsupported("big-endian GGUF is not read; convert it to little-endian")
        if version not in (2, 3):
            raise self.file.error("byte 4", f"GGUF version {version} is unknown")
        tensors = self._count("tensors", _MAX_TENSORS, least_bytes=24)
        keys = self._count("keys", _MAX_KEYS, least_bytes=13)
        return tensors, keys

    def pair(self) -> tuple[str, Any]:
        """The next key and its value."""
        key = self.name("key")
        place = f"key {key}"
        kind = self.number(4, place)
        if kind == _STRING:
            return key, self.text(place, self.file.size)
        if kind == _ARRAY:
            return key, self._array(place)
        return key, self._numbers(place, kind, 1)[0].item()

    def tensor_info(self) -> _Info:
        name = self.name("tensor")
        place = f"tensor {name}"
        axes = self.number(4, place)
        if axes > _MAX_AXES:
            raise self.file.error(place, f"{axes} dimensions, at most {_MAX_AXES} are allowed")
        fastest_first = [self.number(8, place) for _ in range(axes)]
        kind = self.number(4, place)
        if kind in GGML_UNREAD:
            raise self._unsupported(
                f"{place} is of kind {GGML_UNREAD[kind]}, which is not read; "
                "another quantisation of the model, such as Q4_K_M or Q8_0, is"
            )
        if kind not in GGML:
            raise self.file.error(place, f"the tensor type {kind} is unknown")
        return _Info(name, tuple(fastest_first[::-1]), GGML[kind], self.number(8, place))

    def name(self, what: str) -> str:
        name = self.text(f"{what} at byte {self.at}", _MAX_NAME_BYTES)
        self.file.check_name(name, what)
        return name

    def text(self, place: str, limit: int) -> str:
        length = self.number(8, place)
        if length > limit:
            raise self.file.error(place, f"a string of {length} bytes, at most {limit} fit here")
        data = self.file.view[self._advance(length, place) : self.at].tobytes()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            reason = f"not UTF-8 at byte {error.start} of the string"
            raise self.file.error(place, reason) from None

    def number(self, size: int, place: str) -> int:
        """The next unsigned integer of `size` bytes."""
        at = self._advance(size, place)
        return int.from_bytes(self.file.view[at : self.at], "little")

    def _count(self, what: str, limit: int, least_bytes: int) -> int:
        """A number of things that take at least `least_bytes` each."""
        count = self.number(8, f"number of {what}")
        if count > (self.file.size - self.at) // least_bytes:
            raise self.file.error("", f"{count} {what} do not fit in {self.file.size} bytes")
        if count > limit:
            raise self._unsupported(f"{count} {what}, at most {limit} are read")
        return count

    def _array(self, place: str) -> Any:
        kind, count = self.number(4, place), self.number(8, place)
        if kind == _ARRAY:
            raise self._unsupported(f"{place}: arrays within arrays are not read")
        if kind == _STRING:
            strings, self.at = Strings.walk(self.file, place, self.at, count)
            return strings
        return self._numbers(place, kind, count)

    def _numbers(self, place: str, kind: int, count: int) -> np.ndarray[Any, Any]:
        if kind not in _NUMBERS:
            raise self.file.error(place, f"the value type {kind} is unknown")
        dtype = np.dtype(_NUMBERS[kind])
        at = self._advance(count * dtype.itemsize, place)
        values = np.frombuffer(self.file.view, dtype, count, at)
        if kind == _BOOL:
            if count and values.max() > 1:
                raise self.file.error(place, f"{values.max()} is no boolean")
            return values.view(np.bool_)
        return values

    def _advance(self, size: int, place: str) -> int:
        """Step over `size` bytes and return where they begin."""
        at = self.at
        if size > self.file.size - at:
            raise self.file.error(place, f"goes beyond the file's end ({self.file.size} bytes)")
        self.at = at + size
        return at

    def _unsupported(self, reason: str) -> UnsupportedError:
        return UnsupportedError(f"{self.file.path}: {reason}")


def _alignment(file: MappedFile, metadata: dict[str, Any]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & alignment - 1:
        reason = f"must be a power of two, not {str(alignment)[:40]!r}"
        raise file.error("key general.alignment", reason)
    return alignment


def _tensors(file: MappedFile, infos: list[_Info], start: int, alignment: int) -> dict[str, Tensor]:
    """Cut the tensors out of the data, which begins at byte `start`."""
    tensors: dict[str, Tensor] = {}
    for name, shape, kind, offset in infos:
        if name in tensors:
            raise file.error(f"tensor {name}", "given twice")
        if offset % alignment:
            reason = f"its offset {offset} is not a multiple of {alignment}"
            raise file.error(f"tensor {name}", reason)
        tensors[name] = file.tensor(name, shape, kind, start + offset)
    _check_overlap(file, sorted((i.offset, tensors[i.name].nbytes, i.name) for i in infos))
    return tensors


def _check_overlap(file: MappedFile, spans: list[tuple[int, int, str]]) -> None:
    """No two tensors, given as (offset, bytes, name) in ascending order, may share bytes."""
    reached, last = 0, ""
    for offset, nbytes, name in spans:
        if nbytes and offset < reached:
            raise file.error(f"tensor {name}", f"overlaps tensor {last}")
        if nbytes:
            reached, last = offset + nbytes, name
