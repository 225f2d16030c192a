"""No run of n tokens twice: what transformers removes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as oracle

from ..logits import apply, context, logits, run


@pytest.mark.parametrize("length", [1, 2, 3, 12, 60])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
def test_a_run_comes_once(n: int, length: int) -> None:
    for seed in range(10):
        ids = np.random.default_rng(seed).integers(0, 4, length).tolist()
        scores = logits("peaked", 6, seed)
        ours = apply("no_repeat_ngram_size", scores, context(ids[:2], ids[2:]), n)
        theirs = run(oracle.NoRepeatNGramLogitsProcessor(n), scores, ids)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("prompt", [1, 2, 12, 40])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_run_of_the_prompt_does_not_come(n: int, prompt: int) -> None:
    for seed in range(10):
        ids = np.random.default_rng(seed).integers(0, 4, prompt + 10).tolist()
        scores = logits("peaked", 6, seed)
        seen = context(ids[:prompt], ids[prompt:])
        ours = apply("encoder_no_repeat_ngram_size", scores, seen, n)
        theirs = oracle.EncoderNoRepeatNGramLogitsProcessor(n, torch.tensor([ids[:prompt]]))
        np.testing.assert_array_equal(ours, run(theirs, scores, ids))
