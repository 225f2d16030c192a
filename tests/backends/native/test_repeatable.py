"""What a sequence gets depends on that sequence alone, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.backends.native import Native
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint
from pellucid.weights.tensor import Floats

from ...model.tiny import Tiny, whole

TRIALS = 150


class Together:
    """Sequences that grow together, each in pieces of random sizes, forked and trimmed on the way.

    `told` has, for each sequence, the logits of each of its tokens.
    """

    def __init__(self, models: list[Model], random: np.random.Generator) -> None:
        self.models = models
        self.random = random

    def grow(self, sequences: list[list[int]]) -> list[Floats]:
        model = self.models[self.random.integers(len(self.models))]
        caches = [model.new_cache() for _ in sequences]
        told: list[list[Floats]] = [[] for _ in sequences]
        while left := [n for n, ids in enumerate(sequences) if len(told[n]) < len(ids)]:
            self.random.shuffle(left)
            some = left[: self.random.integers(1, len(left) + 1)]
            segments = [
                Segment(self._piece(sequences[n], caches[n].length), caches[n], "all") for n in some
            ]
            rows = iter(model.forward(Run(segments)))
            for n, segment in zip(some, segments, strict=True):
                told[n] += [next(rows) for _ in segment.ids]
                caches[n] = self._disturbed(caches[n], told[n])
        return [np.stack(rows) for rows in told]

    def _piece(self, ids: list[int], start: int) -> list[int]:
        return ids[start : start + int(self.random.integers(1, 40))]

    def _disturbed(self, cache: Any, told: list[Floats]) -> Any:
        """The cache, or a fork of it, or one that has forgotten a few of its last tokens."""
        match self.random.integers(4):
            case 0:
                return cache.fork()
            case 1:
                length = int(self.random.integers(max(0, cache.length - 20), cache.length + 1))
                cache.trim(length)
                del told[length:]
        return cache


@pytest.mark.parametrize("name", ["gemma2", "qwen3 experts", "gpt2"])
def test_company_pieces_forks_and_threads_do_not_change_a_bit(
    tiny: Callable[[str], Tiny], name: str
) -> None:
    random = np.random.default_rng(5)
    made = tiny(name)
    models = [made.open(Native(threads, quantize="q8")) for threads in (1, 2, 3)]
    alone: dict[int, Floats] = {}
    ids = [random.integers(3, 60, length).tolist() for length in (1, 40, 50, 64, 90)]
    together = Together(models, random)
    for _ in range(TRIALS // 3):
        chosen = random.permutation(len(ids))[: random.integers(1, len(ids) + 1)].tolist()
        for n, told in zip(chosen, together.grow([ids[n] for n in chosen]), strict=True):
            if n not in alone:
                alone[n] = whole(models[0], ids[n])
            np.testing.assert_array_equal(told, alone[n])


def test_a_prompt_of_several_passes_is_the_same_in_pieces(tiny: Callable[[str], Tiny]) -> None:
    ids = np.random.default_rng(6).integers(3, 60, 600).tolist()
    model = tiny("llama").open(Native(2))
    once = model.forward(Run([Segment([7, 8]), Segment(ids, None, "all"), Segment([9])]))[1:-1]
    cache = model.new_cache()
    pieces = [piece.tolist() for piece in np.split(ids, [1, 255, 256, 300, 512, 599])]
    parts = [model.forward(Run([Segment(piece, cache, "all")])) for piece in pieces]
    np.testing.assert_array_equal(np.concatenate(parts), once)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(3))
def test_the_real_model_repeats_itself(smollm2: Path, trial: int) -> None:
    random = np.random.default_rng(trial)
    models = [Model.open(open_checkpoint(smollm2), Native(threads)) for threads in (1, 2)]
    ids = [random.integers(5, 40_000, length).tolist() for length in (3, 70, 40)]
    for n, told in enumerate(Together(models, random).grow(ids)):
        np.testing.assert_array_equal(told, whole(models[0], ids[n]))
