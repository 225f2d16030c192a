"""Logits of all sorts, and two ways to filter them: ours, and transformers'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters import FILTERS, Context
from pellucid.choose.parameters import parameters

Floats = npt.NDArray[np.float32]
Processor = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

KINDS: dict[str, Callable[[np.random.Generator, int], npt.NDArray[np.float64]]] = {
    "peaked": lambda rng, size: rng.normal(scale=4, size=size),
    "flat": lambda rng, size: rng.normal(scale=0.05, size=size),
    "all below zero": lambda rng, size: rng.normal(scale=3, size=size) - 100,
    "huge": lambda rng, size: rng.normal(scale=3, size=size) * 1e30,
    "half removed": lambda rng, size: np.where(
        np.arange(size) % 2, -np.inf, rng.normal(scale=3, size=size)
    ),
    "one left": lambda rng, size: np.where(np.arange(size) == size // 2, 1.0, -np.inf),
}


def logits(kind: str, size: int, seed: int = 0) -> Floats:
    """Random logits of a kind."""
    return KINDS[kind](np.random.default_rng(seed), size).astype(np.float32)


def tied(seed: int, size: int) -> Floats:
    """Random logits with many equals among them."""
    return np.random.default_rng(seed).integers(-3, 4, size).astype(np.float32)


def context(
    prompt: list[int], output: list[int], stop_ids: list[int] | None = None, **more: Any
) -> Context:
    """What a filter knows of a prompt and an answer."""

    def ids(values: list[int]) -> npt.NDArray[np.int64]:
        return np.array(values, np.int64)

    return Context(ids(prompt + output), len(prompt), ids(stop_ids or []), **more)


NOTHING = context([], [])


def apply(name: str, scores: Floats, seen: Context, value: Any, **others: Any) -> Floats:
    """The scores of the whole vocabulary after a filter, given its parameters."""
    row = FILTERS[name]
    values = row.values(parameters(**{name: value}, **others))
    before = scores.copy()
    after = row.apply(Candidates(scores), seen, *values).dense(len(scores))
    assert np.array_equal(scores, before), "the given scores were changed"
    assert after.dtype == np.float32
    return after


def run(
    processor: Processor, scores: Floats, ids: list[int], dtype: torch.dtype = torch.float32
) -> Floats:
    """The scores after one of transformers' processors."""
    result = processor(torch.tensor([ids or [0]]), torch.tensor(scores[None]).to(dtype))
    return np.asarray(result[0].to(torch.float32).numpy())
