"""The watermark: transformers' green tokens, and its detector finds what we write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PretrainedConfig, WatermarkDetector, WatermarkingConfig
from transformers.generation import logits_process as oracle

from pellucid.choose.filters.watermark import Green
from pellucid.choose.parameters.watermark import Watermark
from pellucid.choose.vocabulary import shuffled

from ..logits import KINDS, apply, context, logits, run

SETTINGS: list[dict[str, Any]] = [
    {},
    {"greenlist_ratio": 0.5, "bias": -1.0, "hashing_key": 2**62 + 12345},
    {"seeding_scheme": "selfhash", "bias": 3.5},
    {"seeding_scheme": "selfhash", "context_width": 4, "hashing_key": 2**40 + 1},
]


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
@pytest.mark.parametrize("size", [1, 2, 1000, 49_152])
def test_the_shuffle_is_that_of_torch(size: int, seed: int) -> None:
    theirs = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_array_equal(shuffled(seed, size, size), theirs)
    np.testing.assert_array_equal(shuffled(seed, size, size // 3), theirs[: size // 3])


@pytest.mark.parametrize("kind", ["peaked", "all below zero", "half removed"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_green_tokens_are_those_of_transformers(settings: dict[str, Any], kind: str) -> None:
    theirs = oracle.WatermarkLogitsProcessor(3000, "cpu", **settings)
    for seed in range(3):
        ids = np.random.default_rng(seed).integers(0, 3000, 6).tolist()
        scores = logits(kind, 3000, seed)
        seen = context(ids[:2], ids[2:], vocab_size=3000)
        ours = apply("watermarking_config", scores, seen, settings)
        np.testing.assert_array_equal(ours, run(theirs, scores, ids))


def test_a_text_shorter_than_the_width_is_left_alone() -> None:
    scores, seen = logits("peaked", 100), context([1, 2], [], vocab_size=100)
    after = apply("watermarking_config", scores, seen, {"context_width": 3})
    np.testing.assert_array_equal(after, scores)


def test_the_share_of_green_tokens_is_the_ratio() -> None:
    green = Green.of(Watermark(greenlist_ratio=0.3))
    lists = [set(green.tokens(np.array([token]), 1000).tolist()) for token in range(300)]
    assert {len(tokens) for tokens in lists} == {300}
    hits = sum(7 in tokens for tokens in lists)
    assert abs(hits - 90) < 4 * math.sqrt(300 * 0.3 * 0.7)


@pytest.mark.parametrize("settings", [SETTINGS[0], SETTINGS[2]], ids=str)
def test_transformers_finds_the_watermark(settings: dict[str, Any]) -> None:
    ids = [[5, 6], [5, 6]]
    for place in range(30):
        scores = logits("flat", 1000, seed=place)
        seen = context(ids[0], [], vocab_size=1000)
        ids[0].append(int(apply("watermarking_config", scores, seen, settings).argmax()))
        ids[1].append(int(scores.argmax()))
    config = PretrainedConfig(vocab_size=1000, bos_token_id=999)
    detector = WatermarkDetector(config, "cpu", WatermarkingConfig(**settings))
    assert detector(torch.tensor(ids)).tolist() == [True, False]


def test_all_kinds_of_logits_keep_what_is_removed() -> None:
    for kind in KINDS:
        scores, seen = logits(kind, 100), context([1, 2], [], vocab_size=100)
        after = apply("watermarking_config", scores, seen, {"bias": 5})
        np.testing.assert_array_equal(np.isneginf(after), np.isneginf(scores))
