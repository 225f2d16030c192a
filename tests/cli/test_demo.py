"""`pellucid demo`: the first thing a newcomer sees."""

from __future__ import annotations

from .conftest import Run


def test_it_takes_a_text_from_its_tokens_to_more_text(run: Run) -> None:
    ran = run("demo")
    assert (ran.code, ran.err) == (0, "")
    tokens, table, answer = (ran.out.index(f"{step}. ") for step in (1, 2, 3))
    assert tokens < ran.out.index("The│␣man│␣walked│␣the│␣cat") < table
    assert table < ran.out.index("walk      27.61") < answer
    assert "\nThe man walked the catwalk." in ran.out[answer:]


def test_it_takes_any_text(run: Run) -> None:
    assert "5" in run("demo", "1, 2, 3, 4,").out.split("3. ")[-1]


def test_its_json_is_that_of_its_three_parts(run: Run) -> None:
    found = run("demo", "two words", "--json").json()
    assert list(found) == ["tokens", "splits", "next", "rest", "generate"]
    assert found["next"] == run("next", "two words", "--top", "5", "--json").json()["next"]
    assert found["generate"]["ids"][0] == found["next"][0]["id"]
