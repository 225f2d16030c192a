"""A native plan, measured: what each operation of a pass reads, computes and takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from pellucid.backends import _native
from pellucid.backends.native import ROWS_AT_ONCE
from pellucid.errors import BackendError, ParameterError
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment

_FEWEST_PASSES = 5
_LIMIT_BYTES = 256 << 20  # several times what a processor's caches hold
_LIMIT_READINGS = 8

# Additions, multiplications and the like for each number an operation makes; those that take a
# function (exp, cos, tanh) count it as one. A linear operation counts its weights instead.
_PER_NUMBER = {
    "norm": 4, "turns": 3, "rotate": 3, "activate": 4, "softcap": 3, "quantise": 3, "logits": 4,
    "add": 1, "multiply": 1, "scale": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One operation of a pass.

    `shape` is what a row becomes; `bytes` are read from or written to where weights, keys and
    values are kept (rows between operations stay in the processor's caches); `arithmetic` counts
    additions and multiplications; `seconds` are of the pass, of which a thread, on the mean, had
    nothing to do for `waited`.
    """

    kind: str
    shape: str
    bytes: int
    arithmetic: int
    seconds: float
    waited: float


@dataclass(frozen=True)
class MeasuredPlan:
    """The operations of a pass of `rows` tokens after `context` others, in their order.

    `pass_seconds` is the whole call from Python; `memory_limit` is in bytes a second.
    """

    operations: tuple[Operation, ...]
    rows: int
    context: int
    threads: int
    isa: str
    pass_seconds: float
    memory_limit: float

    @property
    def bytes(self) -> int:
        """What a pass reads: of a pass of one row, the bytes of a token."""
        return sum(operation.bytes for operation in self.operations)


def measure(
    model: Model, *, context: int = 32, rows: int = 1, seconds: float = 0.5
) -> MeasuredPlan:
    """Run passes for about `seconds`, and take the median of each operation's time.

    Raises ParameterError for lengths that the model or one pass has no room for, and
    BackendError for a model that is not on the native backend.
    """
    plan = getattr(model.run, "plan", None)
    if plan is None:
        raise BackendError(f"the {model.backend.name} backend has no plan; the native one has")
    _check(model.config.context_length, context, rows)
    engine = model.backend.engine  # type: ignore[attr-defined]  # it is the native one
    walls, times = _passes(model, plan, context, rows, seconds)
    operations = (
        Operation(entry["kind"], shape(entry), *work(entry, rows, context), *_medians(taken))
        for entry, taken in zip(plan.describe(), zip(*times, strict=True), strict=True)
    )
    limit = memory_limit(engine.threads)
    return MeasuredPlan(
        tuple(operations), rows, context, engine.threads, engine.isa, median(walls), limit
    )


def memory_limit(threads: int) -> float:
    """Bytes a second that this many threads read from memory: the best of a few readings."""
    rates: list[float] = _native.read_bandwidth(_LIMIT_BYTES, threads, _LIMIT_READINGS)
    return max(rates)


def shape(entry: Mapping[str, Any]) -> str:
    """What a row becomes: "576 -> 1536" of a linear operation, else its width."""
    if entry["kind"] == "linear":
        return f"{entry['columns']} -> {entry['rows']}"
    return str(entry["width"] or entry["read"])


def work(entry: Mapping[str, Any], rows: int, context: int) -> tuple[int, int]:
    """The bytes and the arithmetic of an operation of `Plan.describe` in one pass."""
    made = 1 if entry["wanted"] else rows  # one sequence wants the logits of its last row
    match entry["kind"]:
        case "linear":
            return entry["bytes"], 2 * entry["numbers"] * made
        case "embed" | "position":
            return entry["bytes"] // entry["rows"] * made, 0
        case "experts":
            used = min(entry["experts"], entry["chosen"] * made)
            mixed = entry["numbers"] * entry["chosen"] // entry["experts"]
            return entry["bytes"] * used // entry["experts"], 2 * mixed * made
        case "store":
            return entry["key_bytes"] * rows, 0
        case "attend":
            return _attention(entry, rows, context)
        case kind:
            width = entry["width"] or entry["read"]
            return 0, _PER_NUMBER.get(kind, 0) * width * made


def _attention(entry: Mapping[str, Any], rows: int, context: int) -> tuple[int, int]:
    """Each query meets the keys up to its own position, or those of its window."""
    window = entry["window"] or context + rows
    met = sum(min(position + 1, window) for position in range(context, context + rows))
    apart = min(context + rows, window + rows - 1)  # keys that any of the rows meets
    return entry["key_bytes"] * apart, 4 * entry["width"] * met


def _check(context_length: int, context: int, rows: int) -> None:
    if not 1 <= rows <= ROWS_AT_ONCE:
        raise ParameterError("rows", f"must be 1 to {ROWS_AT_ONCE}, the rows of one pass")
    if not 0 <= context <= context_length - rows:
        room = f"the model's context has {context_length}"
        raise ParameterError("context", f"must be 0 or more, and with {rows} rows fit: {room}")


Times = list[tuple[float, float]]  # of each operation: all its seconds, those it waited


def _passes(
    model: Model, plan: Any, context: int, rows: int, seconds: float
) -> tuple[list[float], list[Times]]:
    """The seconds of whole passes, and of the operations of each."""
    cache = model.new_cache()
    ids = [position % model.config.vocab_size for position in range(context + rows)]
    if context:
        model.forward(Run([Segment(ids[:context], cache)]))
    walls: list[float] = []
    times: list[Times] = []
    plan.measuring = True
    end = time.perf_counter() + seconds
    while len(walls) < _FEWEST_PASSES or time.perf_counter() < end:
        before = _times(plan)
        start = time.perf_counter()
        model.forward(Run([Segment(ids[context:], cache)], survey=True))  # as for choosing
        walls.append(time.perf_counter() - start)
        cache.trim(context)
        pairs = zip(before, _times(plan), strict=True)
        times.append([(b[0] - a[0], b[1] - a[1]) for a, b in pairs])
    plan.measuring = False
    return walls, times


def _times(plan: Any) -> Times:
    return [(entry["seconds"], entry["waited"]) for entry in plan.describe()]


def _medians(taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return median(seconds for seconds, _ in taken), median(waited for _, waited in taken)
