"""Plans of one operation, to try it on rows of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.backends import _native
from pellucid.weights.tensor import Floats, Tensor

Doubles = npt.NDArray[np.float64]


class Tried:
    """A plan that is written operation by operation, and the rows that it starts from."""

    def __init__(self, engine: Any, kv_heads: int = 1, head_dim: int = 16, full: bool = False):
        self.engine = engine
        self.sizes = (1, kv_heads, head_dim, full)
        self.plan = _native.Plan(engine, *self.sizes)
        self.numbers = 0

    def put(self, rows: Floats) -> int:
        """A buffer that holds these rows, `[rows, width]`."""
        self.numbers = len(rows)
        buffer: int = self.plan.buffer(rows.shape[1], False)
        self.plan.embed(buffer, packed(self.engine, Tensor.of("rows", rows)), False)
        return buffer

    def buffer(self, width: int) -> int:
        made: int = self.plan.buffer(width, False)
        return made

    def linear(self, a: int, matrix: Any, bias: list[float] | None = None) -> int:
        """A linear operation on a buffer; the buffer of its result."""
        out = self.buffer(matrix.shape[0])
        into = -1
        if matrix.coded:
            into = self.plan.quantised(a)
            self.plan.quantise(a, into)
        self.plan.linear(out, a, matrix, bias or [], into)
        return out

    def finish(self, out: int, width: int) -> None:
        """The buffer to be read."""
        result = self.plan.buffer(width, True)
        self.plan.take(result, out)
        self.plan.finish(result)

    def run(
        self, first: int = 0, last: int | None = None, start: int = 0, sequence: Any = None
    ) -> Floats:
        """What becomes of rows `first` to `last`, at positions from `start` on."""
        ids = np.arange(first, self.numbers if last is None else last)
        wanted = np.arange(len(ids))
        out = np.full((len(ids), self.plan.width), np.nan, np.float32)
        spans = [(0, len(ids), sequence)] if sequence else []
        self.plan.execute(ids, ids - first + start, wanted, spans, out)
        return out

    def read(self, out: int, width: int) -> Floats:
        """Finish with this buffer, and run all rows."""
        self.finish(out, width)
        return self.run()


def packed(engine: Any, tensor: Tensor) -> Any:
    """A matrix of the native module."""
    rows, columns = tensor.shape
    return engine.pack(tensor.kind.name, np.ascontiguousarray(tensor.data), rows, columns)


def unpacked(matrix: Any) -> Floats:
    """The numbers that a matrix of the native module holds."""
    out = np.empty(matrix.shape, np.float32)
    for number, row in enumerate(out):
        matrix.row(number, row)
    return out


def normal(seed: int, *shape: int) -> Floats:
    """Numbers like a model's, with a few that are large."""
    random = np.random.default_rng(seed)
    numbers = random.standard_normal(shape, np.float32)
    numbers[random.random(shape) < 0.01] *= 20
    return numbers


def worst(ours: Floats, exact: Doubles) -> float:
    """The largest difference, over the largest number; NaN anywhere gives NaN."""
    assert ours.shape == exact.shape
    return float(np.abs(ours - exact).max() / max(np.abs(exact).max(), 1e-30))
