"""The view of an answer shows its text, and each token's probability and rank."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pellucid.engine.generation import GeneratedToken, Generation
from pellucid.errors import ParameterError
from pellucid.look.generation import GenerationView
from pellucid.look.view import plain

TOKENS = (
    GeneratedToken(260, " the", 0.5, 1, 0.5),
    GeneratedToken(195, "", 0.25, 3, 0.25),
    GeneratedToken(169, "é\n", 1.0, 1, 1.0),
)
GENERATION = Generation(" the é\n", (260, 195, 169), (1, 2), "length", TOKENS, seed=70)


def test_the_json_is_the_contract() -> None:
    data = json.loads(json.dumps(GenerationView(GENERATION).to_dict()))
    assert {name: data[name] for name in ("text", "ids", "prompt_ids", "finish_reason")} == {
        "text": " the é\n",
        "ids": [260, 195, 169],
        "prompt_ids": [1, 2],
        "finish_reason": "length",
    }
    named = {"id": 260, "text": " the", "prob": 0.5, "rank": 1, "processed_prob": 0.5}
    assert data["tokens"][0] == named


def test_it_gives_what_the_generation_gives() -> None:
    view = GenerationView(GENERATION)
    assert (view.text, view.ids, view.prompt_ids) == (" the é\n", (260, 195, 169), (1, 2))
    assert (view.finish_reason, view.tokens, view.seed) == ("length", TOKENS, 70)


def test_the_terminal_shows_the_text_and_a_row_for_each_token() -> None:
    lines = plain(GenerationView(GENERATION).terminal(), 80).splitlines()
    assert lines[0] == " the é"
    rows = [line.split() for line in lines if line.strip()][1:5]
    assert rows == [
        ["#", "id", "token", "probability", "rank"],
        ["0", "260", "␣the", "50.00", "%", "1", "█" * 12],
        ["1", "195", "part", "of", "a", "character", "25.00", "%", "3", "█" * 6],
        ["2", "169", "é↵", "100.00", "%", "1", "█" * 24],
    ]
    assert lines[-1].startswith("3 tokens, ended at the length asked for")
    assert lines[-1].endswith("seed 70 repeats it.")


def test_what_filters_changed_stands_beside_what_the_model_said(page: Any) -> None:
    tokens = (GeneratedToken(260, " the", 0.25, 1, 0.5), *TOKENS[1:])
    view = GenerationView(Generation("", (), (), "stop", tokens))
    head, first, *_ = page(view.html()).tables[0]
    assert head[3:6] == ["model's own", "after filters", "rank"]
    assert first[3:6] == ["25.00 %", "50.00 %", "1"]
    lines = plain(view.terminal(), 80).splitlines()
    assert any("model's own  after filters" in line for line in lines)
    assert any("␣the" in line and "25.00 %        50.00 %" in line for line in lines)


def test_rounding_is_no_change() -> None:
    token = GeneratedToken(260, " the", 0.25, 1, 0.25000001)
    assert "after filters" not in str(GenerationView(Generation("", (), (), "stop", (token,))))


def test_bytes_show_what_the_text_of_a_token_cannot(page: Any) -> None:
    view = GenerationView(GENERATION, [b" the", b"\xc3", b"\xa9\n"])
    assert [row[2] for row in page(view.html()).tables[0][1:]] == ["␣the", r"\xc3", r"\xa9↵"]
    assert r"\xc3" in str(view)


@pytest.mark.parametrize(("reason", "told"), [("stop", "at a stop."), ("length", "at the length")])
def test_why_it_ended_is_told(reason: Any, told: str) -> None:
    view = GenerationView(Generation("a", (1,), (), reason, TOKENS[:1]))
    assert told in str(view)
    assert "seed" not in str(view)


def test_the_html_says_the_same_as_the_data(page: Any) -> None:
    read = page(GenerationView(GENERATION).html())
    assert read.paragraphs[0] == " the é\n"
    assert [row[:5] for row in read.tables[0][1:]] == [
        ["0", "260", "␣the", "50.00 %", "1"],
        ["1", "195", "part of a character", "25.00 %", "3"],
        ["2", "169", "é↵", "100.00 %", "1"],
    ]


def test_an_answer_of_nothing_is_a_view_too(page: Any) -> None:
    view = GenerationView(Generation("", (), (1,), "stop", ()))
    assert str(view).strip() == "0 tokens, ended at a stop."
    page(view.html())


def test_a_long_answer_keeps_its_text_and_cuts_its_table(page: Any) -> None:
    tokens = (GeneratedToken(1, "word ", 0.5, 1, 0.5),) * 150
    view = GenerationView(Generation("word " * 150, (1,) * 150, (), "length", tokens))
    assert "… and 50 more tokens" in str(view)
    assert page(view.html()).paragraphs[0] == "word " * 150


def test_a_hostile_answer_is_shown_and_not_obeyed(page: Any, is_harmless: Any) -> None:
    text = "Hi \x1b]0;owned\x07\u202egnp.exe <img src=x onerror=alert(1)> [red]\x9b2J"
    view = GenerationView(
        Generation(text, (1,), (), "stop", (GeneratedToken(1, text, 0.5, 1, 0.5),))
    )
    shown = r"Hi \x1b]0;owned\x07\u202egnp.exe <img src=x onerror=alert(1)> [red]\u009b2J"
    assert page(view.html()).paragraphs[0] == shown
    assert plain(view.terminal(), 200).splitlines()[0] == shown
    assert is_harmless(str(view) + view.html())


def test_other_answers_are_views_and_stand_below(page: Any) -> None:
    other = Generation(" a\x1b[2J", (1,), (), "stop", (), score=-0.5)
    view = GenerationView(Generation("one", (1,), (), "stop", TOKENS[:1], alternatives=(other,)))
    assert [one.text for one in view.alternatives] == [other.text]
    assert view.to_dict()["alternatives"][0]["text"] == other.text
    lines = plain(view.terminal(), 80).splitlines()
    assert lines[-2].split() == ["#", "another", "answer", "tokens", "score"]
    assert lines[-1].split() == ["1", "a\\x1b[2J", "1", "-0.500"]
    assert page(view.html()).tables[1][1] == ["1", " a\\x1b[2J", "1", "-0.500"]


def test_a_view_without_its_model_cannot_go_on() -> None:
    with pytest.raises(ParameterError, match="branch: needs the model"):
        GenerationView(GENERATION).branch(at=1)
