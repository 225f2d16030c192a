"""The native backend's next-token distributions are the reference's, on real files and text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pellucid.backends.native import Native
from pellucid.backends.reference import Reference
from pellucid.model.model import Model
from pellucid.tokens.load import load_tokenizer
from pellucid.weights.checkpoint import open_checkpoint
from pellucid.weights.tensor import Floats

from ...model.test_real_models import PARAGRAPH
from ...model.tiny import whole
from .plans import Doubles

pytestmark = pytest.mark.slow

POSITIONS = 200
# Mean and worst in nats. Measured: SmolLM2 4.7e-7 and 8.2e-6, Gemma 3.0e-7 and 2.7e-6; with keys
# and values in float32 6.6e-8 and 4.6e-7, 2.8e-8 and 9.3e-8.
BOUNDS = {"float16": (1e-5, 1e-4), "float32": (5e-7, 5e-6)}
TEXT = (
    PARAGRAPH
    + """
The spoons were silver, from her mother's side, and nobody ate with them. When the daughter was \
old enough to read the books herself she found that most days were the same day: fog until ten, \
two trawlers, a pilot boat, bread and herring. Then, every few months, a line that was not like \
the others. "A whale, 40 feet, alive, 8.15 a.m." Or only: "Quiet. Too quiet to sleep." She copied \
those lines into a book of her own, and that is the one the museum keeps today, behind glass.
"""
)


def divergence(truth: Floats, ours: Floats) -> Doubles:
    """KL(truth || ours) of each position, in nats, from logits `[positions, vocab]`."""
    a, b = (_log_softmax(logits.astype(np.float64)) for logits in (truth, ours))
    kl: Doubles = (np.exp(a) * (a - b)).sum(-1)
    return kl


def _log_softmax(logits: Doubles) -> Doubles:
    logits = logits - logits.max(-1, keepdims=True)
    shifted: Doubles = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return shifted


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_distributions_are_those_of_the_reference(
    name: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(name)
    checkpoint = open_checkpoint(path)
    ids = load_tokenizer(checkpoint).encode(TEXT)[:POSITIONS]
    assert len(ids) == POSITIONS
    truth = whole(Model.open(checkpoint, Reference()), ids)
    for cache_dtype, (mean, worst) in BOUNDS.items():
        ours = whole(Model.open(checkpoint, Native(2, cache_dtype=cache_dtype)), ids)
        kl = divergence(truth, ours)
        assert kl.mean() <= mean
        assert kl.max() <= worst
