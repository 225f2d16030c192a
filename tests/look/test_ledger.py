"""The view of a ledger says what became of each candidate, and why one was chosen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pellucid.choose.ledger import Draft
from pellucid.look.ledger import LedgerView
from pellucid.look.view import plain

from .ledgers import PROBS, chosen, name

MANY: dict[str, Any] = {
    "temperature": 0.8, "top_k": 6, "top_p": 0.95, "min_p": 0.09, "typical_p": 0.99,
    "repetition_penalty": 1.2, "presence_penalty": 0.1, "no_repeat_ngram_size": 2,
}  # fmt: skip


def view(*, top: int = 5, bytes_of: Any = name, **of_token: Any) -> LedgerView:
    return LedgerView(chosen(**of_token), bytes_of, at=4, top=top)


def rows(shown: LedgerView) -> list[list[str]]:
    lines = plain(shown.terminal(), 80).splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.split()[:1] == ["token"]) :]
    return [line.split() for line in table if line]


def test_the_sentence_says_what_the_model_the_filters_and_the_draw_did() -> None:
    squares = PROBS.astype(float) ** 2  # what a temperature of a half makes of them
    after = 100 * squares / squares.sum()
    kept = squares[[1, 2, 3]]
    share = 100 * squares[2] / kept.sum()
    low = squares[1] / kept.sum()
    assert view(uniform=0.9, top_k=3, temperature=0.5).why == (
        "␣t2 had 20.00 % of the model's probability, rank 2. "
        f"temperature lowered it to {after[2]:.2f} %; "
        f"top_k removed all but 3 of the tokens ({after[[0, 4, 5, 6]].sum():.2f} %). "
        f"The draw 0.9000 fell into its {share:.2f} %, "
        f"which lie from {low:.4f} to {low + share / 100:.4f}."
    )


@pytest.mark.parametrize(
    ("of_token", "end"),
    [
        ({}, "rank 1. It was taken as the likeliest."),
        ({"suppress_tokens": [1]}, "suppress_tokens removed 1 of the tokens (50.00 %). "
                                   "It was taken as the likeliest left."),
        ({"uniform": 0.3, "top_k": 1}, "(50.00 %). It was the only one left."),
        ({"token": 3}, "rank 3. It was rank 3 of what was left, taken for what follows it."),
        ({"uniform": 0.3}, "The draw 0.3000 fell into its 50.00 %, "
                           "which lie from 0.0200 to 0.5200."),
    ],
)  # fmt: skip
def test_the_sentence_ends_with_what_decided(of_token: Any, end: str) -> None:
    assert view(**of_token).why.endswith(end)


def test_a_filter_that_did_nothing_to_the_token_is_not_in_its_sentence() -> None:
    said = view(presence_penalty=0.1, no_repeat_ngram_size=2).why
    assert "no_repeat_ngram_size" not in said


def test_the_table_names_the_filter_that_removed_a_candidate_where_it_fell() -> None:
    shown = view(uniform=0.9, top_k=4, min_p=0.3)
    assert rows(shown)[:6] == [
        ["token", "rank", "model", "top_k", "min_p"],
        ["␣t1", "1", "50.00", "%", "56.82", "%", "71.43", "%"],
        ["→", "␣t2", "2", "20.00", "%", "22.73", "%", "28.57", "%"],
        ["␣t3", "3", "10.00", "%", "11.36", "%", "removed"],
        ["␣t4", "4", "8.00", "%", "9.09", "%", "removed"],
        ["␣t5", "5", "6.00", "%", "removed"],
    ]


def test_below_the_candidates_stand_the_others_and_what_was_cut_away() -> None:
    below = rows(view(top=2, top_k=3))[3:]
    assert below == [
        ["all", "others", "30.00", "%", "12.50", "%"],
        ["tokens", "left", "7", "3"],
        ["cut", "away", "20.00", "%"],
    ]


def test_the_chosen_and_the_likeliest_after_all_filters_are_always_shown() -> None:
    shown = view(top=1, token=6, logit_bias={4: 9.0})
    assert [(c.id, c.ranks) for c in shown.candidates] == [(1, (1, 2)), (4, (4, 1)), (6, (6, 6))]


def test_many_filters_take_as_many_tables_as_eighty_columns_need() -> None:
    shown = view(uniform=0.5, **MANY)
    lines = plain(shown.terminal(), 80).splitlines()
    assert all(len(line) <= 80 for line in lines)
    headings = [line.split()[2:] for line in lines if line.split()[:1] == ["token"]]
    assert len(headings) > 1
    idle = lines[-1].removeprefix("No visible effect here: ").rstrip(".").split(", ")
    steps = [entry.name for entry in shown.steps]
    assert sorted([name for names in headings for name in names] + idle) == sorted(steps)
    assert "no_repeat_ngram_size" in idle


def test_the_json_has_each_step_and_each_candidate() -> None:
    data = json.loads(json.dumps(view(uniform=0.7, top_k=3, top=4).to_dict()))
    assert (data["at"], data["id"], data["rank"]) == (4, 2, 2)
    assert data["draw"] == pytest.approx({"uniform": 0.7, "from": 0.625, "to": 0.875})
    assert [step["name"] for step in data["steps"]] == ["model", "top_k"]
    assert data["steps"][1] == {"name": "top_k", "left": 3, "removed": pytest.approx(0.2)}
    last = data["candidates"][-1]
    assert (last["id"], last["text"], last["removed_by"]) == (4, " t4", "top_k")
    assert last["probs"] == pytest.approx([0.08, 0.0])
    assert last["ranks"] == [4, 0]


def test_nothing_drawn_is_null() -> None:
    assert view().to_dict()["draw"] is None


GUESSES = [
    (
        Draft(2, 0.4, 0.2, True, 0.3),
        "The drafting model had drawn it with 40.00 %, and it was accepted.",
    ),
    (Draft(2, 1.0, 0.2, True), "from 0.5200 to 0.7200. It had been guessed."),
    (
        Draft(4, 0.4, 0.1, False, 0.9),
        "to 0.7200. ␣t4 had been guessed with 40.00 %, and was rejected.",
    ),
]


@pytest.mark.parametrize(("draft", "told"), GUESSES)
def test_what_became_of_a_guess_is_told(draft: Draft, told: str) -> None:
    token = chosen(uniform=0.6)
    assert token.ledger
    uniform = None if draft.accepted and draft.uniform else token.ledger.uniform
    ledger = replace(token.ledger, uniform=uniform, draft=draft)
    shown = LedgerView(replace(token, ledger=ledger), name)
    assert shown.why.endswith(told)
    assert json.loads(json.dumps(shown.to_dict()))["draft"]["accepted"] == draft.accepted


def test_the_html_says_the_same_as_the_terminal(page: Any) -> None:
    shown = view(uniform=0.9, top_k=4, min_p=0.3)
    read = page(shown.html())
    assert read.paragraphs[0] == shown.why
    in_html = [" ".join(row).split() for row in read.tables[0]]
    assert in_html == rows(shown)


def test_a_hostile_vocabulary_is_shown_and_not_obeyed(
    page: Any, hostile: Any, is_harmless: Any
) -> None:
    pieces = list(hostile)
    probs = [1 / len(pieces)] * len(pieces)
    for place, (piece, shown) in enumerate(hostile.items()):
        seen = view(token=place, probs=probs, bytes_of=pieces.__getitem__, top=len(pieces))
        assert seen.why.startswith(shown)
        assert is_harmless(str(seen) + seen.html())
        assert shown in [row[1] for row in page(seen.html()).tables[0]]
        assert piece.decode("utf-8", "replace") == seen.to_dict()["candidates"][place]["text"]
