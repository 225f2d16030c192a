"""A weight file in the memory map, from which the readers cut tensors."""

from __future__ import annotations

import mmap
from math import prod
from os import fstat
from pathlib import Path
from stat import S_ISREG

import numpy as np

from pellucid.errors import FormatError, UnsupportedError
from pellucid.weights.tensor import Kind, Tensor

# Weights have at most 5 axes (convolutions over video); numpy itself stops at 32 or 64.
_MAX_AXES = 8


class MappedFile:
    """The bytes of a file, mapped read-only; nothing is read before it is looked at.

    The map lives as long as any tensor cut from it. A file that is shortened by someone else in
    the meantime ends the process (SIGBUS), as with every memory map: replace, don't rewrite.
    """

    def __init__(self, path: Path) -> None:
        """Raises FormatError if the file cannot be read, is empty, or is not a plain file."""
        self.path = path
        try:
            if not S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for ever
                raise self.error("", "not a file")
            with path.open("rb") as file:
                if not fstat(file.fileno()).st_size:
                    raise self.error("", "the file is empty")
                self.view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as error:
            raise self.error("", f"cannot be read: {error.strerror or error}") from None
        self.size = len(self.view)
        self._bytes = np.frombuffer(self.view, np.uint8)

    def error(self, place: str, reason: str) -> FormatError:
        return FormatError(self.path, place, reason)

    def tensor(self, name: str, shape: tuple[int, ...], kind: Kind, start: int) -> Tensor:
        """The tensor that starts at byte `start`; a scalar is a row of one number.

        Raises FormatError if the shape does not suit the kind or leaves the file, and
        UnsupportedError for more axes than weights have. Python's integers do not wrap, so a
        shape whose product exceeds 64 bits is simply too large for the file.
        """
        place = f"tensor {name}"
        if len(shape) > _MAX_AXES:
            reason = f"{len(shape)} dimensions, at most {_MAX_AXES} are read"
            raise UnsupportedError(f"{self.path}: {place}: {reason}")
        # With a 0 among its axes it needs no bytes, but numpy still multiplies the others.
        if kind.block_bytes * prod(axis or 1 for axis in shape) >= 1 << 62:
            raise self.error(place, f"the shape {list(shape)} is beyond any memory")
        rows, columns = prod(shape[:-1]), shape[-1] if shape else 1
        if columns % kind.block_size:
            blocks = f"{kind.name} blocks of {kind.block_size}"
            raise self.error(place, f"rows of {columns} numbers do not fill {blocks}")
        row_bytes = kind.row_bytes(columns)
        stop = start + rows * row_bytes
        if stop > self.size:
            raise self.error(place, f"ends at byte {stop}, beyond the file's {self.size}")
        return Tensor(name, shape, kind, self._bytes[start:stop].reshape(rows, row_bytes))

    def check_name(self, name: str, place: str) -> None:
        """Refuse names that could harm where they are shown (NUL, escapes) or stored (`../`)."""
        if not name.isprintable() or ".." in name.replace("\\", "/").split("/"):
            raise self.error(place, f"{ascii(name)[:80]} is not allowed as a name")
