"""Small models of transformers with random weights: the outside truth for the forward."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from pellucid.backends import backend
from pellucid.model.backend import Backend
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import Checkpoint, open_checkpoint

from .variants import VOCAB_SIZE, Variant

Floats = npt.NDArray[np.float32]
BOUNDS = {"torch": 1e-5, "reference": 1e-4}  # of `relative_error`, in float32


@dataclass(frozen=True)
class Tiny:
    """A saved random model, some sequences, and the logits that transformers gives for them."""

    variant: Variant
    folder: Path
    oracle: Any
    sequences: list[list[int]]
    logits: list[Floats]  # [tokens, vocab] each

    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.folder)

    def open(self, computes: Backend | str) -> Model:
        computes = backend(computes) if isinstance(computes, str) else computes
        return Model.open(self.checkpoint(), computes, context_length=self.variant.context_length)


def make_tiny(name: str, variant: Variant, folder: Path) -> Tiny:
    """A model of this variant with random weights, saved into `folder`."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    oracle = build(variant, generator)
    oracle.save_pretrained(folder)
    sequences = [
        torch.randint(3, VOCAB_SIZE, (length,), generator=generator).tolist()
        for length in variant.lengths
    ]
    return Tiny(variant, folder, oracle, sequences, [logits_of(oracle, ids) for ids in sequences])


def configuration(variant: Variant) -> Any:
    """The configuration of transformers that a row stands for."""
    settings = {"text_config": variant.settings} if variant.nested else variant.settings
    return getattr(transformers, variant.config)(**settings, **variant.nested)


def build(variant: Variant, generator: torch.Generator) -> Any:
    """A model of transformers, with every parameter random, biases and norms too.

    Numbers of 0.15 make attention pick and choose: its scores vary by about one.
    """
    auto = getattr(transformers, variant.model)
    make = getattr(auto, "from_config", None) or auto._from_config
    with torch.random.fork_rng():
        # The state that earlier tests leave decides how near to a tie a router comes: after seed
        # 59, Mixtral's second and third expert lie 1.2e-6 apart for a row, and rounding chooses.
        torch.manual_seed(0)
        model = make(configuration(variant), attn_implementation="eager").float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return model


def logits_of(oracle: Any, ids: list[int]) -> Floats:
    """What transformers gives for a whole sequence, `[tokens, vocab]`."""
    with torch.no_grad():
        logits: Floats = oracle(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()
    return logits


def whole(model: Model, ids: list[int]) -> Floats:
    """The logits of a whole sequence in one pass without a cache, `[tokens, vocab]`."""
    return model.forward(Run([Segment(ids, None, "all")]))


def relative_error(ours: Floats, theirs: Floats) -> float:
    """The largest difference, over the largest number: NaN anywhere gives NaN."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
