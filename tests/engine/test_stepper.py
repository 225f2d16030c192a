"""An answer by hand is what a generation would give, and anything can be taken back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.engine.stepper import Stepper
from pellucid.errors import BackendError, ParameterError

from .toy import END, ByteTokenizer, ToyConfig, ToyModel, greedy_after, probs_after, spelling

PROMPT = [5, 6, 7]


def generated(engine: Engine, prompt: list[int] = PROMPT, **given: Any) -> Generation:
    return engine.generate([Request(prompt, parameters(**given))])[0]


def sampled(walk: Stepper, count: int) -> Stepper:
    for _ in range(count):
        walk.sample()
    return walk


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"temperature": 1.5, "seed": 3},
        {"temperature": 1.5, "seed": 3, "xtc_probability": 0.5, "xtc_threshold": 0.01},
        {"mirostat": 2, "mirostat_tau": 3.0, "seed": 3},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "top_k": 20, "seed": 1},
        {"guidance_scale": 1.5, "negative_prompt_ids": [9, 9], "temperature": 0.7, "seed": 2},
        {"regex": "[a-f]+", "temperature": 1.0, "seed": 2},
        {"dry_multiplier": 0.8, "temperature": 1.0, "seed": 4},
    ],
)
def test_one_that_only_samples_says_what_a_generation_says(
    engine: Engine, given: dict[str, Any]
) -> None:
    answer = generated(engine, max_new_tokens=12, **given)
    walk = Stepper(engine, PROMPT, max_new_tokens=12, **given)
    while not walk.over:
        walk.sample()
    assert walk.answer().tokens == list(answer.tokens)  # with their ledgers
    assert (walk.answer().text, walk.answer().finish_reason) == (answer.text, answer.finish_reason)


def test_looking_at_the_candidates_draws_nothing(engine: Engine) -> None:
    given = {"temperature": 1.5, "xtc_probability": 0.5, "xtc_threshold": 0.01, "seed": 3}
    looked = Stepper(engine, PROMPT, **given)
    for _ in range(8):
        assert looked.candidates(5) == looked.candidates(5)
        looked.sample()
    assert looked.ids == sampled(Stepper(engine, PROMPT, **given), 8).ids


def test_the_candidates_have_the_models_probability_and_that_after_the_filters(
    engine: Engine,
) -> None:
    first, *_, last = Stepper(engine, PROMPT, temperature=0.5, top_k=2).candidates(4).entries
    exact = probs_after(PROMPT)
    leading = np.argsort(-exact)[:4]
    assert first.probs == pytest.approx(exact[leading], rel=1e-5)
    squared = exact[leading[:2]] ** 2
    assert last.probs == pytest.approx([*(squared / squared.sum()), 0, 0], rel=1e-5)


def test_what_is_picked_is_what_follows_it(engine: Engine) -> None:
    walk = sampled(Stepper(engine, PROMPT), 2)
    say = walk.pick(77)
    before = [*PROMPT, *greedy_after(PROMPT, 2)]
    assert (say.prob, say.rank) == (
        pytest.approx(probs_after(before)[77], rel=1e-5),
        1 + int((probs_after(before) > probs_after(before)[77]).sum()),
    )
    assert sampled(walk, 3).ids[3:] == tuple(greedy_after([*before, 77], 3))


def test_a_token_that_a_filter_removed_can_be_picked_and_its_ledger_says_so(
    engine: Engine,
) -> None:
    walk = Stepper(engine, PROMPT, top_k=1)
    least = int(probs_after(PROMPT).argmin())
    ledger = walk.pick(least).ledger
    assert ledger
    assert ledger.by_hand
    assert dict(zip(ledger.ids.tolist(), ledger.removed_by, strict=True))[least] == "top_k"
    assert walk.ids == (least,)


def test_a_form_is_binding_and_is_so_until_it_is_unset(engine: Engine) -> None:
    walk = Stepper(engine, PROMPT, regex="[ab]+c")
    with pytest.raises(ParameterError, match=r"regex: does not allow token 99 here; unset it"):
        walk.pick(ord("c"))
    walk.pick(ord("a"))
    walk.pick(ord("c"))
    walk.back()
    walk.set(regex=None)
    walk.pick(ord("!"))
    assert walk.ids == (ord("a"), ord("!"))


def test_taking_back_computes_nothing_and_what_follows_is_as_if_nothing_had_been(
    engine: Engine, model: ToyModel
) -> None:
    walk = sampled(Stepper(engine, PROMPT), 6)
    before = [walk.candidates(5)]
    for _ in range(4):
        walk.back()
        before.append(walk.candidates(5))
    assert model.passes == [[3], *[[1]] * 6]
    walk.pick(77)
    assert sampled(walk, 2).ids[3:] == tuple(greedy_after([*PROMPT, *walk.ids[:3]], 2))
    assert model.passes[7:] == [[1], [1]]


def test_far_back_one_token_is_fed_again(engine: Engine, model: ToyModel) -> None:
    long = Engine(ToyModel(ToyConfig(context_length=300)), ByteTokenizer())
    walk = sampled(Stepper(long, PROMPT, suppress_tokens=[END]), 100)
    walk.back(90)
    fed = len(long.model.passes)  # type: ignore[attr-defined]
    again = walk.candidates(5)
    assert long.model.passes[fed:] == [[1]]  # type: ignore[attr-defined]
    fresh = Stepper(long, [*PROMPT, *walk.ids], suppress_tokens=[END])
    assert again == fresh.candidates(5)


def test_parameters_change_from_here_on(engine: Engine, model: ToyModel) -> None:
    walk = sampled(Stepper(engine, PROMPT), 3)
    rows = sum(model.rows)
    walk.set(suppress_tokens=[walk.candidates(1).token], repetition_penalty=2.0)
    assert walk.parameters.repetition_penalty == 2.0
    say = walk.sample()
    assert sum(model.rows) == rows + 1  # that of the fourth token
    fresh = Stepper(engine, PROMPT, **walk._given)
    for token in walk.ids[:3]:
        fresh.pick(token)
    assert fresh.sample() == say
    walk.set(suppress_tokens=None, repetition_penalty=None)
    assert sampled(walk, 2).ids[4:] == tuple(greedy_after([*PROMPT, *walk.ids[:4]], 2))
    assert model.passes[-2:] == [[1], [1]]


def test_guidance_can_be_set_on_the_way(engine: Engine) -> None:
    given: dict[str, Any] = {"guidance_scale": 2.0, "negative_prompt_ids": [9]}
    walk = sampled(Stepper(engine, PROMPT), 3)
    walk.candidates(1)
    walk.set(**given)
    fresh = Stepper(engine, PROMPT, **given)
    for token in walk.ids:
        fresh.pick(token)
    assert walk.candidates(9) == fresh.candidates(9)
    walk.back(2)
    fresh.back(2)
    assert sampled(walk, 4).ids == sampled(fresh, 4).ids


def test_a_change_keeps_the_seed_and_goes_on_with_the_draws(engine: Engine) -> None:
    given = {"temperature": 1.0, "min_new_tokens": 12}  # or a drawn seed may end the answer
    once = Stepper(engine, PROMPT, **given)
    twice = Stepper(engine, PROMPT, **given, seed=once.parameters.seed)
    sampled(once, 4).set(top_k=250)
    once.set(top_k=None)
    assert sampled(once, 4).ids == sampled(twice, 8).ids
    once.set(temperature=0)
    once.sample()
    once.set(temperature=1.0)
    assert once.parameters.seed == twice.parameters.seed
    once.back(9)
    once.set(seed=None)
    assert once.parameters.seed != twice.parameters.seed
    once.set(seed=8)
    assert sampled(once, 3).ids == generated(engine, **given, seed=8).ids[:3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": 4}, "seed: has no effect without sampling"),
        ({"temperature": -1}, "temperature: must be"),
        ({"nonsense": 1}, "nonsense: no such parameter"),
        ({"num_beams": 2}, "num_beams: has no effect step by step"),
        ({"prompt_lookup_num_tokens": 2}, "prompt_lookup_num_tokens: has no effect step by step"),
        ({"num_return_sequences": 2, "do_sample": True}, "num_return_sequences: has no effect"),
        ({"max_new_tokens": 2}, "max_new_tokens: the answer would have ended before here"),
        ({"suppress_tokens": [999]}, "suppress_tokens: 999 at place 0"),
    ],
)
def test_a_change_that_cannot_be_leaves_all_as_it_was(
    engine: Engine, given: dict[str, Any], message: str
) -> None:
    walk = sampled(Stepper(engine, PROMPT, repetition_penalty=1.2), 3)
    twin = walk.fork()
    with pytest.raises(ParameterError, match=message):
        walk.set(**given)
    assert sampled(walk, 3).ids == sampled(twin, 3).ids


def test_forks_go_on_by_themselves_and_draw_as_further_answers_do(
    engine: Engine, model: ToyModel
) -> None:
    given: dict[str, Any] = {"temperature": 1.2, "mirostat": 2, "seed": 5, "max_new_tokens": 5}
    answer = generated(engine, num_return_sequences=3, **given)
    model.passes.clear()
    first = Stepper(engine, PROMPT, **given)
    first.candidates(1)
    second, third = first.fork(), first.fork()
    for _ in range(5):
        for walk in (third, first, second):
            if not walk.over:
                walk.sample()
    ids = [walk.answer().tokens for walk in (first, second, third)]
    assert ids == [list(one.tokens) for one in (answer, *answer.alternatives)]
    assert model.passes[0] == [3]
    assert all(fed == [1] for fed in model.passes[1:])


def test_an_answer_that_is_over_says_so_and_is_open_again_once_taken_back() -> None:
    engine = Engine(ToyModel(spoil=spelling("ab", len(PROMPT))), ByteTokenizer())
    walk = sampled(Stepper(engine, PROMPT), 3)
    assert walk.over
    assert (walk.answer().text, walk.answer().finish_reason) == ("ab", "stop")
    for grow in (walk.sample, lambda: walk.pick(7)):
        with pytest.raises(ParameterError, match="the answer has ended; go back"):
            grow()
    walk.back()
    assert not walk.over
    walk.pick(ord("!"))
    assert walk.answer().text == "ab!"


def test_there_is_an_end_to_taking_back(engine: Engine) -> None:
    walk = Stepper(engine, PROMPT)
    with pytest.raises(ParameterError, match="no token to take back"):
        walk.back()
    with pytest.raises(ParameterError, match="back: must be a whole number from 1 to 1"):
        sampled(walk, 1).back(2)


def test_nothing_is_picked_from_what_is_no_number() -> None:
    model = ToyModel(spoil=lambda ids, logits: logits * np.float32("nan"))
    with pytest.raises(BackendError, match="NaN"):
        Stepper(Engine(model, ByteTokenizer()), PROMPT).sample()
