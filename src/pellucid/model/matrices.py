"""Pieces of a model's weights as numbers, for whoever explains what they did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.model.bind import bind
from pellucid.model.config import ModelConfig
from pellucid.model.embeddings import Embeddings
from pellucid.model.ops import Linear, Norm
from pellucid.weights.checkpoint import Checkpoint
from pellucid.weights.tensor import Floats


class Matrices:
    """A checkpoint's weights, float32 as the file says them, unpacked when they are asked for.

    A backend may have packed or rounded its own. Raises FormatError as `bind` does.
    """

    def __init__(self, checkpoint: Checkpoint, config: ModelConfig) -> None:
        self._config = config
        self._bound = bind(checkpoint, config)

    def embedding(self) -> Embeddings:
        """The vectors of all tokens, as they are stored: not scaled yet, where a family scales."""
        return Embeddings(self._bound["embed.weight"])

    def unembedding(self, tokens: Sequence[int]) -> Linear:
        """The rows of the output matrix that give these tokens' logits: `[n, hidden]`, `[n]`."""
        name = "embed.weight" if self._config.tied_embeddings else "head.weight"
        rows = np.array(tokens, np.intp)
        bias = self._vector("head.bias")
        return Linear(self._bound[name].take(rows).float32(), None if bias is None else bias[rows])

    def position(self, at: int) -> Floats | None:
        """What the embedding adds for a position `[hidden]`, where positions are learned."""
        if "positions.weight" not in self._bound:
            return None
        row: Floats = self._bound["positions.weight"].take(slice(at, at + 1)).float32()[0]
        return row

    def attention_out(self, layer: int) -> Linear:
        """What joins the heads: `[hidden, heads * head_dim]`."""
        return self._linear(f"layers.{layer}.attn.o")

    def mlp_down(self, layer: int) -> Linear:
        """What projects the neurons of a dense layer down: `[hidden, intermediate]`."""
        return self._linear(f"layers.{layer}.mlp.down")

    def norm(self, name: str) -> Norm | None:
        """A norm by its name in `model.bind`; None where the family has none there."""
        gain = self._vector(f"{name}.weight")
        return None if gain is None else Norm(gain, self._vector(f"{name}.bias"))

    def _linear(self, name: str) -> Linear:
        return Linear(self._bound[f"{name}.weight"].float32(), self._vector(f"{name}.bias"))

    def _vector(self, name: str) -> Floats | None:
        return self._bound[name].float32() if name in self._bound else None
