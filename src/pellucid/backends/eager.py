"""What the backends that compute each operation at once have in common."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from pellucid.model.cache import Cache
from pellucid.model.config import ModelConfig
from pellucid.model.forward import Forward, Weights
from pellucid.model.ops import Array, Ops
from pellucid.model.run import Run
from pellucid.weights.tensor import Floats


class Eager(Ops):
    """Runs the forward as it stands, operation by operation, on its own arrays."""

    @abstractmethod
    def allocate(self, shape: tuple[int, ...]) -> Array:
        """Room for keys or values, not initialised."""

    @abstractmethod
    def numpy(self, x: Array) -> Floats:
        """The numbers as a float32 numpy array on the host."""

    def settings(self) -> dict[str, str]:
        """What decides its numbers."""
        return {}

    def inference(self) -> AbstractContextManager[object]:
        """A context in which nothing is kept for gradients."""
        return nullcontext()

    @abstractmethod
    def array(self, x: Floats) -> Array:
        """Numbers of the host as this backend's own."""

    def site(self, x: Array, name: str, run: Run) -> Array:
        """x, or what has become of it."""
        probe = run.probe
        if probe is None or (name not in probe.reads and name not in probe.stops):
            return x
        rows = np.array(self.numpy(x), order="C").reshape(len(x), -1)
        probe.visit(name, rows)
        return self.array(rows.reshape(x.shape)) if name in probe.stops else x

    def cache(self, config: ModelConfig) -> Cache:
        """Rows of this backend's arrays."""
        return Cache(config.layers, config.kv_heads, config.head_dim, self.allocate, self.numpy)

    def runner(self, config: ModelConfig, weights: Weights) -> EagerRunner:
        """The forward itself, its result brought to the host."""
        return EagerRunner(Forward(config, weights, self), self)


class EagerRunner:
    """The forward as it stands."""

    def __init__(self, forward: Forward, ops: Eager) -> None:
        self._forward = forward
        self._ops = ops

    def __call__(self, run: Run) -> Floats:
        with self._ops.inference():
            return self._ops.numpy(self._forward(run))

    def unembed(self, rows: Floats) -> Floats:
        with self._ops.inference():
            return self._ops.numpy(self._forward.unembed(self._ops.array(rows)))

    def project(self, rows: Floats) -> Floats:
        with self._ops.inference():
            return self._ops.numpy(self._forward.project(self._ops.array(rows)))
