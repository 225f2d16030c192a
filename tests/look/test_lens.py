"""The view of the logit lens: layers by tokens, the same everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.look.looking import Look
from pellucid.look.view import plain

from ..trace.induction import ANSWER, IDS, LAYERS, LETTERS, TEXT
from .browser import Browser


def test_the_answer_settles_in_the_layer_of_the_induction_head(induced: Look) -> None:
    view = induced.lens()
    told = json.loads(json.dumps(view.to_dict(), allow_nan=False))
    assert told["targets"][-1] == {"id": ANSWER, "text": "i", "settled": LAYERS}
    assert [target["id"] for target in told["targets"][:-1]] == IDS[1:]
    last = [layer["rows"][-1] for layer in told["layers"]]
    assert [layer["layers"] for layer in told["layers"]] == [0, 1, 2]
    assert last[2]["rank"] == 1
    assert last[2]["top"][0]["prob"] > 0.99
    assert last[1]["rank"] != 1
    assert view.settled(0) == LAYERS + 1, "what nobody can know never leads"


def test_it_leads_only_from_where_it_stays_ahead(induced: Look) -> None:
    view = induced.lens()
    for ranks, settled in (([1, 1, 1], 0), ([1, 2, 1], 2), ([3, 1, 1], 1), ([1, 1, 2], 3)):
        view.ranks = view.ranks.copy()
        view.ranks[:, 0] = ranks
        assert view.settled(0) == settled


def test_the_terminal_has_as_many_tokens_as_fit(induced: Look) -> None:
    for width, columns in ((100, 8), (47, 4), (20, 1)):
        lines = plain(induced.lens().terminal(), width).splitlines()
        assert lines[0].split() == ["layers", *TEXT[-columns:]]
        assert all(len(line) <= width for line in lines)
        assert lines[1].split()[0] == "2", "the last layer is on top"
        assert lines[1].split()[-1] == "i"
        assert (f"The last {columns} of 8" in "\n".join(lines)) == (columns < 8)
    assert "leads once 2 of 2 layers are done" in plain(induced.lens().terminal(), 100)


def test_the_html_says_the_same(induced: Look, page: Any) -> None:
    read = page(induced.lens().html())
    head, first, *_ = read.tables[0]
    assert head == ["layers", *TEXT]
    assert (first[0], first[-1]) == ("2", "i")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_drawing_is_read_back_and_walked_by_keys(
    induced: Look,
    browser: Browser,
    tmp_path: Path,
    theme: Any,
) -> None:
    view = induced.lens()
    opened = browser.open(view.page(), tmp_path / "page.html", color_scheme=theme)
    told = view.to_dict()["layers"]
    for layer in (2, 1, 0):
        state, truth = opened.state(), told[layer]["rows"]
        assert (state["layer"], state["token"]) == (layer, len(IDS) - 1)
        assert state["cells"] == [row["top"][0]["text"] for row in truth]
        assert [one["share"] for one in state["likely"]] == pytest.approx(
            [one["prob"] for one in truth[-1]["top"]], abs=1e-6
        )
        shown = opened.page.locator("[role=row]").nth(3 - layer).locator("[role=gridcell]")
        assert shown.all_inner_texts() == state["cells"]
        opened.page.locator("[role=gridcell][tabindex='0']").press("ArrowDown")
    opened.page.keyboard.press("Home")
    assert opened.state()["token"] == 0
    assert (opened.errors, opened.violations()) == ([], [])


def test_a_long_text_moves_along_with_what_is_picked(
    induced: Look,
    browser: Browser,
    tmp_path: Path,
) -> None:
    ids = (IDS * 4)[:30]
    long = Look(replace(induced.trace, ids=tuple(ids), readings=[]), induced._subject)
    opened = browser.open(long.lens().page(), tmp_path / "page.html")
    header = opened.page.locator("[role=columnheader] bdi")
    assert header.all_inner_texts() == [LETTERS[i] for i in ids[-14:]]
    opened.page.locator("[role=gridcell][tabindex='0']").press("Home")
    assert header.all_inner_texts() == [LETTERS[i] for i in ids[:14]]
    slider = opened.page.get_by_role("slider", name="Token")
    assert slider.input_value() == "0"
    slider.fill("20")
    assert opened.state()["token"] == 20
    assert header.all_inner_texts() == [LETTERS[i] for i in ids[13:27]]
    assert opened.violations() == []
    assert opened.errors == []
