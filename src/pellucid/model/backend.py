"""What a model needs of whoever computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pellucid.model.cache import KeyValues
from pellucid.model.config import ModelConfig
from pellucid.model.forward import Weights
from pellucid.model.ops import Array
from pellucid.model.run import Run
from pellucid.weights.tensor import Floats, Tensor


class Backend(Protocol):
    """Places weights, keeps keys and values, and runs the one forward its own way."""

    name: str

    def weight(self, tensor: Tensor) -> Array:
        """Place a stored tensor where this backend computes, `tensor.shape`."""

    def cache(self, config: ModelConfig) -> KeyValues:
        """Room for the keys and values of one sequence."""

    def runner(self, config: ModelConfig, weights: Weights) -> Callable[[Run], Floats]:
        """The forward, ready to be called: a run -> the wanted logits `[wanted, vocab]`."""
