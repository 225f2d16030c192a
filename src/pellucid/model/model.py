"""A model that answers: a checkpoint's weights, the forward, and room for its caches."""

from __future__ import annotations

from pellucid.model.backend import Backend
from pellucid.model.bind import bind, load_weights
from pellucid.model.cache import KeyValues
from pellucid.model.config import ModelConfig
from pellucid.model.describe import describe
from pellucid.model.forward import Weights
from pellucid.model.run import Run
from pellucid.weights.checkpoint import Checkpoint
from pellucid.weights.tensor import Floats


class Model:
    """ids -> logits on one backend. `forward` is what the engine calls."""

    def __init__(self, config: ModelConfig, weights: Weights, backend: Backend) -> None:
        self.config = config
        self.weights = weights
        self.backend = backend
        self.run = backend.runner(config, weights)

    @classmethod
    def open(
        cls, checkpoint: Checkpoint, backend: Backend, *, context_length: int | None = None
    ) -> Model:
        """Describe, bind and place a checkpoint. Raises FormatError or UnsupportedError."""
        return cls.load(checkpoint, describe(checkpoint, context_length), backend)

    @classmethod
    def load(cls, checkpoint: Checkpoint, config: ModelConfig, backend: Backend) -> Model:
        """Bind and place a checkpoint that is described already. Raises as `open`."""
        return cls(config, load_weights(bind(checkpoint, config), config, backend), backend)

    def new_cache(self) -> KeyValues:
        """An empty cache for one sequence."""
        return self.backend.cache(self.config)

    def forward(self, run: Run) -> Floats:
        """One pass: the logits of the wanted rows, `[wanted, vocab]`; caches then hold the rows."""
        logits = self.run(run)
        for segment in run.segments:
            if segment.cache:
                segment.cache.advance(len(segment.ids))
        return logits
