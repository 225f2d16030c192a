"""What surprised the model is its score of the text, with what was expected instead."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import ParameterError
from pellucid.lm import LM, load
from pellucid.look.looking import Look
from pellucid.look.surprise import SurpriseView
from pellucid.look.view import plain

from ..trace import induction
from .browser import Browser

TEXT = "The man walked the cat."


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> LM:
    return load(smollm2)


def test_it_is_the_score_of_the_text(lm: LM) -> None:
    view, score = lm.look(TEXT).surprise(), lm.score(TEXT)
    assert view.perplexity == pytest.approx(score.perplexity, rel=1e-4)
    ours, theirs = ([token.logprob for token in v][1:] for v in (view, score))
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_what_was_expected_is_what_comes_next(lm: LM) -> None:
    view, logits = lm.look(TEXT).surprise(), lm.logits(TEXT)
    told = json.loads(json.dumps(view.to_dict(), allow_nan=False))["tokens"]
    assert told[0]["expected"] == []
    for i, token in enumerate(told[1:], 1):
        before = lm.next(list(lm.tokenizer.encode(TEXT))[:i], top=5)
        assert [e["id"] for e in token["expected"]] == [c.id for c in before]
        assert [e["prob"] for e in token["expected"]] == pytest.approx(
            [c.prob for c in before], abs=1e-4
        )
        ahead = int((logits[i - 1] > logits[i - 1, token["id"]]).sum())
        assert token["rank"] == ahead + 1


def test_the_terminal_names_what_was_expected(induced: Look) -> None:
    lines = plain(induced.surprise().terminal(), 100).splitlines()
    assert lines[0] == "│".join(induction.TEXT)
    assert lines[2].split() == [
        "#",
        "id",
        "token",
        "log-prob",
        "probability",
        "surprise",
        "rank",
        "expected",
    ]
    last = lines[3 + len(induction.TEXT) - 1].split()
    assert (last[0], last[2]) == ("7", "b")
    assert last[9] in induction.LETTERS, "nobody could know that a b would come"


def test_a_trace_that_was_not_read_so_is_refused(induced: Look) -> None:
    with pytest.raises(ParameterError, match="no reading next with top=3"):
        SurpriseView(induced.trace, 3)


def test_the_drawing_shows_each_token_s_surprise_and_alternatives(
    induced: Look,
    browser: Browser,
    tmp_path: Path,
) -> None:
    view = induced.surprise()
    opened = browser.open(view.page(), tmp_path / "page.html")
    bits = [0.0, *(-token.logprob / math.log(2) for token in view if token.logprob is not None)]
    assert opened.state()["bits"] == pytest.approx(bits, abs=1e-5)
    options = opened.page.locator("[role=option]")
    assert options.all_inner_texts() == list(induction.TEXT)
    options.nth(3).click()
    told = view.to_dict()["tokens"][3]
    shown = opened.page.locator(".likely bdi").all_inner_texts()
    assert shown == [expected["text"] for expected in told["expected"]]
    assert f"number {told['rank']} in line" in opened.page.get_by_role("status").inner_text()
    opened.page.keyboard.press("ArrowRight")
    assert opened.state()["at"] == 4
    depth = [
        float(
            colour.rpartition("/")[2].strip(" )")
            if "/" in colour
            else colour.rpartition(",")[2].strip(" )")
        )
        for colour in options.evaluate_all("e => e.map((one) => one.style.background)")
    ]
    assert np.argsort(depth).tolist() == np.argsort(bits).tolist() or max(bits) > 16
    assert (opened.errors, opened.violations()) == ([], [])
