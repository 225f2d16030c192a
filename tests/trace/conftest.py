"""Traces of the small model whose distributions are known exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.model.changes import scale
from pellucid.model.config import ModelConfig
from pellucid.model.probe import Edit
from pellucid.trace.origin import Origin
from pellucid.trace.trace import Reading, Trace, occurring

from ..engine.toy import ByteTokenizer, ToyModel

CONFIG = ModelConfig(
    family="llama", vocab_size=256, hidden_size=8, layers=2, heads=2, kv_heads=1, head_dim=4,
    intermediate_size=16, context_length=64, norm="rms", norm_eps=1e-6, pre_norm=True,
    post_norm=False, qk_norm=None, parallel=False, rope=(None, None), learned_positions=0,
    window=(None, 5), attention_scale=0.5, attention_softcap=None, mlp="gated", activation="silu",
    experts=None, qkv_bias=False, output_bias=False, mlp_bias=False, head_bias=False,
    embedding_scale=1.0, logit_softcap=None, tied_embeddings=True,
)  # fmt: skip
ORIGIN = Origin("toy", "f" * 64, "reference", {}, CONFIG)
EDIT = Edit("layers.1.heads.0", scale(0.5), [1, 2])
CHANGED = {"site": "embed", "change": "f", "positions": None}
PROMPT = tuple(b"The man")


@pytest.fixture
def answered() -> Callable[..., Generation]:
    """What the toy engine answers to the prompt."""

    def answer(**given: Any) -> Generation:
        engine = Engine(ToyModel(), ByteTokenizer())
        (generation,) = engine.generate([Request(PROMPT, parameters(**given))])
        return generation

    return answer


@pytest.fixture
def trace(answered: Callable[..., Generation]) -> Trace:
    """A trace with something in each of its places."""
    given = {"temperature": 0.8, "top_k": 20, "seed": 3, "max_new_tokens": 6}
    generation = answered(**given)
    ids = PROMPT + generation.ids
    values = {"embed": np.random.default_rng(1).normal(size=(len(ids), 8)).astype(np.float32)}
    cosines = np.float32([0.1, -0.5])
    told = {"given_ids": np.array([5, 9, 7]), "answer_ids": np.array([8, 255]), "cosines": cosines}
    told["given_cosines"] = np.float32([0.3, 0.2, 0.1])
    reading = Reading("analogy", {"a": 5, "b": 9, "c": 7, "top": 2}, told)
    words = {token: bytes([token]) for token in {*ids, *occurring(generation), 5, 7, 8, 9, 255}}
    return Trace(
        ORIGIN, ids, len(PROMPT), words,
        messages=[{"role": "user", "content": "The man"}], template="{{ messages }}",
        parameters=given, generation=generation, edits=[EDIT.to_dict(), CHANGED], values=values,
        readings=[reading],
    )  # fmt: skip
