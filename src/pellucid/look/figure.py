"""A figure: what an interactive drawing is given, and how its numbers travel to a browser.

The drawing itself is `web/src/figures/<kind>.ts`; `look/page.py` puts figures into a file that
needs nothing else, `look/widget.py` into a notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.look.visible import visible

_ARRAY = "$array"
# What JavaScript has typed arrays for; its numbers hold 53 bits, so int64 is none of them.
_DTYPES = ("float32", "float64", "int8", "int16", "int32", "uint8", "uint16", "uint32")


@dataclass(frozen=True)
class Figure:
    """`kind` names the drawing, `title` what it shows, `hint` what to look for, in one line.

    `data` is what JSON can carry, and NumPy arrays anywhere in it, which the drawing gets as typed
    arrays with their shapes.
    """

    kind: str
    title: str
    hint: str
    data: Mapping[str, Any]


class Packed:
    """Figures as JSON, their arrays set apart: one that several share travels once.

    Raises TypeError for what cannot travel: a program's mistake, not a user's.

    >>> packed = Packed([Figure("bars", "Shares", "", {"shares": np.ones(2, np.float32)})])
    >>> packed.figures[0]["data"]
    {'shares': {'$array': 0, 'dtype': 'float32', 'shape': [2]}}
    >>> packed.arrays[0].nbytes
    8
    """

    def __init__(self, figures: Iterable[Figure]) -> None:
        self.arrays: list[npt.NDArray[Any]] = []  # C-contiguous, little-endian
        self._places: dict[int, int] = {}  # where the array of an id is
        self._sources: list[npt.NDArray[Any]] = []  # held, as an id means the object that lives
        self.figures = [
            {"kind": f.kind, "title": f.title, "hint": f.hint, "data": self._json(f.data)}
            for f in figures
        ]

    def _json(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._reference(value)
        if isinstance(value, Mapping):
            if _ARRAY in value:
                raise TypeError(f"{_ARRAY!r} is no key of a figure's data: it marks an array")
            return {str(key): self._json(inner) for key, inner in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [self._json(inner) for inner in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"a figure's data cannot hold {type(value).__name__}")

    def _reference(self, array: npt.NDArray[Any]) -> dict[str, Any]:
        if array.dtype.name not in _DTYPES:
            raise TypeError(f"a figure's arrays are {', '.join(_DTYPES)}, not {array.dtype}")
        if id(array) not in self._places:
            self._places[id(array)] = len(self.arrays)
            self._sources.append(array)
            self.arrays.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
        place = self._places[id(array)]
        return {_ARRAY: place, "dtype": array.dtype.name, "shape": list(array.shape)}


def labels(pieces: Iterable[str | bytes]) -> list[str]:
    r"""Tokens as figures write them: spaces, line ends and lone bytes can be seen.

    >>> labels([b" cat", b"\n"])
    ['␣cat', '↵']
    """
    return [visible(piece) for piece in pieces]


@cache
def script() -> str:
    """The JavaScript of all drawings: a module, bundled from `web/src`."""
    return files("pellucid.look").joinpath("figures.js").read_text("utf-8")
