"""Answers of a form: in every strategy they have it, and each step is the model's own otherwise."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from pellucid.choose import grammar
from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.errors import ParameterError
from pellucid.lm import LM, load
from pellucid.model.run import Run

from .toy import END, ByteTokenizer, Floats, ToyModel, greedy_after, probs_after

PROMPT = [7, 8]
CHOICES = ["ab", "abc", "b", "ca", "cb"]


def ask(engine: Engine, **given: Any) -> Generation:
    return engine.generate([Request(PROMPT, parameters(**given))])[0]


def chance_of(text: str, choices: list[str]) -> float:
    """By definition: step by step the model's distribution over all that can go on."""
    chance, said = 1.0, b""
    ends = [[*choice.encode(), END] for choice in choices]
    for token in [*text.encode(), END]:
        follow = {ids[len(said)] for ids in ends if bytes(ids[: len(said)]) == said}
        probs = probs_after([*PROMPT, *said])
        chance *= probs[token] / probs[sorted(follow)].sum()
        said += bytes([token])
    return chance


def chi_squared(counts: Counter[str], chances: dict[str, float]) -> float:
    total = counts.total()
    return sum((counts[text] - total * p) ** 2 / (total * p) for text, p in chances.items())


def drawn(engine: Engine, count: int, **given: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in range(count // 100):
        first = ask(engine, do_sample=True, seed=seed, num_return_sequences=100, ledger=0, **given)
        answers = [first, *first.alternatives]
        assert {answer.finish_reason for answer in answers} == {"stop"}
        counts.update(answer.text for answer in answers)
    return counts


def test_choices_are_drawn_with_the_models_own_chances(engine: Engine) -> None:
    chances = {text: chance_of(text, CHOICES) for text in CHOICES}
    assert math.isclose(sum(chances.values()), 1)
    counts = drawn(engine, 4_000, choice=CHOICES)
    assert set(counts) <= set(CHOICES)
    assert chi_squared(counts, chances) < 18.5  # 4 degrees of freedom, p = 0.001


def test_choices_of_one_token_have_the_conditional_distribution(engine: Engine) -> None:
    probs = probs_after(PROMPT)
    letters = "aeiou"
    total = sum(probs[ord(letter)] for letter in letters)
    chances = {letter: float(probs[ord(letter)] / total) for letter in letters}
    assert chi_squared(drawn(engine, 2_000, choice=list(letters)), chances) < 18.5


def test_the_likeliest_that_fits_is_taken_and_the_end_when_only_that_is_left(
    engine: Engine,
) -> None:
    probs, said = [], list(PROMPT)
    for _ in range(3):
        digits = probs_after(said)[48:58]
        said.append(48 + int(digits.argmax()))
        probs.append(probs_after(said[:-1])[said[-1]])
    answer = ask(engine, regex="[0-9]{3}")
    assert list(answer.ids) == said[2:]
    assert answer.finish_reason == "stop"
    assert [token.prob for token in answer.tokens] == pytest.approx(probs, rel=1e-5)


def test_the_ledger_says_what_the_form_removed_even_where_it_leaves_one_token(
    engine: Engine,
) -> None:
    answer = ask(engine, choice=["xyz"])
    said = list(PROMPT)
    for token, byte in zip(answer.tokens, b"xyz", strict=True):
        assert token.ledger
        model, constraint = token.ledger.entries
        assert (constraint.name, constraint.left, model.left) == ("constraint", 1, 256)
        assert constraint.removed == pytest.approx(1 - probs_after(said)[byte], rel=1e-5)
        assert set(token.ledger.removed_by) == {"constraint", None}
        assert token.processed_prob == 1
        said.append(byte)


def best_of_all(texts: list[str]) -> str:
    """The text with the highest log-probability per token, by exhaustive search."""

    def score(text: str) -> float:
        ids = [*text.encode(), END]
        steps = (probs_after([*PROMPT, *ids[:n]])[token] for n, token in enumerate(ids))
        return sum(map(math.log, steps)) / len(ids)

    return max(texts, key=score)


WAYS: list[dict[str, Any]] = [
    {},
    {"do_sample": True, "seed": 3},
    {"best_of": 3, "do_sample": True, "seed": 1},
    {"prompt_lookup_num_tokens": 3},
    {"num_beams": 4},
    {"num_beams": 3, "do_sample": True, "seed": 5},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
]


@pytest.mark.parametrize("given", WAYS, ids=lambda given: "+".join(given) or "greedy")
def test_every_strategy_keeps_the_form_in_company_as_alone(given: dict[str, Any]) -> None:
    engine = Engine(ToyModel(), ByteTokenizer())
    forms: list[dict[str, Any]] = [
        {"regex": "(ab|ba){2,6}"},
        {"choice": ["abba", "baab", "abab"]},
        {"json_schema": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 1}},
        {"grammar": 'start: "(" start ")" | "ab"'},
    ]
    requests = [Request(list(b"abab"), parameters(**form, **given)) for form in forms]
    together = engine.generate(requests)
    alone = [Engine(ToyModel(), ByteTokenizer()).generate([r])[0] for r in requests]
    assert [a.ids for a in together] == [a.ids for a in alone]
    fits = [r"(ab|ba){2,6}", r"abba|baab|abab", r"\[\s*[12](\s*,\s*[12])*\s*\]", r"\(*ab\)*"]
    for answer, regex in zip(together, fits, strict=True):
        assert answer.finish_reason == "length" or re.fullmatch(regex, answer.text)


def test_beams_find_the_best_text_of_the_form(engine: Engine) -> None:
    texts = ["ab", "ac", "ba", "bc", "ca", "cb", "aa"]
    found = ask(engine, choice=texts, num_beams=7)
    assert found.text == best_of_all(texts)


def test_guesses_that_are_rejected_leave_no_trace_in_the_grammar(engine: Engine) -> None:
    """Greedy, with guesses looked up in a prompt that misleads."""
    prompt = list(b"[12,21,12,21,12")
    form = {"regex": r"\[(1|2|12|21)(,(1|2|12|21)){3,9}\]"}
    plain = engine.generate([Request(prompt, parameters(**form))])[0]
    guess = parameters(**form, prompt_lookup_num_tokens=4)
    guessed = engine.generate([Request(prompt, guess)])[0]
    assert guessed.ids == plain.ids
    assert guessed.text == plain.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"choice": ["abcd", "abcde"], "max_new_tokens": 3},
            "choice: no text can be spelled",
        ),
        ({"choice": ["ab"], "stop_token_ids": [98]}, "choice: leaves no token to choose from"),
        ({"regex": "ab", "stop_token_ids": [98]}, "regex: leaves no token to choose from"),
        ({"grammar": 'start: "ab"', "stop_token_ids": [98]}, "grammar: leaves no token to choose"),
        ({"json_schema": {"const": "b"}, "stop_token_ids": [98]}, "json_schema: leaves no token"),
        ({"choice": ["ab"], "min_new_tokens": 5}, "min_new_tokens: leaves no token to choose from"),
        ({"regex": r"[^\s\S]"}, "regex: no text matches it"),
        (
            {"regex": "b", "samplers": "temperature"},
            "samplers: leaves out constraint, which regex asks for",
        ),
    ],
)
def test_what_contradicts_the_form_is_refused(
    engine: Engine, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        ask(engine, **given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("form", [{"regex": "(a"}, {"grammar": "start: b"}, {"regex": "[^\\s\\S]"}])
def test_a_form_that_cannot_be_is_refused_before_anything_runs(form: dict[str, str]) -> None:
    class Unused(ToyModel):
        def forward(self, run: Run) -> Floats:
            raise AssertionError("a pass was made")

    requests = [Request(PROMPT), Request(PROMPT, parameters(**form))]
    with pytest.raises(ParameterError, match=f"^{next(iter(form))}: "):
        Engine(Unused(), ByteTokenizer()).run(requests)


@pytest.mark.parametrize(
    "given", [*WAYS, {"assistant_early_exit": 3}], ids=lambda given: "+".join(given) or "greedy"
)
def test_no_pass_waits_for_a_grammar_to_be_compiled(
    engine: Engine, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = engine.start(Request(PROMPT, parameters(regex="(ab|ba){2,6}", **given)))

    def compiled(*_: object) -> None:
        raise AssertionError("a grammar was compiled")

    monkeypatch.setattr(grammar, "_compiled", compiled)
    events = engine.step([running])
    while running.asked:
        events += engine.step([running])
    assert events[-1].generation


def test_a_form_needs_a_tokenizer_and_an_end() -> None:
    with pytest.raises(ParameterError, match="regex: needs a token that ends the answer"):
        ask(Engine(ToyModel()), regex="a")
    with pytest.raises(ParameterError, match="regex: needs a tokenizer"):
        ask(Engine(ToyModel()), regex="a", stop_token_ids=[END])


def test_without_a_form_the_answer_is_the_models_own(engine: Engine) -> None:
    assert ask(engine, max_new_tokens=5, regex="(?s).*").ids != tuple(greedy_after(PROMPT, 5))
    assert ask(engine, max_new_tokens=5).ids == tuple(greedy_after(PROMPT, 5))


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> LM:
    return load(smollm2)


def random_schema(chance: random.Random, depth: int = 2) -> dict[str, Any]:
    """A small schema; those with a kind of their own for each seed."""
    low = chance.randint(-50, 50)
    leaves: list[dict[str, Any]] = [
        {"type": "integer", "minimum": low, "maximum": low + chance.randint(0, 300)},
        {"type": "number", "exclusiveMinimum": low, "maximum": low + 2.5},
        {"type": "integer", "minimum": 0, "maximum": 90, "multipleOf": chance.choice([3, 7])},
        {"type": "string", "minLength": 2, "maxLength": chance.randint(3, 9)},
        {"type": "string", "pattern": r"^[A-Z][a-z]{2,5}( [0-9]{1,3})?$"},
        {"type": ["boolean", "null"]},
        {"enum": ["red", "green", 3, None, {"a": [1]}]},
        {"type": "string", "format": "date"},
    ]
    if depth == 0:
        return chance.choice(leaves)
    names = chance.sample(["id", "name", "größe", "a b", "tags"], 2)
    inner = [random_schema(chance, depth - 1) for _ in names]
    return chance.choice([
        {"type": "array", "items": inner[0], "minItems": 1, "maxItems": 3},
        {"type": "array", "prefixItems": inner, "items": False, "minItems": 2},
        {"type": "object", "properties": dict(zip(names, inner, strict=True)), "required": names,
         "additionalProperties": False},
        {"anyOf": inner},
        {"$ref": "#/$defs/x", "$defs": {"x": chance.choice(leaves)}},
    ])  # fmt: skip


def test_hot_answers_of_a_real_model_are_valid_by_their_schemas(lm: LM) -> None:
    valid = 0
    for seed in range(20):
        schema = random_schema(random.Random(seed))
        if "$defs" in json.dumps(schema) and "$ref" not in schema:
            continue  # a reference counts from the top
        given = {"temperature": 1.5, "seed": seed, "max_new_tokens": 80}
        answer = lm.generate("Some JSON:\n", json_schema=schema, **given)
        if answer.finish_reason == "stop":
            jsonschema.validate(json.loads(answer.text), schema)
            valid += 1
    assert valid >= 12


@pytest.mark.parametrize(
    "regex",
    [r"\d{3}-\d{4}", r"[A-Z]\w{2,8}( and [A-Z]\w{2,8})?", r"(🙂|é|ü){2,4}!", r"\s?\S{1,5}\s?"],
)
def test_hot_answers_of_a_real_model_match_their_regex(lm: LM, regex: str) -> None:
    for seed in range(8):
        answer = lm.generate("A", regex=regex, temperature=1.5, seed=seed, max_new_tokens=40)
        assert answer.finish_reason == "stop"
        assert re.fullmatch(regex, answer.text)


def test_forms_share_a_batch_with_each_other(lm: LM) -> None:
    prompts = ["The capital of France is", "2 + 2 ="]
    together = lm.generate(prompts, regex=r" ?\w+\.")
    assert [g.text for g in together] == [lm.generate(p, regex=r" ?\w+\.").text for p in prompts]
    assert all(np.isfinite(token.logprob) for g in together for token in g.tokens)
