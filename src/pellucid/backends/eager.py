"""What the backends that compute each operation at once have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

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

    def inference(self) -> AbstractContextManager[object]:
        """A context in which nothing is kept for gradients."""
        return nullcontext()

    def cache(self, config: ModelConfig) -> Cache:
        """Rows of this backend's arrays."""
        return Cache(config.layers, config.kv_heads, config.head_dim, self.allocate)

    def runner(self, config: ModelConfig, weights: Weights) -> Callable[[Run], Floats]:
        """The forward itself, its result brought to the host."""
        forward = Forward(config, weights, self)

        def run(run: Run) -> Floats:
            with self.inference():
                return self.numpy(forward(run))

        return run
