"""The view of who wrote a logit: the planted head, where from, and the logit without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.errors import ParameterError
from pellucid.look.looking import Look, open_trace
from pellucid.look.page import page as page_of
from pellucid.look.view import plain

from ..trace.induction import ANSWER, HEADS, IDS, INDUCTION_HEAD, LAYERS, TEXT, VALUE_POSITION
from .browser import Browser

NAME = "layers.{}.heads.{}".format(*INDUCTION_HEAD)


def test_the_writers_are_all_there_and_sum_to_the_logit(induced: Look) -> None:
    told = json.loads(json.dumps(induced.why("i").to_dict(), allow_nan=False))
    assert (told["token"]["id"], told["position"], told["versus"]) == (ANSWER, len(IDS) - 1, None)
    added = [writer["added"] for writer in told["writers"]]
    assert sum(added) == pytest.approx(told["before_cap"], abs=1e-5)
    assert added == sorted(added, key=abs, reverse=True)
    assert len({writer["name"] for writer in told["writers"]}) == len(added)
    assert sum(writer["kind"] == "head" for writer in told["writers"]) == LAYERS * HEADS
    assert told["cumulative"][-1] == pytest.approx(told["before_cap"], abs=1e-3)
    assert abs(told["cumulative"][1]) < 0.1, "layer 0 says nothing"


def test_the_planted_head_leads_with_its_source_and_its_test(induced: Look) -> None:
    first = induced.why("i").to_dict()["writers"][0]
    assert first["name"] == NAME
    assert first["sources"][0]["position"] == VALUE_POSITION
    assert first["prob"] < 0.1


def test_without_a_token_it_explains_the_model_s_own_choice(induced: Look) -> None:
    assert (
        induced.why().to_dict() == induced.why("i").to_dict() == induced.why(ANSWER, -1).to_dict()
    )


def test_two_tokens_are_set_against_each_other(induced: Look) -> None:
    told, one, other = (induced.why(*given, **more).to_dict() for given, more in (
        (("i",), {"versus": "e"}), (("i",), {}), (("e",), {})))  # fmt: skip
    assert told["before_cap"] == pytest.approx(one["before_cap"] - other["before_cap"], abs=1e-4)
    assert told["versus"]["text"] == "e"
    assert "above that of e" in str(induced.why("i", versus="e"))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"token": "ie"}, "'ie' is 2 tokens; the first is 'i'"),
        ({"token": 24}, "from 0 to 23"),
        ({"position": 8}, "from -8 to 7"),
        ({"versus": "!"}, "no tokens make just the text"),
    ],
)
def test_what_there_is_not_is_refused(induced: Look, given: Any, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        induced.why(**given)


def test_a_saved_trace_tells_without_the_model_what_it_was_asked(
    induced: Look,
    tmp_path: Path,
) -> None:
    asked = induced.why("i").to_dict()
    induced.save(tmp_path / "run.trace")
    assert open_trace(tmp_path / "run.trace").why("i").to_dict() == asked
    with pytest.raises(ParameterError, match="its model is not open"):
        open_trace(tmp_path / "run.trace").why("i", test=3)


def test_the_terminal_and_the_html_say_the_same(induced: Look, page: Any) -> None:
    view = induced.why("i", test=2)
    lines, read = plain(view.terminal(), 100).splitlines(), page(view.html())
    assert lines[0].startswith("After 7 b, i has the logit ")
    assert read.paragraphs[0] == lines[0]
    cells, row = lines[3].split(), read.tables[0][1]
    assert cells[:4] == [*row[0:1], *row[1].split(), row[2]] == ["1", "head", "2", row[2]]
    assert cells[-2:] == row[-1].split() == [str(VALUE_POSITION), "i"]
    assert row[4:6] == [f"{view.writers[0].logit:.2f}", cells[-4] + " %"]
    assert read.tables[0][3][4:6] == ["", ""], "only two are tested"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_drawing_is_read_back(
    induced: Look,
    browser: Browser,
    tmp_path: Path,
    theme: Any,
) -> None:
    view = induced.why("i")
    opened = browser.open(view.page(), tmp_path / "page.html", color_scheme=theme)
    state, writers = opened.state(), view.to_dict()["writers"]
    assert state["picked"] == NAME
    assert [bar["added"] for bar in state["bars"]] == [w["added"] for w in writers][
        : len(state["bars"])
    ]
    assert state["line"] == pytest.approx(view.cumulative)
    assert max(range(len(TEXT)), key=state["sources"].__getitem__) == VALUE_POSITION
    widths = opened.page.locator("td.signed span").evaluate_all(
        "bars => bars.map((bar) => bar.getBoundingClientRect().width)")  # fmt: skip
    shares = [abs(bar["added"] / writers[0]["added"]) for bar in state["bars"]]
    assert [width / widths[0] for width in widths] == pytest.approx(shares, abs=0.01)
    assert "2 i +" in opened.page.locator(".from").inner_text()
    opened.page.locator("tr[tabindex='0']").press("ArrowDown")
    assert opened.state()["picked"] == writers[1]["name"]
    assert (opened.errors, opened.violations()) == ([], [])


def test_more_writers_go_on_where_the_list_ended(
    induced: Look, browser: Browser, tmp_path: Path
) -> None:
    figure = induced.why("i").figure()
    (first, *_), count = figure.data["writers"], 47
    writers = [{**first, "added": 1 / (n + 1)} for n in range(count)]
    many = replace(figure, data={**figure.data, "writers": writers})
    opened = browser.open(page_of("Many", [many]), tmp_path / "page.html")
    for shown in (20, 40):
        more = opened.page.get_by_role("button", name=f"{min(20, count - shown)} more")
        more.click()
        focused = "[...document.querySelectorAll('tbody tr')].indexOf(document.activeElement)"
        assert opened.page.evaluate(focused) == shown
    assert opened.page.locator(".writers tbody tr").count() == count
