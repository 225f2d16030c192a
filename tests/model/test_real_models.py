"""Two real models give transformers' logits and its greedy text, from GGUF and from safetensors."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.backends import backend
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.tokens.load import load_tokenizer
from pellucid.tokens.tokenizer import Tokenizer
from pellucid.weights.checkpoint import open_checkpoint

from .oracle import CONFIGURATIONS, load_oracle, oracle_folder
from .tiny import BOUNDS, Floats, logits_of, relative_error, whole

pytestmark = pytest.mark.slow

PARAGRAPH = """\
The lighthouse keeper wrote everything down: the hour at which each ship went by, the colour of \
its flag, how the wind stood, and what he had eaten. "Nobody will ever read this," said his \
daughter. He laughed. In 1911 the harbour master asked for the books, because a cargo of 3,200 \
barrels had gone missing between two islands, and on page 47 there it was, a schooner without \
lights, heading north-east at half past four in the morning, two days before anyone said she \
had left port. They gave him a medal, which he kept in the drawer with the spoons.
"""
PROMPTS = [
    "The capital of France is the city", "Once upon a time there was a",
    "def fibonacci(n):\n    if", "Water boils at a temperature of about",
    "My favourite book is the one about", "In the year 1492, Christopher",
    "To make a good soup, you first", "She opened the door and saw that",
    "1, 2, 3, 4, 5,", "The opposite of hot is cold, and",
]  # fmt: skip
PROMPT_TOKENS, NEW_TOKENS = 6, 64


class Real:
    """One of the two: its file, transformers' reading of it, and what that makes of text."""

    def __init__(self, gguf: Path, folder: Path) -> None:
        self.gguf = gguf
        self.folder = folder

    def open(self, name: str) -> Model:
        return Model.open(open_checkpoint(self.gguf), backend(name))

    @cached_property
    def oracle(self) -> Any:
        return load_oracle(self.folder)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(open_checkpoint(self.gguf))

    @cached_property
    def paragraph(self) -> tuple[list[int], Floats]:
        """A paragraph as ids, and the logits for it."""
        ids = self.tokenizer.encode(PARAGRAPH)
        assert 100 < len(ids) < 160
        return ids, logits_of(self.oracle, ids)

    @cached_property
    def greedy(self) -> tuple[list[list[int]], list[list[int]]]:
        """Ten prompts of one length, so that none is padded, and what is said to them."""
        prompts = [self.tokenizer.encode(text)[:PROMPT_TOKENS] for text in PROMPTS]
        self.oracle.generation_config.eos_token_id = None  # so that all are as long
        said = self.oracle.generate(
            torch.tensor(prompts), attention_mask=torch.ones(len(prompts), PROMPT_TOKENS),
            do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0,
        )  # fmt: skip
        return prompts, said[:, PROMPT_TOKENS:].tolist()


@pytest.fixture(scope="module")
def reals() -> dict[str, Real]:
    """Those that a test has asked for, since pytest asks for the two in turn."""
    return {}


@pytest.fixture(params=CONFIGURATIONS)
def real(request: pytest.FixtureRequest, reals: dict[str, Real], oracle_cache: Path) -> Real:
    name = request.param
    if name not in reals:
        gguf = request.getfixturevalue(name)
        reals[name] = Real(gguf, oracle_folder(name, gguf, oracle_cache))
    return reals[name]


@pytest.fixture(params=BOUNDS)
def model(request: pytest.FixtureRequest, real: Real) -> Model:
    return real.open(request.param)


def test_logits_of_a_paragraph_are_transformers(model: Model, real: Real) -> None:
    ids, truth = real.paragraph
    assert relative_error(whole(model, ids), truth) <= BOUNDS[model.backend.name]


def test_logits_through_the_cache_are_transformers(model: Model, real: Real) -> None:
    ids, truth = real.paragraph
    cache = model.new_cache()
    pieces = np.split(ids, np.cumsum([1] * 8 + [40, 7] + [1] * 4))
    parts = [model.forward(Run([Segment(piece.tolist(), cache, "all")])) for piece in pieces]
    assert relative_error(np.concatenate(parts), truth) <= BOUNDS[model.backend.name]


def test_logits_beyond_the_window_are_transformers(model: Model, real: Real) -> None:
    ids = (real.paragraph[0] * 5)[:560]  # Gemma's windows are of 512
    with torch.no_grad():
        truth = real.oracle(torch.tensor([ids]), logits_to_keep=1).logits[0].numpy()
    ours = model.forward(Run([Segment(ids)]))
    assert relative_error(ours, truth) <= BOUNDS[model.backend.name]


def test_greedy_text_is_transformers(model: Model, real: Real) -> None:
    prompts, truth = real.greedy
    caches = [model.new_cache() for _ in prompts]
    steps: list[list[int]] = []
    new = prompts
    for _ in range(NEW_TOKENS):
        segments = [Segment(ids, cache) for ids, cache in zip(new, caches, strict=True)]
        steps.append(model.forward(Run(segments)).argmax(-1).tolist())
        new = [[token] for token in steps[-1]]
    assert [list(said) for said in zip(*steps, strict=True)] == truth


def test_safetensors_give_the_logits_of_the_gguf_file(real: Real) -> None:
    ids, truth = real.paragraph
    model = Model.open(open_checkpoint(real.folder), backend("torch"))
    assert relative_error(whole(model, ids), truth) <= BOUNDS["torch"]


def test_sharded_bfloat16_gives_the_logits_of_its_numbers(real: Real, tmp_path: Path) -> None:
    if "gemma" in real.gguf.name:
        pytest.skip("one model shows it; this one is four times as large")
    load_oracle(real.folder, torch.bfloat16).save_pretrained(tmp_path, max_shard_size="60MB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    ids, _ = real.paragraph
    model = Model.open(open_checkpoint(tmp_path), backend("torch"))
    assert relative_error(whole(model, ids), logits_of(load_oracle(tmp_path), ids)) <= 1e-5
