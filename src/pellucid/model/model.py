"""A model that answers: a checkpoint's weights, the forward, and room for its caches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pellucid.model.bind import bind, load_weights
from pellucid.model.cache import Cache
from pellucid.model.config import ModelConfig
from pellucid.model.describe import describe
from pellucid.model.forward import Forward, Weights
from pellucid.model.ops import Ops
from pellucid.model.run import Run
from pellucid.weights.checkpoint import Checkpoint


class Model:
    """ids -> logits on one backend. `forward` is what the engine calls."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        self.config = config
        self.ops = ops
        self.compute = Forward(config, weights, ops)

    @classmethod
    def open(cls, checkpoint: Checkpoint, ops: Ops, *, context_length: int | None = None) -> Model:
        """Describe, bind and place a checkpoint. Raises FormatError or UnsupportedError."""
        config = describe(checkpoint, context_length)
        return cls(config, load_weights(bind(checkpoint, config), config, ops), ops)

    def new_cache(self) -> Cache:
        """An empty cache for one sequence."""
        c = self.config
        return Cache(c.layers, c.kv_heads, c.head_dim, self.ops.allocate)

    def forward(self, run: Run) -> npt.NDArray[np.float32]:
        """One pass: the logits of the wanted rows, `[wanted, vocab]`; caches then hold the rows."""
        with self.ops.inference():
            logits = self.ops.numpy(self.compute(run))
        for segment in run.segments:
            if segment.cache:
                segment.cache.advance(len(segment.ids))
        return logits
