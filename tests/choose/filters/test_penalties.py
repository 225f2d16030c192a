"""Penalties: over the prompt, over the answer, over a window."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as oracle

from ..logits import KINDS, apply, context, logits, run

PROMPT, OUTPUT = [3, 3, 7, 20], [7, 21, 49, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", [0.5, 1.3, 5.0])
def test_the_penalty_of_the_prompt_is_that_of_transformers(penalty: float, kind: str) -> None:
    scores = logits(kind, 50)
    ours = apply("encoder_repetition_penalty", scores, context(PROMPT, OUTPUT), penalty)
    theirs = oracle.EncoderRepetitionPenaltyLogitsProcessor(penalty, torch.tensor([PROMPT]))
    np.testing.assert_array_equal(ours, run(theirs, scores, PROMPT + OUTPUT))


@pytest.mark.parametrize("last", [0, 1, 3, 5, 8, 100, -1])
def test_a_window_is_the_end_of_prompt_and_answer(last: int) -> None:
    """llama.cpp's penalties over its last tokens; a window of 0 holds nothing, -1 all."""
    ids = PROMPT + OUTPUT
    held = ids if last == -1 else ids[max(0, len(ids) - last) :]
    scores, seen = logits("peaked", 50), context(PROMPT, OUTPUT)
    counts = np.bincount(held, minlength=50)

    ours = apply("repetition_penalty", scores, seen, 1.3, repeat_last_n=last)
    used = np.where(scores < 0, scores * np.float32(1.3), scores / np.float32(1.3))
    np.testing.assert_array_equal(ours, np.where(counts > 0, used, scores))
    ours = apply("frequency_penalty", scores, seen, 0.4, repeat_last_n=last)
    np.testing.assert_allclose(ours, scores - counts * 0.4, rtol=1e-5)
    ours = apply("presence_penalty", scores, seen, 0.4, repeat_last_n=last)
    np.testing.assert_allclose(ours, scores - (counts > 0) * 0.4, rtol=1e-5)
