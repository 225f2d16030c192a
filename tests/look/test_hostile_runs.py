"""What a stranger's vocabulary says of a run is shown, and never obeyed, in every view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.lm import load
from pellucid.look.comparison import ComparisonView
from pellucid.look.looking import Look, views
from pellucid.look.view import View, plain
from pellucid.trace.comparison import compare

from ..trace import induction
from .browser import Browser
from .induced import renamed

NAMES = [*views(), "analogy"]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """A run with an answer, so that there is something to show in every view."""
    folder = induction.write_model(tmp_path_factory.mktemp("induction"))
    lm = load(folder, backend="reference")
    return lm.look(induction.TEXT, max_new_tokens=4, temperature=1.5, seed=1)


def ask(look: Look, name: str) -> View:
    words = look.ids[1:4] if name == "analogy" else ()
    made: View = getattr(look, name)(*words, **({"steps": 8} if name == "attribution" else {}))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_hostile_tokens_are_shown_and_not_obeyed(
    answered: Look,
    hostile: dict[bytes, str],
    is_harmless: Callable[[str], bool],
    page: Callable[[str], Any],
    name: str,
) -> None:
    ask(answered, name)
    view = ask(renamed(answered, hostile), name)
    shown, fragment = plain(view.terminal(), 300), view.html()
    assert is_harmless(shown + fragment)
    page(fragment)  # fails on elements that no view makes
    view.to_dict()
    assert any(word in shown for word in hostile.values()), "there was something to be obeyed"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_of_hostile_tokens_is_drawn(
    answered: Look,
    hostile: dict[bytes, str],
    browser: Browser,
    tmp_path: Path,
    name: str,
) -> None:
    ask(answered, name)
    view = ask(renamed(answered, dict(reversed(hostile.items()))), name)  # markup first
    assert bool(view.figures()) == (name not in ("neurons", "neighbours", "analogy"))
    if view.figures():
        opened = browser.open(view.page(), tmp_path / "page.html")
        assert opened.errors == []
        text = opened.page.locator("main").evaluate("e => e.textContent")
        assert any(word in text for word in hostile.values())


def test_two_hostile_runs_are_compared(
    answered: Look,
    hostile: dict[bytes, str],
    is_harmless: Callable[[str], bool],
    browser: Browser,
    tmp_path: Path,
) -> None:
    words = renamed(answered, hostile).trace.words
    run = answered.subject, replace(answered.trace, words=words)
    told = compare(run, run)
    view = ComparisonView(
        replace(
            told,
            left=replace(told.left, words=told.left.words | words),
            right=replace(told.right, words=told.right.words | words),
        )
    )
    assert is_harmless(plain(view.terminal(), 300))
    assert browser.open(view.page(), tmp_path / "page.html").errors == []
