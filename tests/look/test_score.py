"""The view of a score shows each token's log-probability, their sum, and the perplexity."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pellucid.look.score import ScoredToken, ScoreView
from pellucid.look.view import plain

PROBABILITIES = [None, 0.5, 0.25, 2**-20, 1.0]
TOKENS = [
    ScoredToken(i, piece, None if p is None else math.log(p))
    for i, (piece, p) in enumerate(
        zip(["The", " cat", "\n", "日", "."], PROBABILITIES, strict=True)
    )
]


def test_the_sum_and_the_perplexity_follow_their_formulas() -> None:
    view = ScoreView(TOKENS)
    product = math.prod(p for p in PROBABILITIES if p is not None)
    assert view.logprob == pytest.approx(math.log(product))
    assert view.perplexity == pytest.approx(product ** (-1 / 4))
    assert view.scored == 4


def test_the_json_is_the_contract() -> None:
    view = ScoreView(TOKENS)
    data = json.loads(json.dumps(view.to_dict()))
    assert data["tokens"][0] == {"id": 0, "text": "The", "logprob": None}
    assert data["tokens"][1] == {"id": 1, "text": " cat", "logprob": math.log(0.5)}
    assert (data["logprob"], data["perplexity"]) == (view.logprob, view.perplexity)


def test_a_text_of_one_token_has_no_perplexity(page: Any) -> None:
    view = ScoreView(TOKENS[:1])
    assert view.perplexity is None
    assert view.to_dict() | {"tokens": 0} == {"tokens": 0, "logprob": 0.0, "perplexity": None}
    assert "erplexity" not in str(view)
    page(view.html())


def test_an_impossible_token_is_told_and_is_null_in_json(page: Any) -> None:
    view = ScoreView([ScoredToken(1, "a", float("-inf")), ScoredToken(2, "b", -1.0)])
    assert view.perplexity == math.inf
    data = json.loads(json.dumps(view.to_dict(), allow_nan=False))
    assert data["tokens"][0]["logprob"] is data["logprob"] is data["perplexity"] is None
    assert "-inf" in str(view)
    assert page(view.html()).tables[0][1][3:6] == ["-inf", "0.00 %", "inf bits"]


def test_a_perplexity_beyond_all_numbers_is_infinite() -> None:
    assert ScoreView([ScoredToken(1, "a", -1000.0)]).perplexity == math.inf


def test_the_terminal_shows_a_row_for_each_and_the_whole() -> None:
    lines = plain(ScoreView(TOKENS).terminal(), 80).splitlines()
    assert lines[:2] == ["The│␣cat│↵", "日│."]
    assert [line.split() for line in lines[3:9]] == [
        ["#", "id", "token", "log-prob", "probability", "surprise"],
        ["0", "0", "The"],
        ["1", "1", "␣cat", "-0.693", "50.00", "%", "1.0", "bits", "█▏"],
        ["2", "2", "↵", "-1.386", "25.00", "%", "2.0", "bits", "██▍"],
        ["3", "3", "日", "-13.863", "<", "0.01", "%", "20.0", "bits", "█" * 24],
        ["4", "4", ".", "0.000", "100.00", "%", "0.0", "bits"],
    ]
    assert lines[-2:] == [
        "Log-probability -15.942 over 4 tokens, 5.75 bits each; perplexity 53.82.",
        "The first token has nothing before it, and so no probability.",
    ]


def test_the_html_says_the_same_as_the_data(page: Any) -> None:
    read = page(ScoreView(TOKENS).html())
    (_, *rows) = read.tables[0]
    assert [row[1] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [float(row[3]) for row in rows[1:]] == [
        pytest.approx(token.logprob, abs=0.0005) for token in TOKENS[1:]
    ]
    assert rows[0][3:6] == ["", "", ""]
    assert read.paragraphs[0] == "The␣cat↵日."
    assert "perplexity 53.82" in read.paragraphs[1]


def test_colour_deepens_with_surprise(page: Any) -> None:
    tokens = [ScoredToken(0, "a", -bits * math.log(2)) for bits in (0.5, 2, 6, 10, 15)]
    attributes = page(ScoreView(tokens).html()).attributes
    classes = [v for tag, name, v in attributes if (tag, name) == ("bdi", "class")]
    assert classes[:4] == ["h1", "h2", "h3", "h4"], "and none at all below one bit"
    assert len(classes) == 8


def test_a_long_text_is_cut() -> None:
    view = ScoreView([ScoredToken(1, "a", -1.0)] * 150)
    assert "… and 50 more tokens; all are in to_dict() and --json" in str(view)
    assert "over 150 tokens" in str(view)


def test_hostile_pieces_are_shown_and_not_obeyed(hostile: Any, page: Any, is_harmless: Any) -> None:
    view = ScoreView([ScoredToken(1, "", -1.0, piece) for piece in hostile])
    assert [row[2] for row in page(view.html()).tables[0][1:]] == list(hostile.values())
    assert is_harmless(plain(view.terminal(), 200) + view.html())
