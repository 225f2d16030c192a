"""The view of what comes next shows the candidates and the probability of all others."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pellucid.look.next import Candidate, NextView
from pellucid.look.view import plain

CANDIDATES = [
    Candidate(284, " to", 17.25, 0.5, 1),
    Candidate(1024, " home", 16.0, 0.125, 2),
    Candidate(12, "\ufffd", -3.5, 0.00001, 3, b"\xe2\x96"),
]


def test_the_json_is_the_contract() -> None:
    data = json.loads(json.dumps(NextView(CANDIDATES, vocab_size=49152).to_dict()))
    assert data["next"][0] == {"id": 284, "text": " to", "logit": 17.25, "prob": 0.5, "rank": 1}
    assert [entry["rank"] for entry in data["next"]] == [1, 2, 3]
    assert data["rest"] == pytest.approx(1 - 0.62501)


def test_a_logit_that_was_removed_is_null_in_json() -> None:
    removed = NextView([Candidate(1, "a", float("-inf"), 0.0, 1)])
    assert removed.to_dict()["next"][0]["logit"] is None
    assert "-inf" in str(removed)


def test_it_is_a_sequence_of_its_candidates() -> None:
    view = NextView(CANDIDATES)
    assert list(view) == CANDIDATES
    assert view[:2] == tuple(CANDIDATES[:2])


def test_the_terminal_shows_a_row_and_a_bar_for_each() -> None:
    lines = plain(NextView(CANDIDATES, vocab_size=49152).terminal(), 80).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["rank", "id", "token", "logit", "probability"],
        ["1", "284", "␣to", "17.25", "50.00", "%", "█" * 12],
        ["2", "1024", "␣home", "16.00", "12.50", "%", "█" * 3],
        ["3", "12", r"\xe2\x96", "-3.50", "<", "0.01", "%"],
    ]
    assert lines[-1] == "All other 49,149 tokens together have 37.50 %."


def test_without_the_size_of_the_vocabulary_the_rest_is_still_told() -> None:
    assert "All other tokens together have 37.50 %." in str(NextView(CANDIDATES))


def test_there_are_no_others_when_all_are_shown() -> None:
    view = NextView(CANDIDATES, vocab_size=3)
    assert "other" not in str(view)


def test_the_html_says_the_same_as_the_data(page: Any) -> None:
    read = page(NextView(CANDIDATES, vocab_size=49152).html())
    (heading, *rows) = read.tables[0]
    assert heading == ["rank", "id", "token", "logit", "probability", ""]
    assert [row[:5] for row in rows] == [
        ["1", "284", "␣to", "17.25", "50.00 %"],
        ["2", "1024", "␣home", "16.00", "12.50 %"],
        ["3", "12", r"\xe2\x96", "-3.50", "< 0.01 %"],
    ]
    assert read.paragraphs == ["All other 49,149 tokens together have 37.50 %."]


def test_a_bar_is_as_long_as_the_probability(page: Any) -> None:
    styles = [v for tag, name, v in page(NextView(CANDIDATES).html()).attributes if name == "style"]
    lengths = [float(re.fullmatch(r"width:([\d.]+)%", style)[1]) for style in styles]
    assert lengths == [50.0, 12.5, 0.0]


def test_many_candidates_are_cut() -> None:
    view = NextView([Candidate(i, "a", 0.0, 0.001, i + 1) for i in range(1000)])
    assert "… and 900 more tokens; all are in to_dict() and --json" in str(view)
    assert len(view.to_dict()["next"]) == 1000


def test_numbers_that_are_none_do_no_harm(page: Any) -> None:
    view = NextView([Candidate(1, "a", float("nan"), float("nan"), 1)])
    assert "nan" in str(view)
    assert page(view.html()).tables[0][1][3] == "nan"
    assert view.to_dict()["next"][0]["prob"] is None


def test_hostile_pieces_are_shown_and_not_obeyed(hostile: Any, page: Any, is_harmless: Any) -> None:
    for piece, shown in hostile.items():
        view = NextView([Candidate(1, piece.decode("utf-8", "replace"), 1.0, 0.5, 1, piece)])
        assert page(view.html()).tables[0][1][2] == shown
        assert shown in plain(view.terminal(), 200)
        assert is_harmless(str(view) + view.html())
