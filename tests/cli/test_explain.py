"""`pellucid explain` and `tree`: what they show is what `generate` did."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

TEXT = "The capital of France is"
DRAWN = ["--temperature", "0.8", "--top-k", "20", "--seed", "3", "--max-new-tokens", "3"]


def test_an_explanation_is_of_the_answer_that_generate_gives(run: Run) -> None:
    made = run("generate", TEXT, *DRAWN, "--json").json()
    explained = run("explain", TEXT, *DRAWN, "--json").json()
    tokens = [{name: t[name] for name in made["tokens"][0]} for t in explained["tokens"]]
    assert tokens == made["tokens"]
    for token in explained["tokens"]:
        draw = token["draw"]
        assert draw["from"] <= draw["uniform"] <= draw["to"]
        assert draw["to"] - draw["from"] == pytest.approx(token["processed_prob"], abs=1e-6)
        assert [step["name"] for step in token["steps"]] == ["model", "temperature", "top_k"]


@pytest.mark.parametrize("guessed", [True, False])
def test_what_a_draft_model_guessed_is_explained(run: Run, guessed: bool) -> None:
    draft = ["--draft", "smollm2"] if guessed else []
    found = run("explain", TEXT, "--max-new-tokens", "3", "--json", *draft).json()
    assert found["text"] == run("generate", TEXT, "--max-new-tokens", "3").out.removesuffix("\n")
    # The first token comes with the prompt, and for the last there is no room to guess.
    assert found["drafted"] == (1 if guessed else None)
    assert [bool(token["draft"]) for token in found["tokens"]] == [False, guessed, False]


def test_the_terminal_has_the_sentences_of_the_json(run: Run) -> None:
    shown = " ".join(run("explain", TEXT, *DRAWN).out.split())
    for token in run("explain", TEXT, *DRAWN, "--json").json()["tokens"]:
        assert f"{token['at']} {token['why']}" in shown


def test_one_token_and_more_candidates_can_be_asked_for(run: Run) -> None:
    found = run("explain", TEXT, *DRAWN, "--token", "1", "--top", "60", "--json").json()
    [token] = found["tokens"]
    assert token["at"] == 1
    assert [c["ranks"][0] for c in token["candidates"]] == list(range(1, 61))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["explain", "--token", "3"], "--token: must be a whole number from 0 to 2, not 3"),
        (["explain", "--top", "0"], "top: must be a whole number from 1 to 1000, not 0"),
        (["explain", "--ledger", "0"], "--ledger: 0 keeps less than --top 5"),
        (["tree", "--depth", "0"], "--depth: must be a whole number from 1 to 200, not 0"),
        (["tree", "--json", "--width", "3"], "--width has no effect with --json, which has all"),
    ],
)
def test_what_makes_no_sense_is_refused(given: list[str], said: str, run: Run) -> None:
    ran = run(*given, TEXT, "--max-new-tokens", "3")
    assert ran.code == 2
    assert said in ran.err


def test_a_page_that_cannot_be_written_is_named_in_one_line(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "nowhere" / "page.html"
    ran = run("explain", TEXT, "--max-new-tokens", "1", "--html", str(page))
    said = f"pellucid: {str(page)!r} cannot be written: No such file or directory\n"
    assert (ran.code, ran.out, ran.err) == (1, "", said)


@pytest.mark.parametrize("command", ["explain", "tree"])
def test_an_answer_that_nobody_gave_a_length_has_sixteen_tokens(command: str, run: Run) -> None:
    found = run(command, TEXT, "--json").json()
    said = found.get("tokens") or [n for n in found["nodes"] if n["fate"] == "said"]
    assert len(said) == 16


@pytest.mark.parametrize("command", ["explain", "tree"])
def test_a_page_is_written_for_the_browser(command: str, run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = run(command, TEXT, "--max-new-tokens", "2", "--html", str(page))
    assert (ran.code, ran.out, ran.err) == (0, "", f"written to {page}\n")
    written = page.read_text("utf-8")
    assert written.startswith("<!doctype html>")
    assert '<meta charset="utf-8">' in written
    assert "Paris" in written
    assert "default-src 'none'" in written, "nothing can be loaded"
    assert not any(word in written for word in ("url(", "@import", "<link", "src="))


def test_a_tree_has_the_tokens_of_a_search_and_their_scores(run: Run) -> None:
    given = [TEXT, "--num-beams", "3", "--max-new-tokens", "4"]
    made = run("generate", *given, "--json").json()
    nodes = run("tree", *given, "--json").json()["nodes"]
    said = [node for node in nodes if node["fate"] == "said"]
    assert [node["id"] for node in said][: len(made["ids"])] == made["ids"]
    totals = 0.0
    for node in said:
        totals += node["logprob"]
        assert node["score"] == pytest.approx(totals, abs=1e-4)
    assert "pruned" in {node["fate"] for node in nodes}


def test_a_tree_of_a_draw_has_what_might_have_been_drawn(run: Run) -> None:
    nodes = run("tree", TEXT, *DRAWN, "--json").json()["nodes"]
    beside_the_first = [node for node in nodes if node["parent"] == 0]
    kept = [node for node in beside_the_first if node["fate"] != "removed"]
    assert len(kept) == 20
    assert {node["removed_by"] for node in beside_the_first} == {None, "top_k"}
