"""What filters do to whole answers: texts become ids, streams run beside, ends are forced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.errors import BackendError, ParameterError

from .toy import END, VOCAB, ByteTokenizer, ToyModel, greedy_after, logits_after, probs_after

PROMPT = [7, 8]


def answer(engine: Engine, ids: Sequence[int] = PROMPT, **given: Any) -> Generation:
    return engine.generate([Request(ids, parameters(**{"max_new_tokens": 12} | given))])[0]


def refused(engine: Engine, message: str, **given: Any) -> None:
    with pytest.raises(ParameterError, match=message):
        answer(engine, **given)


# ---- log-probabilities -------------------------------------------------------------------------


@pytest.mark.parametrize("way", [{"seed": 4}, {"penalty_alpha": 0.3}, {"num_beams": 3, "seed": 2}])
def test_log_probabilities_are_the_models_own_and_those_after_all_filters(
    engine: Engine, way: dict[str, Any]
) -> None:
    hot = {} if "penalty_alpha" in way else {"temperature": 0.6}
    found = answer(engine, top_k=10, **way, **hot)
    for place, token in enumerate(found.tokens):
        own = probs_after(PROMPT + list(found.ids[:place]))
        assert token.logprob == pytest.approx(np.log(own[token.id]), rel=1e-4)
        assert token.rank == 1 + np.count_nonzero(own > own[token.id])
        weights = own ** (1 / 0.6) if hot else own
        kept = np.sort(weights)[-10:] if hot else weights
        after = np.log(weights[token.id] / kept.sum())
        assert token.processed_logprob == pytest.approx(after, rel=1e-4)


# ---- guidance --------------------------------------------------------------------------------


def guided(negative: list[int], scale: float, count: int) -> list[int]:
    """Guidance by its formula, on the toy's exact distributions."""
    ids: list[int] = []
    for _ in range(count):
        own, other = np.log(probs_after(PROMPT + ids)), np.log(probs_after(negative + ids))
        ids.append(int((other + scale * (own - other)).argmax()))
    return ids


@pytest.mark.parametrize("scale", [0, 0.5, 3])
@pytest.mark.parametrize("negative", [[5], [9, 10, 11, 12, 13]])
def test_guidance_is_its_formula_token_by_token(
    engine: Engine, negative: list[int], scale: float
) -> None:
    given = {"guidance_scale": scale, "negative_prompt_ids": negative}
    assert list(answer(engine, **given).ids) == guided(negative, scale, 12)


def test_without_a_negative_prompt_it_is_the_last_token(engine: Engine) -> None:
    assert list(answer(engine, guidance_scale=2).ids) == guided(PROMPT[-1:], 2, 12)


def test_a_negative_prompt_may_be_a_text(engine: Engine) -> None:
    by_text = answer(engine, guidance_scale=2, negative_prompt="no")
    assert by_text == answer(engine, guidance_scale=2, negative_prompt_ids=list(b"no"))


def test_several_answers_are_guided_each_by_a_stream_of_its_own(engine: Engine) -> None:
    given = {"guidance_scale": 2.0, "do_sample": True, "seed": 3}
    first = answer(engine, **given, num_return_sequences=3)
    assert first.ids == answer(engine, **given).ids
    for one in (first, *first.alternatives):
        ids = list(one.ids)
        for place, token in enumerate(one.tokens):
            own, other = (np.log(probs_after(p + ids[:place])) for p in (PROMPT, PROMPT[-1:]))
            wanted = np.exp(other + 2 * (own - other))
            assert token.processed_prob == pytest.approx(wanted[token.id] / wanted.sum(), rel=1e-4)


def test_a_second_stream_goes_along_with_guesses_and_beams() -> None:
    """What is looked up is checked in both streams; a beam that forks forks both."""

    def looping(ids: tuple[int, ...], logits: Any) -> Any:
        wanted = logits.copy()
        wanted[97 + (ids[-1] - 96) % 5] += 12  # so that guesses are right now and then
        return wanted

    engine = Engine(ToyModel(spoil=looping), ByteTokenizer())
    given: dict[str, Any] = {"guidance_scale": 2, "negative_prompt": "no", "max_new_tokens": 40}
    plain = answer(engine, **given)
    guessed = answer(engine, **given, prompt_lookup_num_tokens=4)
    assert guessed.ids == plain.ids
    assert guessed.accepted
    several = [
        {},
        {"prompt_lookup_num_tokens": 4},
        {"num_beams": 3},
        {"do_sample": True, "seed": 1},
    ]
    requests = [Request(PROMPT, parameters(**given, **one)) for one in several]
    assert engine.generate(requests) == [engine.generate([one])[0] for one in requests]
    searched = answer(engine, **given | {"max_new_tokens": 1}, num_beams=3)
    assert searched.ids == plain.ids[:1]


@pytest.mark.parametrize(("prompt", "negative"), [(3, 700), (700, 3), (700, 300)])
def test_in_company_a_long_stream_goes_in_chunks_and_nothing_changes(
    prompt: int, negative: int
) -> None:
    rng = np.random.default_rng(prompt + negative)
    ids, other = (rng.integers(1, VOCAB, length).tolist() for length in (prompt, negative))
    given = parameters(guidance_scale=2, negative_prompt_ids=other, max_new_tokens=5)
    model = ToyModel()
    model.config = type(model.config)(context_length=1000)
    requests = [Request(ids, given), Request(PROMPT, parameters(max_new_tokens=8))]
    together = Engine(model).generate(requests)
    assert max(map(max, model.passes)) <= 256 + 1
    assert together == [Engine(model).generate([request])[0] for request in requests]


def test_the_longer_of_both_prompts_bounds_the_answer(engine: Engine) -> None:
    given = {"guidance_scale": 2, "max_new_tokens": 60}
    assert len(answer(engine, **given, negative_prompt_ids=[5] * 60).ids) == 4
    refused(engine, "negative_prompt: has 64 tokens", **given, negative_prompt_ids=[5] * 64)


def test_a_negative_prompt_that_cannot_be_one_is_refused(engine: Engine) -> None:
    given = {"guidance_scale": 2, "negative_prompt": ""}
    refused(engine, "negative_prompt: has no tokens", **given)
    refused(Engine(ToyModel()), "negative_prompt: needs a tokenizer", **given)


def test_nan_in_the_second_stream_is_an_error() -> None:
    def spoiled(ids: tuple[int, ...], logits: Any) -> Any:
        return logits * np.float32(np.nan) if ids[0] == 5 else logits

    engine = Engine(ToyModel(spoil=spoiled))
    with pytest.raises(BackendError, match="NaN"):
        answer(engine, guidance_scale=2, negative_prompt_ids=[5])


# ---- words -----------------------------------------------------------------------------------


class Spaced(ByteTokenizer):
    """Spells a word behind a space with one token, and alone by its bytes."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        assert not add_special_tokens
        return [200] if text == " cat" else list(text.encode())


def banned(text: str, tokenizer: Any) -> Any:
    engine = Engine(ToyModel(), tokenizer)
    running = engine.start(Request(PROMPT, parameters(bad_words=text)))
    return running.task.parameters.bad_words_ids


def test_a_bad_word_is_spelled_with_and_without_a_space_before_it() -> None:
    assert banned("cat", Spaced()) == (tuple(b"cat"), (200,))
    assert banned(" cat", Spaced()) == (tuple(b"cat"), (200,))
    assert banned("\n", ByteTokenizer()) == ((10,), (32, 10))
    assert banned(" ", ByteTokenizer()) == ((32,),)


def test_a_bad_word_never_comes(engine: Engine) -> None:
    letter = next(token for token in answer(engine).ids if 32 < token < 127)
    assert letter not in answer(engine, bad_words=chr(letter)).ids


def test_bad_words_that_cannot_be_forbidden_are_refused(engine: Engine) -> None:
    refused(Engine(ToyModel()), "bad_words: needs a tokenizer", bad_words="cat")
    refused(engine, "bad_words_ids: 0 ends the answer", bad_words_ids=[[5, 6], [END]])
    assert answer(engine, bad_words_ids=[[5, END]])


def test_a_token_that_the_vocabulary_does_not_have_is_refused(engine: Engine) -> None:
    named: list[tuple[str, Any]] = [
        ("bad_words_ids", [[3, VOCAB]]),
        ("sequence_bias", {(VOCAB,): 1.0}),
        ("logit_bias", {VOCAB: 1.0}),
        ("allowed_token_ids", [VOCAB]),
        ("suppress_tokens", [VOCAB]),
        ("begin_suppress_tokens", [VOCAB]),
        ("forced_bos_token_id", VOCAB),
        ("forced_eos_token_id", VOCAB),
    ]
    for name, value in named:
        refused(engine, f"{name}: 256 at place . is no token id", **{name: value})
    refused(engine, "negative_prompt_ids: 256", guidance_scale=2, negative_prompt_ids=[VOCAB])


# ---- first and last tokens -------------------------------------------------------------------


def test_the_first_token_is_forced_and_the_model_goes_on_from_it(engine: Engine) -> None:
    assert list(answer(engine, forced_bos_token_id=5).ids) == [5, *greedy_after([*PROMPT, 5], 11)]


def test_a_forced_end_ends_the_answer_at_its_full_length(engine: Engine) -> None:
    short = answer(engine, max_new_tokens=6, forced_eos_token_id=END)
    assert list(short.ids) == greedy_after(PROMPT, 5)
    assert short.finish_reason == "stop"


def test_the_beginning_is_the_first_token_alone(engine: Engine) -> None:
    first = greedy_after(PROMPT, 1)[0]
    second = int(np.argsort(-logits_after(tuple(PROMPT)))[1])
    ids = list(answer(engine, begin_suppress_tokens=first).ids)
    assert ids == [second, *greedy_after([*PROMPT, second], 11)]


def test_a_growing_wish_to_end_needs_a_token_that_ends(engine: Engine) -> None:
    refused(Engine(ToyModel()), "has no effect", exponential_decay_length_penalty=(1, 1.5))
    ended = answer(engine, exponential_decay_length_penalty=(4, 50))
    assert ended.finish_reason == "stop"
    assert len(ended.ids) > 4


# ---- all together ----------------------------------------------------------------------------


def test_each_answer_is_the_same_in_company() -> None:
    given: list[dict[str, Any]] = [
        {"guidance_scale": 2},
        {"no_repeat_ngram_size": 1, "watermarking_config": {"bias": 3.0}},
        {"do_sample": True, "seed": 4, "eta_cutoff": 0.01, "renormalize_logits": True},
        {"bad_words": "a", "logit_bias": {65: 8}, "repetition_penalty": 3, "repeat_last_n": 2},
    ]
    engine = Engine(ToyModel(), ByteTokenizer())
    requests = [Request(PROMPT, parameters(max_new_tokens=12, **one)) for one in given]
    assert engine.generate(requests) == [engine.generate([request])[0] for request in requests]
