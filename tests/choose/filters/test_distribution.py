"""Guidance and renormalisation: transformers' scores."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as oracle

from ..logits import KINDS, NOTHING, Floats, apply, context, logits, run

KINDS_LEFT = [kind for kind in KINDS if kind != "huge"]


class Unconditional:
    """Stands for the model in transformers' processor: its answer to the negative prompt."""

    def __init__(self, logits: Floats) -> None:
        self.logits = torch.tensor(logits[None, None])

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _Output(logits=self.logits)


class _Output(SimpleNamespace):
    def get(self, _: str, default: Any = None) -> Any:
        return default


@pytest.mark.parametrize("kind", ["peaked", "flat", "all below zero"])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.5, 7.0])
def test_guidance_is_that_of_transformers(scale: float, kind: str) -> None:
    scores, beside = logits(kind, 1000), logits("peaked", 1000, seed=1)
    ours = apply("guidance_scale", scores, context([1], [], beside=beside), scale)
    theirs = oracle.UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, Unconditional(beside))
    wanted = run(theirs, scores, [1], torch.float64)
    np.testing.assert_allclose(ours, wanted, rtol=3e-6, atol=5e-5)


def test_what_one_of_two_streams_cannot_say_stays_removed() -> None:
    """transformers computes NaN there."""
    scores, beside = np.float32([1, -np.inf, 2, -np.inf]), np.float32([1, 2, -np.inf, -np.inf])
    for scale in (0.0, 0.5, 3.0):
        guided = apply("guidance_scale", scores, context([1], [], beside=beside), scale)
        assert np.isfinite(guided[0])
        assert guided[3] == -np.inf
        assert not np.isnan(guided).any()


@pytest.mark.parametrize("kind", KINDS_LEFT)
def test_renormalised_scores_are_those_of_transformers(kind: str) -> None:
    scores = logits(kind, 1000)
    theirs = run(oracle.LogitNormalization(), scores, [], torch.float64)
    ours = apply("renormalize_logits", scores, NOTHING, True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
