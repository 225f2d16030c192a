"""Filters: the same scores as transformers' processors, over random, tied and extreme logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as oracle

from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import Chain
from pellucid.choose.filters import FILTERS
from pellucid.choose.parameters import PARAMETERS, parameters
from pellucid.choose.parameters.order import ORDERS
from pellucid.errors import ParameterError

from .logits import KINDS, NOTHING, apply, context, logits, run, tied

SIZES = (2, 7, 1000, 49_152)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# (filter, value, transformers' processor). Those that add up probabilities are asked in float64:
# in float32 its sums are good to 1e-5, and so is what it keeps at the edge.
CASES = [
    ("temperature", 0.3, oracle.TemperatureLogitsWarper, torch.float32),
    ("temperature", 1.7, oracle.TemperatureLogitsWarper, torch.float32),
    ("top_k", 1, oracle.TopKLogitsWarper, torch.float32),
    ("top_k", 5, oracle.TopKLogitsWarper, torch.float32),
    ("top_k", 100_000, oracle.TopKLogitsWarper, torch.float32),
    ("top_p", 1e-6, oracle.TopPLogitsWarper, torch.float64),
    ("top_p", 0.3, oracle.TopPLogitsWarper, torch.float64),
    ("top_p", 0.95, oracle.TopPLogitsWarper, torch.float64),
    ("min_p", 0.02, oracle.MinPLogitsWarper, torch.float64),
    ("min_p", 1.0, oracle.MinPLogitsWarper, torch.float64),
    ("typical_p", 0.2, oracle.TypicalLogitsWarper, torch.float64),
    ("typical_p", 0.95, oracle.TypicalLogitsWarper, torch.float64),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "value", "processor", "dtype"), CASES, ids=[f"{n}={v}" for n, v, _, _ in CASES]
)
def test_scores_are_those_of_transformers(
    name: str, value: float, processor: type, dtype: torch.dtype, size: int, kind: str
) -> None:
    for seed in range(3):
        scores = logits(kind, size, seed)
        ours = apply(name, scores, NOTHING, value)
        theirs = run(processor(value), scores, [], dtype)
        np.testing.assert_allclose(ours, theirs, rtol=2e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", [0.5, 1.3, 5.0])
def test_the_repetition_penalty_is_that_of_transformers(penalty: float, kind: str) -> None:
    scores = logits(kind, 50)
    prompt, output = [3, 3, 7, 20], [7, 21, 49, 0]
    ours = apply("repetition_penalty", scores, context(prompt, output), penalty)
    processor = oracle.RepetitionPenaltyLogitsProcessor(penalty)
    np.testing.assert_array_equal(ours, run(processor, scores, prompt + output))


@pytest.mark.parametrize("made", [0, 2, 3, 4])
def test_the_minimum_length_is_that_of_transformers(made: int) -> None:
    scores = np.random.default_rng(1).normal(size=50).astype(np.float32)
    prompt, output = [1, 2], [3] * made
    ours = apply("min_new_tokens", scores, context(prompt, output, [4, 9]), 3)
    processor = oracle.MinNewTokensLengthLogitsProcessor(2, 3, [4, 9])
    np.testing.assert_array_equal(ours, run(processor, scores, prompt + output))


def test_presence_and_frequency_penalties_are_openais_formula_over_the_answer_alone() -> None:
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence, c counting sampled tokens."""
    scores = np.random.default_rng(1).normal(size=12).astype(np.float32)
    seen = context([1, 2, 2], [5, 5, 5, 7])
    counts = np.bincount([5, 5, 5, 7], minlength=12)
    np.testing.assert_allclose(
        apply("frequency_penalty", scores, seen, 0.4), scores - counts * 0.4, rtol=1e-6
    )
    np.testing.assert_allclose(
        apply("presence_penalty", scores, seen, -1.5), scores + (counts > 0) * 1.5, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "value", "processor", "dtype"), CASES, ids=[f"{n}={v}" for n, v, _, _ in CASES]
)
def test_tokens_of_equal_score_share_one_fate(
    name: str, value: float, processor: type, dtype: torch.dtype
) -> None:
    """As in transformers, but for top_p: there, which of the last equals stay is up to its sort."""
    for seed in range(20):
        scores = tied(seed, 200)
        kept = set(scores[apply(name, scores, NOTHING, value) > -np.inf])
        removed = set(scores[apply(name, scores, NOTHING, value) == -np.inf])
        theirs = set(scores[run(processor(value), scores, [], dtype) > -np.inf])
        assert not kept & removed
        assert kept == theirs


def test_a_freezing_temperature_leaves_the_likeliest_token_instead_of_nan() -> None:
    scores = np.array([3, 5, 4.999, -np.inf], np.float32)
    for value in (1e-39, 1e-46, 1e-300):
        cold = apply("temperature", scores, NOTHING, value)
        assert cold[1] == 0
        assert cold[[0, 2, 3]].max() < -1e30
    below = apply("temperature", scores - 1000, NOTHING, 1e-38)
    assert below.argmax() == 1
    assert not np.isnan(below).any()


@pytest.mark.parametrize("scale", [3, 0.1])
@pytest.mark.parametrize("name", ["top_p", "typical_p"])
def test_selecting_from_a_large_vocabulary_equals_sorting_it(name: str, scale: float) -> None:
    scores = (np.random.default_rng(4).normal(size=262_144) * scale).astype(np.float32)
    probs = np.exp(scores.astype(np.float64))
    probs /= probs.sum()
    surprise = -np.log(probs)
    keys = surprise if name == "top_p" else np.abs(surprise - (probs * surprise).sum())
    order = np.argsort(keys)
    for mass in (0.1, 0.9, 0.999):
        kept = apply(name, scores, NOTHING, mass) > -np.inf
        fewest = int((np.cumsum(probs[order]) < mass).sum()) + 1
        # float32 keys near the edge may change places; no more than a few in 262,144
        assert abs(int(kept.sum()) - fewest) <= 3
        assert np.count_nonzero(kept[order[:fewest]]) >= fewest - 3


def test_every_parameter_that_filters_is_a_row_of_the_table() -> None:
    bound = {name for row in FILTERS.values() for name in row.parameters}
    assert bound <= set(PARAMETERS)
    assert {row.name for row in PARAMETERS.values() if row.sampling} <= bound
    assert all(row.doc.endswith(".") for row in FILTERS.values())


# transformers' processors, and the parameter that asks for each, with a value.
PROCESSORS: dict[str, tuple[str, Any]] = {
    "UnbatchedClassifierFreeGuidanceLogitsProcessor": ("guidance_scale", 2.0),
    "SequenceBiasLogitsProcessor": ("sequence_bias", [[[5], 1.0]]),
    "EncoderRepetitionPenaltyLogitsProcessor": ("encoder_repetition_penalty", 0.5),
    "RepetitionPenaltyLogitsProcessor": ("repetition_penalty", 0.5),
    "NoRepeatNGramLogitsProcessor": ("no_repeat_ngram_size", 2),
    "EncoderNoRepeatNGramLogitsProcessor": ("encoder_no_repeat_ngram_size", 2),
    "NoBadWordsLogitsProcessor": ("bad_words_ids", [[5]]),
    "MinNewTokensLengthLogitsProcessor": ("min_new_tokens", 3),
    "ForcedBOSTokenLogitsProcessor": ("forced_bos_token_id", 5),
    "ForcedEOSTokenLogitsProcessor": ("forced_eos_token_id", 5),
    "ExponentialDecayLengthPenalty": ("exponential_decay_length_penalty", (5, 1.5)),
    "SuppressTokensLogitsProcessor": ("suppress_tokens", [6]),
    "SuppressTokensAtBeginLogitsProcessor": ("begin_suppress_tokens", [6]),
    "TemperatureLogitsWarper": ("temperature", 0.5),
    "TopHLogitsWarper": ("top_h", 0.5),
    "TopKLogitsWarper": ("top_k", 5),
    "TopPLogitsWarper": ("top_p", 0.5),
    "MinPLogitsWarper": ("min_p", 0.5),
    "TypicalLogitsWarper": ("typical_p", 0.5),
    "EpsilonLogitsWarper": ("epsilon_cutoff", 0.5),
    "EtaLogitsWarper": ("eta_cutoff", 0.5),
    "WatermarkLogitsProcessor": ("watermarking_config", {"bias": 1.0}),
    "LogitNormalization": ("renormalize_logits", True),
}


def test_the_chain_runs_in_the_order_of_transformers() -> None:
    from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

    given = dict(PROCESSORS.values())
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=20))
    config = GenerationConfig(**given, do_sample=True, eos_token_id=4, max_length=20)
    config._eos_token_tensor = torch.tensor([4])
    prompt = torch.tensor([[1, 2]])
    theirs = model._get_logits_processor(config, 2, encoder_input_ids=prompt, device="cpu")
    ours = Chain(parameters(**given)).filters
    assert [row.name for row in ours] == [PROCESSORS[type(p).__name__][0] for p in theirs]


def test_every_filter_has_a_place_in_every_order() -> None:
    assert all(set(order) == set(FILTERS) for order in ORDERS.values())


def test_the_chain_shows_what_each_filter_leaves() -> None:
    scores = np.array([1, 2, 3, 4], np.float32)
    chain = Chain(parameters(top_k=3, temperature=0.5, top_p=0.5, min_p=0.0))
    steps = [(name, after.dense(4).tolist()) for name, after in chain(Candidates(scores), NOTHING)]
    assert steps == [
        ("temperature", [2, 4, 6, 8]),
        ("top_k", [-np.inf, 4, 6, 8]),
        ("top_p", [-np.inf, -np.inf, -np.inf, 8]),
    ]


def test_greedy_runs_no_filter_of_draws() -> None:
    chain = Chain(parameters(temperature=0, top_p=1, repetition_penalty=1.2))
    assert [row.name for row in chain.filters] == ["repetition_penalty"]


@pytest.mark.parametrize(
    "others", [{}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.1},
               {"typical_p": 0.5}],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_a_filter_that_leaves_no_token_is_named_whatever_comes_behind_it(
    others: dict[str, float],
) -> None:
    chain = Chain(parameters(min_new_tokens=5, **others))
    with pytest.raises(ParameterError, match=r"^min_new_tokens: leaves no token"):
        chain(Candidates(np.zeros(3, np.float32)), context([1], [], [0, 1, 2]))
