"""The stop tokens, more and more of them: transformers' scores."""

from __future__ import annotations

import numpy as np
import pytest
from transformers.generation import logits_process as oracle

from ..logits import KINDS, apply, context, logits, run


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
@pytest.mark.parametrize("made", [0, 3, 4, 5, 20])
@pytest.mark.parametrize("factor", [1.01, 1.6, 0.5])
def test_stop_tokens_grow_as_in_transformers(factor: float, made: int, kind: str) -> None:
    scores, prompt, output, ends = logits(kind, 30), [1, 2], [3] * made, [4, 9]
    seen = context(prompt, output, ends)
    ours = apply("exponential_decay_length_penalty", scores, seen, (3, factor))
    theirs = oracle.ExponentialDecayLengthPenalty((3, factor), ends, len(prompt))
    np.testing.assert_allclose(ours, run(theirs, scores, prompt + output), rtol=1e-6)


def test_what_grows_beyond_float32_is_the_only_choice_left() -> None:
    seen = context([1], [3] * 5000, [4])
    grown = apply("exponential_decay_length_penalty", logits("huge", 30), seen, (3, 100))
    assert grown.argmax() == 4
    assert np.isfinite(grown).all()
