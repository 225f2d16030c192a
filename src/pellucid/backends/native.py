"""The forward in C++: recorded once as a plan, executed for any rows with no Python between."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from pellucid.backends import _native
from pellucid.backends.isa import instruction_set
from pellucid.backends.lower import Lowered, Place, lower, lower_end
from pellucid.backends.record import End
from pellucid.errors import BackendError, ParameterError
from pellucid.model import sites
from pellucid.model.cache import KeyValues
from pellucid.model.config import ModelConfig
from pellucid.model.forward import Weights
from pellucid.model.run import Run
from pellucid.weights.quantise import quantised
from pellucid.weights.tensor import Floats, Tensor

_PACKED = {"q8": "Q8_0", "q4": "Q4_1"}
_CACHE_DTYPES = ("float16", "float32")
_MOST_THREADS = 1024
_VARIANTS = 8  # watched plans that are kept: one takes 60 ms to make, and its buffers take memory
ROWS_AT_ONCE = 128  # of a long prompt: bounds the buffers, and other sequences wait no longer


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

    def settings(self) -> dict[str, str]:
        """What decides its numbers; how many threads there are does not."""
        given = {
            "isa": self._isa or _native.available()[0],
            "cache_dtype": "float32" if self.full else "float16",
        }
        return given | ({"quantize": self.quantize} if self.quantize else {})

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

    def runner(self, config: ModelConfig, weights: Weights) -> PlanRunner:
        """Record the forward once; then each run is one call, or one for every 128 rows."""
        return PlanRunner(self, config, weights)


class PlanRunner:
    """A recorded plan that runs, and variants of it that stop at sites or keep what is there."""

    def __init__(self, backend: Native, config: ModelConfig, weights: Weights) -> None:
        self._backend = backend
        self._config = config
        self._weights = weights
        self._plain = self._lowered()
        self.plan = self._plain.plan
        self._variants: dict[object, Lowered] = {}  # none is here while a pass uses it

    def __call__(self, run: Run) -> Floats:
        probe = run.probe
        if probe is None:
            return self._pass(run, self._plain)
        key = (probe.reads, probe.stops)
        with self._variant(key, lambda: self._lowered(*key)) as variant:
            return self._pass(run, variant)

    def unembed(self, rows: Floats) -> Floats:
        return self._end("unembed", rows)

    def project(self, rows: Floats) -> Floats:
        return self._end("project", rows)

    def _end(self, end: End, rows: Floats) -> Floats:
        """The end of the forward, as a plan of its own."""
        with self._variant(end, lambda: self._ending(end)) as variant:
            out = np.empty((len(rows), variant.plan.width), np.float32)
            numbers = range(len(rows))
            variant.plan.write(variant.given, rows)
            variant.plan.execute(numbers, numbers, numbers, [], out)
            return out

    def _lowered(self, *probed: Collection[str]) -> Lowered:
        return lower(self._backend.engine, self._config, self._weights, self._backend.full, *probed)

    def _ending(self, end: End) -> Lowered:
        return lower_end(self._backend.engine, self._config, self._weights, end)

    @contextmanager
    def _variant(self, key: object, made: Callable[[], Lowered]) -> Iterator[Lowered]:
        """A variant that nobody else uses meanwhile; the last few are kept."""
        variant = self._variants.pop(key, None) or made()
        yield variant
        self._variants[key] = variant
        for oldest in list(self._variants)[:-_VARIANTS]:
            self._variants.pop(oldest, None)

    def _pass(self, run: Run, lowered: Lowered) -> Floats:
        ids, _, wanted = run.lists
        out = np.empty((len(wanted), self.plan.width), np.float32)
        caches = [s.cache or self._backend.cache(self._config) for s in run.segments]
        run.candidates = []
        for first in range(0, len(ids), ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, len(ids))
            _Rows(run, caches, first, last).run(lowered, out)
        return out


class _Rows:
    """Rows `first` to `last` of a run; those of one sequence that come later see these."""

    def __init__(self, run: Run, caches: Sequence[Any], first: int, last: int) -> None:
        self._run = run
        self._first = first
        self._wanted_first = 0
        self._kept: slice | None = None  # which of the wanted rows, if not all
        ids, positions, wanted = run.lists
        if len(ids) > last - first:
            self._wanted_first = bisect_left(wanted, first)
            self._kept = slice(self._wanted_first, bisect_left(wanted, last))
            ids, positions = ids[first:last], positions[first:last]
            wanted = [row - first for row in wanted[self._kept]]
        spans = []
        for span, cache in zip(run.spans, caches, strict=True):
            start, stop = max(span.start, first), min(span.stop, last)
            if start < stop:
                spans.append((start - first, stop - start, cache))
        self._batch = ids, positions, wanted, spans

    def run(self, lowered: Lowered, out: Floats) -> None:
        """Every part of the plan, and what a probe asks of it; `out` has all rows of the run."""
        logits = out if self._kept is None else out[self._kept]
        for part, stop in enumerate([*lowered.stops, None]):
            try:
                survey = self._run.survey and stop is None
                candidates = lowered.plan.execute(*self._batch, logits, part, survey)
            except OverflowError:
                raise BackendError(
                    "this model's keys or values are too large for float16: "
                    "keep them with cache_dtype='float32' (--cache-dtype float32)"
                ) from None
            if stop:
                lowered.plan.write(stop.buffer, self._visited(lowered.plan, stop))
        for kept in lowered.reads:
            self._visited(lowered.plan, kept)
        self._run.candidates += candidates

    def _visited(self, plan: Any, place: Place) -> Floats:
        """The rows of a site, shown to the probe."""
        probe = self._run.probe
        assert probe
        wanted = sites.wanted(place.site)
        rows = np.empty((len(self._batch[2 if wanted else 0]), place.width), np.float32)
        plan.read(place.buffer, rows)
        probe.visit(place.site, rows, self._wanted_first if wanted else self._first)
        return rows


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
