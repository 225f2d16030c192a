"""DoLa: every distribution is that of its formula, written once more with torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from pellucid.choose.parameters import parameters
from pellucid.choose.parameters.contrast import Contrast
from pellucid.choose.strategies.dola import divergence
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.errors import ParameterError

from .toy import ToyConfig, ToyModel, logits_after, residual_after, unembedded

PROMPT = [7, 8, 9]


def early(ids: Sequence[int], layers: Sequence[int]) -> list[torch.Tensor]:
    sites = ["embed" if n == 0 else f"layers.{n - 1}.resid_post" for n in layers]
    rows = np.stack([residual_after(tuple(ids), site) for site in sites])
    return list(torch.from_numpy(unembedded(rows)))


def divergences(final: torch.Tensor, others: Sequence[torch.Tensor]) -> list[float]:
    """As the paper's reference writes it: two divergences from the mean, halved, in one sum."""
    found = []
    for other in others:
        mean = (final.softmax(-1) + other.softmax(-1)) / 2
        both = [functional.kl_div(x.log_softmax(-1), mean, reduction="sum") for x in (final, other)]
        found.append(float(sum(both) / 2))
    return found


def contrasted(ids: Sequence[int], layers: Sequence[int]) -> torch.Tensor:
    """The scores of the next token: minus infinity for what is a tenth as likely as the first."""
    final = torch.from_numpy(logits_after(tuple(ids)))
    others = early(ids, layers)
    base = others[int(np.argmax(divergences(final, others)))].log_softmax(-1)
    scores = final.log_softmax(-1)
    return torch.where(scores < scores.max() + math.log(0.1), -torch.inf, scores - base)


def greedy(layers: Sequence[int], count: int) -> list[int]:
    ids = list(PROMPT)
    for _ in range(count):
        ids.append(int(contrasted(ids, layers).argmax()))
    return ids[len(PROMPT) :]


def answer(model: ToyModel | None = None, **given: Any) -> Generation:
    engine = Engine(model or ToyModel())
    return engine.generate([Request(PROMPT, parameters(**({"max_new_tokens": 12} | given)))])[0]


@pytest.mark.parametrize(
    ("asked", "layers"),
    [("low", [2]), ("high", [4, 6]), ([5], [5]), ([7, 0, 3], [7, 0, 3]), (2, [2])],
)
def test_each_token_leads_the_contrast_with_the_layer_that_differs_most(
    asked: Any, layers: list[int]
) -> None:
    assert list(answer(dola_layers=asked).ids) == greedy(layers, 12)


@pytest.mark.parametrize("size", [2, 1000, 50_000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
def test_divergence_is_its_formula(size: int, scale: float) -> None:
    random = np.random.default_rng(size)
    one, other = random.normal(scale=scale, size=(2, size)).astype(np.float32)
    truth = divergences(torch.from_numpy(one).double(), [torch.from_numpy(other).double()])[0]
    assert divergence(one, other) == pytest.approx(truth, rel=1e-4, abs=3e-7)
    assert divergence(one, one) == pytest.approx(0, abs=3e-7)


def transformers_layers(given: str, layers: int, tied: bool) -> list[int]:
    """The candidates of transformers 4.55.4, said by cases."""
    start = (2 if layers > 2 else 1 if layers == 2 else 0) if tied else 0
    if given == "low":
        if start == layers // 2:
            return [start]
        return list(range(start, layers // 2 if layers <= 40 else 20, 2))
    return list(range(layers // 2 if layers <= 40 else layers - 20, layers, 2))


def test_low_and_high_are_the_layers_that_transformers_takes() -> None:
    for layers in range(1, 130):
        for tied in (True, False):
            for given in ("low", "high"):
                ours = Contrast(dola_layers=given).early_layers(layers, tied)
                theirs = transformers_layers(given, layers, tied)
                assert list(ours or ()) == (theirs or [2])  # of 3 layers tied it takes none


def test_layers_that_the_model_does_not_have_are_refused() -> None:
    message = "dola_layers: 8 is no early layer; this model has 0 to 7"
    with pytest.raises(ParameterError, match=message):
        answer(dola_layers=[3, 8])


def test_draws_follow_the_softmax_of_the_contrast() -> None:
    probs = contrasted(PROMPT, [4, 6]).double().softmax(-1).numpy()
    given = {"dola_layers": "high", "do_sample": True, "max_new_tokens": 1}
    lines = [answer(**given, num_return_sequences=100, seed=seed) for seed in range(20)]
    tokens = [g.ids[0] for one in lines for g in (one, *one.alternatives)]
    counts = np.bincount(tokens, minlength=len(probs))
    assert counts[probs == 0].sum() == 0
    expected = probs[probs > 0] * len(tokens)
    statistic = float(((counts[probs > 0] - expected) ** 2 / expected).sum())
    freedom = len(expected) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom) + 8  # beyond 1 in 10,000


def test_filters_work_on_the_contrast_and_each_has_its_line() -> None:
    given = {"dola_layers": "high", "repetition_penalty": 5.0, "temperature": 0.7, "seed": 2}
    for token, ids in grown(answer(**given)):
        ledger = token.ledger
        assert [entry.name for entry in ledger.entries] == [
            "model", "dola_layers", "repetition_penalty", "temperature",
        ]  # fmt: skip
        scores = contrasted(ids, [4, 6])
        contrast, penalty, last = ledger.entries[1:]
        np.testing.assert_allclose(contrast.scores, scores[ledger.ids], rtol=1e-3, atol=1e-5)
        seen = list(dict.fromkeys(ids))
        scores[seen] = torch.where(scores[seen] < 0, scores[seen] * 5, scores[seen] / 5)
        np.testing.assert_allclose(penalty.scores, scores[ledger.ids], rtol=1e-3, atol=1e-5)
        probs = (scores / 0.7).softmax(-1)
        np.testing.assert_allclose(last.probs, probs[ledger.ids], rtol=1e-3, atol=1e-6)
        assert token.processed_prob == pytest.approx(float(probs[token.id]), rel=1e-3)
        own = torch.from_numpy(logits_after(tuple(ids))).softmax(-1)
        assert token.prob == pytest.approx(float(own[token.id]), rel=1e-4)


def grown(generation: Generation) -> list[tuple[Any, list[int]]]:
    """Each token, and the ids before it."""
    ids = generation.ids
    return [(t, [*PROMPT, *ids[:place]]) for place, t in enumerate(generation.tokens)]


def test_a_long_prompt_is_fed_in_pieces_of_which_the_last_is_watched() -> None:
    model = ToyModel(ToyConfig(context_length=2000))
    long = [1 + i % 200 for i in range(700)]
    asked = Request(long, parameters(dola_layers="high", max_new_tokens=2))
    ids = list(Engine(model).generate([asked])[0].ids)
    assert model.passes == [[256], [256], [188], [1]]
    assert ids[0] == int(contrasted(long, [4, 6]).argmax())


@pytest.mark.parametrize("other", [{"num_beams": 2}, {"best_of": 2, "do_sample": True}])
def test_it_goes_together_with_no_other_strategy(other: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="dola_layers: excludes"):
        answer(dola_layers="low", **other)
