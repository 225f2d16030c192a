"""The view of several answers shows each of them in a row."""

from __future__ import annotations

import json
from typing import Any

from pellucid.engine.generation import Generation
from pellucid.look.generation import GenerationView
from pellucid.look.generations import GenerationsView
from pellucid.look.view import plain

ANSWERS = [
    GenerationView(Generation(" the\x1b[2J end", (260, 195), (1, 2), "length", ())),
    GenerationView(Generation("", (), (3,), "stop", ())),
]


def test_it_is_a_sequence_of_its_answers() -> None:
    view = GenerationsView(ANSWERS)
    assert list(view) == ANSWERS
    assert (len(view), view[-1], view[:1]) == (2, ANSWERS[-1], (ANSWERS[0],))


def test_the_json_has_each_answer_as_it_is_alone() -> None:
    data = json.loads(json.dumps(GenerationsView(ANSWERS).to_dict()))
    assert data == {"generations": [json.loads(json.dumps(a.to_dict())) for a in ANSWERS]}


def test_each_answer_has_a_row_with_its_length_and_why_it_ended() -> None:
    lines = repr(GenerationsView(ANSWERS)).splitlines()
    assert [line.split() for line in lines] == [
        ["#", "answer", "tokens", "ended", "by"],
        ["0", "the\\x1b[2J", "end", "2", "length"],
        ["1", "0", "stop"],
    ]


def test_the_html_says_the_same(page: Any) -> None:
    assert page(GenerationsView(ANSWERS).html()).tables[0][1:] == [
        ["0", " the\\x1b[2J end", "2", "length"],
        ["1", "", "0", "stop"],
    ]


def test_many_answers_are_cut_and_it_says_how_many_are_left_out(page: Any) -> None:
    view = GenerationsView(ANSWERS * 60)
    assert "… and 20 more answers; all are in to_dict() and --json" in plain(view.terminal(), 80)
    assert page(GenerationsView(ANSWERS * 251).html()).paragraphs[0].startswith("… and 2 more")
