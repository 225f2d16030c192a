"""An answer explained is the ledgers of its tokens, under the answer."""

from __future__ import annotations

from typing import Any

from pellucid.look.explanation import ExplanationView
from pellucid.look.view import plain

from .ledgers import answer, chosen, name

TOKENS = (chosen(), chosen(uniform=0.7, top_k=3), chosen(token=4))


def test_it_is_a_sequence_of_the_ledgers_of_all_tokens() -> None:
    view = ExplanationView(answer(*TOKENS), name)
    assert [(ledger.at, ledger.token) for ledger in view] == list(enumerate(TOKENS))
    assert [ledger.token.id for ledger in view[1:]] == [2, 4]


def test_one_token_can_be_explained_alone() -> None:
    view = ExplanationView(answer(*TOKENS), name, at=1)
    assert [(ledger.at, ledger.token) for ledger in view] == [(1, TOKENS[1])]


def test_the_terminal_shows_the_answer_then_each_sentence_and_the_seed() -> None:
    view = ExplanationView(answer(*TOKENS, seed=9), name)
    shown = plain(view.terminal(), 300).splitlines()
    assert shown[0] == "␣t1│␣t2│␣t4"
    assert [line for line in shown if " had " in line] == [
        f"{ledger.at}  {ledger.why}" for ledger in view
    ]
    assert shown[-1] == "Seed 9 repeats it."


def test_the_html_folds_each_table_under_its_sentence(page: Any) -> None:
    view = ExplanationView(answer(*TOKENS, *TOKENS), name)
    read = page(view.html())
    assert read.paragraphs[0] == "␣t1␣t2␣t4␣t1␣t2␣t4"
    assert len(read.tables) == 6
    assert sum(attribute == "open" for _, attribute, _ in read.attributes) == 3


def test_the_other_answers_are_explained_too(page: Any) -> None:
    view = ExplanationView(answer(TOKENS[0], alternatives=(answer(*TOKENS[1:]),)), name)
    assert [ledger.token for ledger in view.alternatives[0]] == list(TOKENS[1:])
    assert len(page(view.html()).tables) == 3
    assert str(view).count(" had ") == 3
    [other] = view.to_dict()["alternatives"]
    assert [token["id"] for token in other["tokens"]] == [2, 4]


def test_a_long_answer_is_cut_and_says_so(page: Any) -> None:
    view = ExplanationView(answer(*TOKENS * 40), name)
    assert "… and 20 more tokens" in str(view)
    assert len(view.to_dict()["tokens"]) == 120


def test_an_answer_of_nothing_is_a_view_too(page: Any) -> None:
    view = ExplanationView(answer(), name)
    page(view.html())
    assert not str(view).strip()
