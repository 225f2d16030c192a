"""The forward in C++: recorded once as a plan, executed for any rows with no Python between."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from pellucid.backends import _native
from pellucid.backends.isa import instruction_set
from pellucid.backends.record import Recorder, Step, Value
from pellucid.errors import BackendError, ParameterError, UnsupportedError
from pellucid.model.cache import KeyValues
from pellucid.model.config import ModelConfig
from pellucid.model.forward import Weights
from pellucid.model.run import Run
from pellucid.weights.quantise import quantised
from pellucid.weights.tensor import Floats, Tensor

_PACKED = {"q8": "Q8_0", "q4": "Q4_1"}
_CACHE_DTYPES = ("float16", "float32")
_LARGEST_HEAD = 512  # dimensions; the native attention has room for so many
_MOST_THREADS = 1024
ROWS_AT_ONCE = 256  # of a long prompt: bounds the buffers, and other sequences wait no longer
_ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu")


class Native:
    """Packs weights, and runs the forward as a plan of the native module.

    `threads` are those this process may use, unless given. `isa` is one of `_native.available()`,
    the best by default; the environment variable PELLUCID_ISA says it too. `quantize` packs the
    matrices of a file that holds floats: "q8", or "q4" (then the vocabulary's to 8 bits). Keys and
    values are kept as `cache_dtype`: float32 takes twice the memory, and time where it is read.
    Several threads may use one backend, one pass at a time; a sequence serves one pass at a time.
    Raises ParameterError for a value that none of these can have; and, when the threads are first
    needed, BackendError where the system has no room for so many.
    """

    name = "native"

    def __init__(
        self,
        threads: int | None = None,
        isa: str | None = None,
        quantize: str | None = None,
        cache_dtype: str = "float16",
    ) -> None:
        if quantize not in (None, *_PACKED):
            raise ParameterError(
                "quantize", f"must be one of {', '.join(_PACKED)}, not {quantize!r}"
            )
        if cache_dtype not in _CACHE_DTYPES:
            raise ParameterError(
                "cache_dtype", f"must be one of {', '.join(_CACHE_DTYPES)}, not {cache_dtype!r}"
            )
        self.quantize = quantize
        self.full = cache_dtype == "float32"
        self._isa = instruction_set(isa)
        self._threads = _cores() if threads is None else _checked(threads)
        self._engine: Any = None
        self._starting = Lock()

    @property
    def engine(self) -> Any:
        """The threads and the kernels they run; started when first asked for."""
        with self._starting:
            if self._engine is None:
                self._engine = self._started()
            return self._engine

    def _started(self) -> Any:
        try:
            return _native.Engine(self._threads, self._isa)
        except RuntimeError as error:
            reason = f"{self._threads} threads cannot be started: {error}"
            raise BackendError(reason) from error

    def weight(self, tensor: Tensor, *, vocabulary: bool = False) -> Any:
        """A matrix in tiles, as its kind packs it; a vector as float32."""
        if len(tensor.shape) == 1:
            return tensor.float32()
        if self.quantize and tensor.kind.block_size == 1:
            tensor = quantised(tensor, "Q8_0" if vocabulary else _PACKED[self.quantize])
        known = _native.can_pack(tensor.kind.name, tensor.shape[-1])
        # None too where float16 cannot hold what the kernels need of the scales.
        packed = self._pack(tensor) if known else None
        return self._pack(Tensor.of(tensor.name, tensor.float32())) if packed is None else packed

    def _pack(self, tensor: Tensor) -> Any:
        rows, columns = tensor.shape
        return self.engine.pack(tensor.kind.name, np.ascontiguousarray(tensor.data), rows, columns)

    def norm_weight(self, tensor: Tensor) -> Floats:
        """A vector of float32."""
        return tensor.float32()

    def cache(self, config: ModelConfig) -> KeyValues:
        """Pages of keys and values, shared by forks until written."""
        sizes = (config.layers, config.kv_heads, config.head_dim)
        made: KeyValues = _native.Sequence(self.engine, *sizes, self.full)
        return made

    def runner(self, config: ModelConfig, weights: Weights) -> Callable[[Run], Floats]:
        """Record the forward once; then each run is one call, or one for every 256 rows."""
        return PlanRunner(self, config, weights)


class PlanRunner:
    """A recorded plan that runs."""

    def __init__(self, backend: Native, config: ModelConfig, weights: Weights) -> None:
        self._backend = backend
        self._config = config
        self.plan = lower(backend.engine, config, weights, backend.full)

    def __call__(self, run: Run) -> Floats:
        out = np.empty((len(run.wanted), self.plan.width), np.float32)
        caches = [s.cache or self._backend.cache(self._config) for s in run.segments]
        for first in range(0, len(run.ids), ROWS_AT_ONCE):
            self._rows(run, caches, first, min(first + ROWS_AT_ONCE, len(run.ids)), out)
        return out

    def _rows(self, run: Run, caches: list[Any], first: int, last: int, out: Floats) -> None:
        """Rows `first` to `last` of a run; those of one sequence that come later see these."""
        spans = []
        for span, cache in zip(run.spans, caches, strict=True):
            start, stop = max(span.start, first), min(span.stop, last)
            if start < stop:
                spans.append((start - first, stop - start, cache))
        some = (run.wanted >= first) & (run.wanted < last)
        wanted = run.wanted[some] - first
        logits = np.empty((len(wanted), self.plan.width), np.float32)
        try:
            self.plan.execute(run.ids[first:last], run.positions[first:last], wanted, spans, logits)
        except OverflowError:
            raise BackendError(
                "this model's keys or values are too large for float16: "
                "keep them with cache_dtype='float32' (--cache-dtype float32)"
            ) from None
        out[some] = logits


def _checked(threads: int) -> int:
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise ParameterError("threads", f"must be a whole number, not {threads!r}")
    if not 1 <= threads <= _MOST_THREADS:
        raise ParameterError("threads", f"must be 1 to {_MOST_THREADS}, not {threads}")
    return threads


def _cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    return min(os.cpu_count() or 1, _MOST_THREADS)


def lower(engine: Any, config: ModelConfig, weights: Weights, full: bool = False) -> Any:
    """Record the forward, share out buffers by lifetime, and write the native plan.

    `full` keeps keys and values as float32. Raises UnsupportedError for heads beyond 512.
    """
    if config.head_dim > _LARGEST_HEAD:
        raise UnsupportedError(
            f"heads of {config.head_dim} dimensions: the native backend has room for "
            f"{_LARGEST_HEAD}; the reference backend takes any"
        )
    recorder = Recorder()
    result = recorder.record(config, weights)
    plan = _native.Plan(engine, config.layers, config.kv_heads, config.head_dim, full)
    lowering = _Lowering(plan, recorder)
    for place, step in enumerate(recorder.steps):
        lowering.write(place, step)
    plan.finish(lowering.buffer_of[result.number])
    return plan


class _Lowering:
    """Values become buffers: one is free again after the last step that reads its value."""

    def __init__(self, plan: Any, recorder: Recorder) -> None:
        self.plan = plan
        self.values = recorder.values
        self.last_read: dict[int, int] = {}
        for place, step in enumerate(recorder.steps):
            for number in step.reads:
                self.last_read[number] = place
        self.buffer_of: dict[int, int] = {}
        self.free: dict[tuple[int, bool], list[int]] = {}
        self.quantised: dict[int, int] = {}  # value -> its 16-bit form
        self.free_quantised: dict[tuple[int, bool], list[int]] = {}

    def write(self, place: int, step: Step) -> None:
        value = self.values[step.made]
        reads = [self.buffer_of[number] for number in step.reads]
        out = self._buffer(value)
        getattr(self, "_" + step.kind)(out, reads, step)
        for number in set(step.reads):
            if self.last_read[number] == place:
                done = self.values[number]
                size = (done.width, done.wanted)
                self.free.setdefault(size, []).append(self.buffer_of[number])
                if number in self.quantised:
                    self.free_quantised.setdefault(size, []).append(self.quantised[number])

    def _buffer(self, value: Value) -> int:
        free = self.free.get((value.width, value.wanted))
        number = free.pop() if free else self.plan.buffer(value.width, value.wanted)
        self.buffer_of[value.number] = number
        return number

    def _embed(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.embed(out, step.settings["table"], step.settings["by_position"])

    def _linear(self, out: int, reads: list[int], step: Step) -> None:
        matrix, bias = step.settings["matrix"], step.settings["bias"]
        quantised = -1
        if matrix.coded:
            (number,) = step.reads
            if number not in self.quantised:
                self.quantised[number] = self._quantise(number)
            quantised = self.quantised[number]
        self.plan.linear(out, reads[0], matrix, _listed(bias), quantised)

    def _quantise(self, number: int) -> int:
        value, buffer = self.values[number], self.buffer_of[number]
        free = self.free_quantised.get((value.width, value.wanted))
        into: int = free.pop() if free else self.plan.quantised(buffer)
        self.plan.quantise(buffer, into)
        return into

    def _norm(self, out: int, reads: list[int], step: Step) -> None:
        s = step.settings
        self.plan.norm(
            out,
            reads[0],
            _listed(s["weight"]),
            _listed(s["bias"]),
            s["groups"],
            s["eps"],
            s["centre"],
        )

    def _turns(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.turns(out, _listed(step.settings["frequencies"]), step.settings["gain"])

    def _rotate(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.rotate(out, *reads, step.settings["heads"])

    def _attend(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.attend(out, *reads, **step.settings)

    def _activate(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.activate(out, *reads, _ACTIVATIONS.index(step.settings["act"]))

    def _add(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.add(out, *reads)

    def _multiply(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.multiply(out, *reads)

    def _scale(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.scale(out, *reads, step.settings["by"])

    def _softcap(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.softcap(out, *reads, step.settings["cap"])

    def _take(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.take(out, *reads)

    def _experts(self, out: int, reads: list[int], step: Step) -> None:
        s = step.settings
        experts = s["experts"]
        self.plan.experts(
            out, *reads, experts, s["chosen"], s["renormalise"], _ACTIVATIONS.index(s["act"])
        )


def _listed(vector: Any) -> list[float]:
    return [] if vector is None else vector.tolist()
