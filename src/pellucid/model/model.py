"""A model that answers: a checkpoint's weights, the forward, and room for its caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from pellucid.errors import ParameterError
from pellucid.model import sites
from pellucid.model.backend import Backend
from pellucid.model.bind import bind, load_weights
from pellucid.model.cache import KeyValues
from pellucid.model.config import ModelConfig
from pellucid.model.describe import describe
from pellucid.model.forward import Weights
from pellucid.model.probe import Edit, Probe
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
        # Matching names takes a seventh of a small model's decode step; a search asks every step.
        self._select = lru_cache(64)(
            lambda patterns: tuple(sites.select(patterns, config, "watch"))
        )
        self._find = lru_cache(64)(
            lambda addresses: [sites.find(address, config, "edits") for address in addresses]
        )

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

    def check(self, edits: Sequence[Edit]) -> None:
        """Refuse edits of what this model does not have, with ParameterError."""
        for edit in edits:
            edit.check(self.config)

    def early_exit(self, layers: int) -> Model:
        """The first `layers` alone, before the final norm and the output matrix: a cheap guesser.

        Weights are shared, caches are not (Elhoushi et al. 2024, arXiv:2404.16710, who train models
        for it). Raises ParameterError unless there are more layers than that.
        """
        whole = self.config.layers
        if not 1 <= layers < whole:
            reason = f"must be 1 to {whole - 1}, not {layers}: the model has {whole} layers"
            raise ParameterError("assistant_early_exit", reason)
        experts = self.config.experts
        config = replace(
            self.config,
            layers=layers,
            rope=self.config.rope[:layers],
            window=self.config.window[:layers],
            experts=experts and replace(experts, layers=experts.layers[:layers]),
        )
        return Model(
            config, replace(self.weights, layers=self.weights.layers[:layers]), self.backend
        )

    def new_cache(self) -> KeyValues:
        """An empty cache for one sequence."""
        return self.backend.cache(self.config)

    def forward(self, run: Run) -> Floats:
        """One pass: the logits of the wanted rows, `[wanted, vocab]`; caches then hold the rows.

        What segments watch is in `run.seen` then. Raises ParameterError for a site that this model
        does not have, or a change that gives no such rows, and whatever a change raises.
        """
        if any(s.watch or s.edits for s in run.segments):
            return self._probed(run)
        return self._passed(run)

    def unembed(self, rows: Floats) -> Floats:
        """The logits of rows that the last layer may leave: `[n, hidden]` -> `[n, vocab]`.

        The final norm, then the output matrix: what nostalgebraist (2020) called the logit lens.
        """
        return self.run.unembed(self._rows(rows))

    def project(self, rows: Floats) -> Floats:
        """What the output matrix makes of rows: `[n, hidden]` -> `[n, vocab]`, nothing normed."""
        return self.run.project(self._rows(rows))

    def _rows(self, rows: Floats) -> Floats:
        shape = np.shape(rows)
        if len(shape) != 2 or shape[1] != self.config.hidden_size:
            reason = f"must be [n, {self.config.hidden_size}], not {list(shape)}"
            raise ParameterError("rows", reason)
        return np.ascontiguousarray(rows, np.float32)

    def _probed(self, run: Run) -> Floats:
        """A pass that is watched; a segment without a cache has one for as long as that takes."""
        segments = [s if s.cache else replace(s, cache=self.new_cache()) for s in run.segments]
        probed = Run(segments, survey=run.survey)
        probe = Probe(probed, self.config, self._select, self._find)
        if not probe.reads and not probe.stops:  # no row of these is edited
            return self._passed(run)
        probed.probe = probe
        logits = self._passed(probed)
        run.seen, run.candidates = probe.seen, probed.candidates
        return logits

    def _passed(self, run: Run) -> Floats:
        logits = self.run(run)
        for segment in run.segments:
            if segment.cache:
                segment.cache.advance(len(segment.ids))
        return logits
