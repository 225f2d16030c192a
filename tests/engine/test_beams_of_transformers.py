"""Beam search on small random models: sequences and scores are those of transformers' generate."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request

from .toy import Floats, ToyConfig, ToyModel

VOCAB = 40


class Peer(ToyModel):
    """transformers' own model, asked anew for every row, so that nothing but the search is ours."""

    def __init__(self, model: Any) -> None:
        super().__init__(ToyConfig(context_length=128, vocab_size=VOCAB), spoil=self._logits)
        self._model = model

    def _logits(self, ids: tuple[int, ...], _: Floats) -> Floats:
        with torch.no_grad():
            row: Floats = self._model(torch.tensor([ids])).logits[0, -1].numpy()
        return row


def small_model(seed: int) -> Any:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.25}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, **sizes, **heads)).eval()


def random_search(rng: random.Random) -> dict[str, Any]:
    beams = rng.choice([2, 3, 5])
    given: dict[str, Any] = {
        "max_new_tokens": rng.randint(1, 14),
        "num_beams": beams,
        "num_return_sequences": rng.randint(1, beams),
        "length_penalty": rng.choice([0.0, 0.5, 1.0, 2.0, -1.0]),
        "early_stopping": rng.choice([True, False, "never"]),
    }
    if rng.random() < 0.3:
        given["repetition_penalty"] = 1.2
    if rng.random() < 0.2:
        given["min_new_tokens"] = min(3, given["max_new_tokens"])
    return given


@pytest.mark.parametrize("seed", range(60))
def test_sequences_and_scores_are_those_of_transformers(seed: int) -> None:
    rng = random.Random(seed)
    model, given = small_model(seed), random_search(rng)
    prompt = [rng.randrange(VOCAB) for _ in range(rng.randint(1, 6))]
    ends = rng.sample(range(VOCAB), rng.choice([1, 2, 4, 8]))
    expected = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False, eos_token_id=ends, pad_token_id=ends[0],
        return_dict_in_generate=True, output_scores=True, **given,
    )  # fmt: skip
    request = Request(prompt, parameters(**given, stop_token_ids=ends))
    (first,) = Engine(Peer(model)).generate([request])
    answers = [first, *first.alternatives]
    rows = [row[len(prompt) :] for row in expected.sequences.tolist()]
    until = [next((i for i, t in enumerate(row) if t in ends), len(row)) for row in rows]
    assert [list(a.ids) for a in answers] == [r[:n] for r, n in zip(rows, until, strict=True)]
    scores = np.array([answer.score for answer in answers])
    np.testing.assert_allclose(scores, expected.sequences_scores.numpy(), rtol=1e-4, atol=1e-4)
