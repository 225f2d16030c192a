"""--edit changes values inside, for each command that runs a model."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import pellucid
from pellucid import changes

from .conftest import Run

PROMPT = "The man walked the"
EDITS = ("--edit", "layers.5.heads.3=zero", "--edit", "layers.12.resid@1:=scale:0.5")


@pytest.fixture
def edited(opened: Callable[..., pellucid.LM]) -> pellucid.LM:
    lm = opened("smollm2").edit("layers.5.heads.3", changes.zero)
    return lm.edit("layers.12.resid", changes.scale(0.5), positions=slice(1, None))


def test_next_and_score_are_those_of_the_edited_model(run: Run, edited: pellucid.LM) -> None:
    assert run("next", PROMPT, *EDITS, "--json").json() == plain(edited.next(PROMPT).to_dict())
    assert run("score", PROMPT, *EDITS, "--json").json() == plain(edited.score(PROMPT).to_dict())
    assert run("next", PROMPT, "--json").json() != run("next", PROMPT, *EDITS, "--json").json()


@pytest.mark.parametrize("command", ["generate", "explain", "tree"])
def test_answers_are_those_of_the_edited_model(run: Run, edited: pellucid.LM, command: str) -> None:
    ran = run(command, PROMPT, *EDITS, "--max-new-tokens", "4", "--json").json()
    truth = getattr(edited, command)(PROMPT, max_new_tokens=4).to_dict()
    assert ran == plain(truth)


def test_chat_and_step_are_those_of_the_edited_model(run: Run, edited: pellucid.LM) -> None:
    said = run("chat", "Name a river.", *EDITS, "--max-new-tokens", "4", "--json").json()
    messages = [{"role": "user", "content": "Name a river."}]
    assert said == plain(edited.chat(messages, max_new_tokens=4).to_dict())
    lines = run("step", PROMPT, *EDITS, "--json", stdin=b"run 2\n").out.splitlines()
    assert json.loads(lines[-1])["ids"] == list(edited.generate(PROMPT, max_new_tokens=2).ids)


def test_a_draft_model_is_not_edited(run: Run, edited: pellucid.LM) -> None:
    given = ("generate", PROMPT, *EDITS, "--max-new-tokens", "6", "--json")
    assert run(*given, "--draft", "smollm2").json()["ids"] == run(*given).json()["ids"]


@pytest.mark.parametrize(("typed", "words"), [
    ("layers.5.heads.9=zero", "--edit: layers.5.attn.heads has no head 9, only 0 to 8"),
    ("layers.30.resid=zero", "--edit: 'layers.30.resid' is no site of this model; there are embed"),
    ("layers.5.resid", "--edit: must be SITE=CHANGE, not 'layers.5.resid'"),
    ("layers.5.resid=ablate", "--edit: 'ablate' is no change; there are zero, scale, add, clamp"),
    ("layers.5.resid=scale", "--edit: scale takes factor: missing"),
    ("layers.5.resid=scale:big", "--edit: needs numbers behind 'scale', not 'big'"),
    ("layers.5.resid@-1=zero", "positions: count from the start, 0 or more"),
    ("layers.5.resid@x=zero", "positions: must be as 4, 1,7 or 2:9, not 'x'"),
])  # fmt: skip
def test_what_cannot_be_is_told_in_a_line(run: Run, typed: str, words: str) -> None:
    ran = run("next", PROMPT, "--edit", typed)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"pellucid: {words}")
    assert ran.err.count("\n") == 1


def plain(value: object) -> object:
    """What JSON makes of a value."""
    return json.loads(json.dumps(value))
