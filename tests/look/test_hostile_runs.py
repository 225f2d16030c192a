"""What a stranger's vocabulary says of a run is shown, and never obeyed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.look.comparison import ComparisonView
from pellucid.look.looking import Look
from pellucid.look.view import View, plain
from pellucid.trace.comparison import compare

from .browser import Browser
from .induced import induced, renamed  # noqa: F401  (a fixture)

NAMES = ["attribution", "occlusion", "map", "neighbours", "analogy"]


def ask(look: Look, name: str) -> View:
    if name == "analogy":
        return look.analogy(*look.ids[1:4], top=3)
    answer = look.ids[2]
    given = {"attribution": {"token": answer, "steps": 5}, "occlusion": {"token": answer}}
    made: View = getattr(look, name)(**given.get(name, {"top": 3}))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_hostile_tokens_are_shown_and_not_obeyed(
    induced: Look,  # noqa: F811
    hostile: dict[bytes, str],
    is_harmless: Callable[[str], bool],
    page: Callable[[str], Any],
    name: str,
) -> None:
    ask(induced, name)
    view = ask(renamed(induced, hostile), name)
    shown = plain(view.terminal(), 300)
    assert is_harmless(shown)
    page(view.html())  # fails on elements that no view makes
    view.to_dict()


@pytest.mark.parametrize("name", ["attribution", "map"])
def test_a_page_of_hostile_tokens_is_drawn(
    induced: Look,  # noqa: F811
    hostile: dict[bytes, str],
    browser: Browser,
    tmp_path: Path,
    name: str,
) -> None:
    ask(induced, name)
    markup_first = renamed(induced, dict(reversed(hostile.items())))
    opened = browser.open(ask(markup_first, name).page(), tmp_path / "page.html")
    assert opened.errors == []
    assert "<script>alert(1)</script>" in opened.page.locator("main").evaluate("e => e.textContent")


def test_two_hostile_runs_are_compared(
    induced: Look,  # noqa: F811
    hostile: dict[bytes, str],
    is_harmless: Callable[[str], bool],
    browser: Browser,
    tmp_path: Path,
) -> None:
    words = renamed(induced, hostile).trace.words
    run = induced.subject, replace(induced.trace, words=words)
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
