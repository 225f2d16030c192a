"""Speculation with real models: the answers of transformers, and of the model alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pellucid
from pellucid import LM
from pellucid.engine.generation import GeneratedToken
from pellucid.errors import ParameterError

GOLDEN = json.loads((Path(__file__).parent.parent / "choose/golden/assisted.json").read_text())
TEXT = "The cat sat on the mat. The dog sat on the rug. The cat sat on the mat. The dog"
WAYS: dict[str, dict[str, Any]] = {
    "lookup": {"prompt_lookup_num_tokens": 5},
    "early exit": {"assistant_early_exit": 24, "num_assistant_tokens": 3},
}


@pytest.fixture(scope="module")
def models(smollm2: Path, gemma3: Path) -> dict[str, LM]:
    return {"smollm2": pellucid.load(smollm2), "gemma3": pellucid.load(gemma3)}


def plain(token: GeneratedToken) -> tuple[Any, ...]:
    return token.id, token.text, token.prob, token.rank, token.processed_prob


@pytest.mark.parametrize("number", range(len(GOLDEN["cases"])))
def test_prompt_lookup_answers_as_in_transformers(number: int, models: dict[str, LM]) -> None:
    case = GOLDEN["cases"][number]
    given = dict(case["parameters"])
    ends = given.pop("eos_token_id")
    answer = models[case["model"]].generate(case["prompt_ids"], stop_token_ids=ends, **given)
    said = case["outputs"][0]
    assert list(answer.ids) == (said[:-1] if said[-1] == ends else said)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_every_number_of_an_answer_is_what_it_is_without(
    way: str, name: str, models: dict[str, LM]
) -> None:
    lm, given = models[name], WAYS[way]
    if name == "gemma3" and way == "early exit":
        given = {"assistant_early_exit": 15}
    asked = [TEXT, "To make good bread at home, you need"]
    guessed = lm.generate(asked, max_new_tokens=24, **given)
    alone = [lm.generate(one, max_new_tokens=24) for one in asked]
    for ours, theirs in zip(guessed.generations, alone, strict=True):
        assert list(map(plain, ours.tokens)) == list(map(plain, theirs.tokens))
        assert ours.generation.drafted


def test_a_model_that_guesses_for_itself_is_always_right(models: dict[str, LM]) -> None:
    lm = models["smollm2"]
    answer = lm.generate(TEXT, draft=lm, max_new_tokens=21)
    assert answer.ids == lm.generate(TEXT, max_new_tokens=21).ids
    assert (answer.generation.drafted, answer.generation.accepted) == (16, 16)
    drawn = lm.generate(TEXT, draft=lm, max_new_tokens=21, temperature=0.8, top_p=0.9, seed=1)
    assert (drawn.generation.drafted, drawn.generation.accepted) == (16, 16)
    assert str(drawn).endswith("Of 16 guessed tokens, 16 were right.")


def test_a_conversation_may_have_a_model_that_guesses(models: dict[str, LM]) -> None:
    lm = models["smollm2"]
    ours, theirs = lm.conversation(), lm.conversation()
    for text in ("Say hello.", "Say it again."):
        heard = ours.say(text, draft=lm, max_new_tokens=12).finish()
        assert heard.ids == theirs.say(text, max_new_tokens=12).finish().ids


def test_a_model_of_other_tokens_cannot_guess(models: dict[str, LM]) -> None:
    message = "draft: has 262144 tokens, the model 49152; both need the same vocabulary"
    with pytest.raises(ParameterError, match=message):
        models["smollm2"].generate("a", draft=models["gemma3"])
