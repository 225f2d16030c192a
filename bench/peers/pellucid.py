"""Pellucid's native backend: the model's own forward, called as the engine calls it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.files import ModelFile
from pellucid.backends.measure import work
from pellucid.backends.native import Native
from pellucid.model.cache import KeyValues
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint
from pellucid.weights.tensor import Floats


class Pellucid:
    """The contestant that the others are compared with."""

    name = "pellucid"

    def absent(self, file: ModelFile) -> str | None:
        return None

    def open(self, file: ModelFile, threads: int, sequences: int, length: int) -> LoadedPellucid:
        return LoadedPellucid(Model.open(open_checkpoint(file.path()), Native(threads)))

    def cold(self, file: ModelFile, threads: int, text: str) -> list[str]:
        program = [sys.executable, "-m", "pellucid", "generate", text, "--max-new-tokens", "1"]
        return [*program, "--model", str(file.path()), "--threads", str(threads)]


class LoadedPellucid:
    """A model, and the caches of the sequences that are going."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.caches: list[KeyValues] = []

    def start(self, prompts: Sequence[Sequence[int]]) -> None:
        self.caches = [self.model.new_cache() for _ in prompts]
        self._forward(prompts)

    def step(self, tokens: Sequence[int]) -> None:
        self._forward([[token] for token in tokens])

    def logits(self, ids: Sequence[int]) -> Floats:
        return self.model.forward(Run([Segment(ids, wanted="all")]))

    def close(self) -> None:
        self.caches = []
        del self.model

    def bytes_per_token(self, context: int) -> int:
        """What a decode step reads after `context` tokens, by the plan."""
        plan = self.model.run.plan  # type: ignore[attr-defined]  # the native runner's
        return sum(work(entry, 1, context)[0] for entry in plan.describe())

    def _forward(self, rows: Sequence[Sequence[int]]) -> None:
        segments = [Segment(ids, cache) for ids, cache in zip(rows, self.caches, strict=True)]
        self.model.forward(Run(segments))
