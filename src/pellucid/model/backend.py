"""What a model needs of whoever computes it."""

from __future__ import annotations

from typing import Protocol

from pellucid.model.cache import KeyValues
from pellucid.model.config import ModelConfig
from pellucid.model.forward import Weights
from pellucid.model.ops import Array
from pellucid.model.run import Run
from pellucid.weights.tensor import Floats, Tensor


class Runner(Protocol):
    """The forward, ready to be called."""

    def __call__(self, run: Run, /) -> Floats:
        """One pass: the wanted logits `[wanted, vocab]`. Shows `run.probe` what it asks for."""

    def unembed(self, rows: Floats) -> Floats:
        """The final norm and the output matrix: `[n, hidden]` float32 -> `[n, vocab]`."""

    def project(self, rows: Floats) -> Floats:
        """The output matrix alone: `[n, hidden]` float32 -> `[n, vocab]`."""


class Backend(Protocol):
    """Places weights, keeps keys and values, and runs the one forward its own way."""

    name: str

    def settings(self) -> dict[str, str]:
        """What decides its numbers, by the names of its options: equal settings, equal bits."""

    def weight(self, tensor: Tensor, *, vocabulary: bool = False) -> Array:
        """Place a stored tensor where this backend computes, `tensor.shape`.

        `vocabulary` marks the embedding and the output matrix, which packing treats with care.
        """

    def norm_weight(self, tensor: Tensor) -> Array:
        """Place the gain or the bias of a norm, always in float32.

        Norms are computed in float32, and a gain that is stored less one, as Gemma's are, would
        lose bits of what was stored in bfloat16.
        """

    def cache(self, config: ModelConfig) -> KeyValues:
        """Room for the keys and values of one sequence."""

    def runner(self, config: ModelConfig, weights: Weights) -> Runner:
        """The forward, ready to be called."""
