"""Ready-made changes of values inside the forward: what an `Edit` does to the rows of a site.

They are data: they can be written down, spelled on the command line, and made again.

>>> scale(0.5), clamp(-1, 1), read("replace:8")
(scale:0.5, clamp:-1,1, replace:8)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import ParameterError
from pellucid.model import positions as places
from pellucid.weights.tensor import Floats

Positions = npt.NDArray[np.int64]
Change = Callable[[Floats, Positions], Floats]


@dataclass(frozen=True, eq=False)
class ReadyMade:
    """A change by its name and arguments; call it with rows `[n, ...]` and positions `[n]`.

    Made by `scale(0.5)` and the like. `arguments` are numbers, float32 arrays and positions.
    """

    name: str
    arguments: Mapping[str, Any]

    def __call__(self, rows: Floats, positions: Positions) -> Floats:
        return _CHANGES[self.name](rows, positions, **self.arguments)

    def __repr__(self) -> str:
        told = ",".join(map(_spelled, self.arguments.values()))
        return f"{self.name}:{told}" if told else self.name

    def check(self, where: str, shape: tuple[int, ...]) -> None:
        """Refuse, with ParameterError, rows of a shape that its arrays do not fit.

        Those of `patch` are rows themselves; others are spread over a row as NumPy does it.
        """
        for name, value in self.arguments.items():
            if isinstance(value, np.ndarray):
                fits = value.shape[1:] == shape if name == "values" else _spreads(value, shape)
                if not fits:
                    given = f"{name} of shape {list(value.shape)}"
                    reason = f"{self.name} has {given}, and a row of {where} is {list(shape)}"
                    raise ParameterError("edit", reason)

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON: its `name`, and its arguments with arrays as lists, nothing lost."""
        return {"name": self.name, **{key: _plain(v) for key, v in self.arguments.items()}}


def from_dict(told: Mapping[str, Any]) -> ReadyMade:
    """The change that `to_dict` told of. Raises ParameterError where it tells of none."""
    arguments = dict(told)
    return _made(arguments.pop("name", None), (), arguments)


def read(text: str) -> ReadyMade:
    """A change as it is typed: `zero`, `scale:0.5`, `clamp:-1,1`, `clamp:,1`, `replace:8`.

    Raises ParameterError for what is none.
    """
    name, _, rest = text.partition(":")
    try:
        numbers = [float(part) if part else None for part in rest.split(",")] if rest else []
    except ValueError:
        reason = f"needs numbers behind {name!r:.40}, not {rest!r:.40}"
        raise ParameterError("edit", reason) from None
    return _made(name, numbers, {})


zero = ReadyMade("zero", MappingProxyType({}))  # ablation


def scale(factor: float) -> ReadyMade:
    """Times a number."""
    return ReadyMade("scale", {"factor": _number("factor", factor)})


def add(vector: npt.ArrayLike, factor: float = 1) -> ReadyMade:
    """Plus a vector, so many times: steering (Turner et al. 2023, arXiv:2308.10248)."""
    return ReadyMade("add", {"vector": _value("vector", vector),
                             "factor": _number("factor", factor)})  # fmt: skip


def clamp(low: float | None = None, high: float | None = None) -> ReadyMade:
    """No less than `low`, no more than `high`."""
    bounds = {"low": low, "high": high}
    given = {name: None if b is None else _number(name, b) for name, b in bounds.items()}
    least, most = given["low"], given["high"]
    if least is None and most is None:
        raise ParameterError("edit", "clamp needs low or high")
    if least is not None and most is not None and least > most:
        raise ParameterError("edit", f"clamp has low {least:g} above high {most:g}")
    return ReadyMade("clamp", given)


def replace(value: npt.ArrayLike) -> ReadyMade:
    """A number or a vector instead of each row."""
    return ReadyMade("replace", {"value": _value("value", value)})


def mean(rows: npt.ArrayLike) -> ReadyMade:
    """The mean of rows of other runs, `[n, ...]`, instead of each row: mean ablation."""
    return replace(_rows("rows", rows).mean(axis=0, dtype=np.float64))


def patch(values: npt.ArrayLike, at: places.Given | None = None) -> ReadyMade:
    """The rows that another run had, `[n, ...]`, instead of those at these positions.

    Activation patching, or interchange (Vig et al. 2020, arXiv:2004.12265; Geiger et al. 2021,
    arXiv:2106.02997). They go to positions 0 to n - 1 unless `at` says where; rows at others stay.
    """
    rows = _rows("values", values)
    where = range(len(rows)) if at is None else _listed(places.chosen(at), len(rows))
    if len(where) != len(rows) or len(set(where)) != len(rows):
        reason = f"patch has {len(rows)} rows of values, and other positions than so many"
        raise ParameterError("edit", reason)
    order = np.argsort(where)  # so that they can be searched
    sorted_at = tuple(np.asarray(where)[order].tolist())
    return ReadyMade("patch", {"values": _kept(rows[order]), "at": sorted_at})


def _patched(rows: Floats, positions: Positions, values: Floats, at: tuple[int, ...]) -> Floats:
    place = np.minimum(np.searchsorted(at, positions), len(at) - 1)
    known = np.asarray(at)[place] == positions
    rows = rows.copy()
    rows[known] = values[place[known]]
    return rows


_CHANGES: dict[str, Callable[..., Floats]] = {
    "zero": lambda rows, _: np.zeros_like(rows),
    "scale": lambda rows, _, factor: rows * np.float32(factor),
    "add": lambda rows, _, vector, factor: rows + vector * np.float32(factor),
    "clamp": lambda rows, _, low, high: np.clip(rows, low, high),
    "replace": lambda rows, _, value: np.full_like(rows, value),
    "patch": _patched,
}
_MAKERS: dict[str, Callable[..., ReadyMade]] = {
    "zero": lambda: zero, "scale": scale, "add": add, "clamp": clamp, "replace": replace,
    "patch": patch,
}  # fmt: skip


def _made(name: Any, numbers: Any, arguments: Mapping[str, Any]) -> ReadyMade:
    """The change of this name. Raises ParameterError for an unknown one, or other arguments."""
    if not isinstance(name, str) or name not in _MAKERS:
        raise ParameterError("edit", f"{name!r:.60} is no change; there are {', '.join(_MAKERS)}")
    needed = signature(_MAKERS[name])
    try:
        given = needed.bind(*numbers, **arguments)
    except TypeError as error:
        takes = ", ".join(needed.parameters) or "nothing"
        raise ParameterError("edit", f"{name} takes {takes}: {error}") from None
    return _MAKERS[name](*given.args, **given.kwargs)


def _number(name: str, given: Any) -> float:
    if _array(name, given).ndim:
        raise ParameterError("edit", f"{name} must be a number, not {given!r:.60}")
    return float(given)


def _value(name: str, given: Any) -> float | Floats:
    """A number, or an array of them."""
    array = _array(name, given)
    return _kept(array) if array.ndim else float(given)


def _rows(name: str, given: Any) -> Floats:
    rows = _array(name, given)
    if not rows.ndim or not len(rows):
        raise ParameterError("edit", f"{name} must be rows of values of a run, not {given!r:.60}")
    return rows


def _array(name: str, given: Any) -> Floats:
    """Numbers that float32 has, as an array of our own."""
    try:
        array = np.asarray(given)
    except ValueError:  # lists of unequal length
        array = np.asarray(None)
    if array.dtype.kind not in "fiu":
        raise ParameterError("edit", f"{name} must be numbers, not {given!r:.60}")
    with np.errstate(over="ignore"):
        floats = array.astype(np.float32)
    if not np.isfinite(floats).all():
        raise ParameterError("edit", f"{name} must be finite numbers, as float32 has them")
    return floats


def _kept(array: Floats) -> Floats:
    """An array that nobody writes to."""
    array.setflags(write=False)
    return array


def _listed(where: places.Chosen, count: int) -> Sequence[int]:
    """Positions one by one; of an open range so many."""
    if isinstance(where, tuple):
        return where
    stop = where.start + count * where.step if where.stop is None else where.stop
    return range(where.start, stop, where.step)


def _spreads(value: Floats, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _spelled(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:g}"
        case tuple():
            return f"at {len(value)} positions"
    return f"{list(value.shape)}"
