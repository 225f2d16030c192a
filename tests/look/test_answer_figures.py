"""What the browser draws of tokens, trees and ledgers is what the views hold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pellucid.lm import LM, load
from pellucid.look.considered import Considered
from pellucid.look.tree import TreeView
from pellucid.look.view import View
from pellucid.look.visible import visible

from ..trace import induction
from .browser import BOXES, Browser

TEXT = "The tokenizer mistokenizes naïve words\n<|im_end|></script>"


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LM:
    folder = induction.write_model(tmp_path_factory.mktemp("models") / "induction")
    return load(folder, backend="reference")


@pytest.fixture(scope="module")
def real(smollm2: Path) -> LM:
    return load(smollm2)


def made(lm: LM, name: str) -> View:
    sampled = {"temperature": 2.0, "top_k": 6, "top_p": 0.9, "seed": 1, "max_new_tokens": 5}
    if name == "ledger":
        return lm.explain(induction.TEXT, **sampled)
    if name == "tree":
        return lm.tree(induction.TEXT, num_beams=3, max_new_tokens=4)
    return lm.tree(induction.TEXT, ledger=12, **sampled)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["ledger", "tree", "tree of ledgers"])
def test_each_is_drawn_without_a_fault(
    lm: LM, browser: Browser, tmp_path: Path, name: str, scheme: str
) -> None:
    page = browser.open(made(lm, name).page(), tmp_path / "page.html", color_scheme=scheme)
    assert page.errors == []
    assert page.violations() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tokens_show_how_a_word_was_merged(
    real: LM, browser: Browser, tmp_path: Path, scheme: str
) -> None:
    view = real.tokens(TEXT, parse_special=True, merges=True)
    page = browser.open(view.page(), tmp_path / "page.html", color_scheme=scheme)
    assert page.errors == []
    assert page.violations() == []
    options = page.page.locator("[role=option]")
    assert options.count() == len(view)
    at = next(i for i, token in enumerate(view) if token.text == "izes")
    options.nth(at).click()
    split = next(s for s in view.splits if s.text.strip() == "mistokenizes")
    state = page.state()
    assert state["picked"] == at
    assert state["rows"][0] == [visible(piece) for piece in split.steps[0].pieces]
    assert state["rows"][-1] == [visible(piece) for piece in split.pieces]
    assert len(state["rows"]) == len(split.steps) + 1
    said = page.page.locator("[role=status]").inner_text()
    assert f"id {view[at].id}, bytes {view[at].bytes.hex(' ')}" in said


@pytest.fixture
def branching() -> TreeView:
    """Several siblings with branches of their own, some of which go deep."""
    parents = [None, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 4, 7, 7, 7, 12, 9, 9]
    said = (1, 4, 10)
    nodes = [
        Considered(
            parent, None if parent is None else i, -0.1 * i, fate="said" if i in said else None
        )
        for i, parent in enumerate(parents)
    ]
    return TreeView(nodes, lambda token: b" token%d" % token, prompt=b"start")


def test_the_tree_is_tidy_and_has_every_node(
    branching: TreeView, browser: Browser, tmp_path: Path
) -> None:
    page = browser.open(branching.page(), tmp_path / "page.html")
    drawn = {node["node"]: node for node in page.state()["drawn"]}
    assert set(drawn) == set(range(len(branching.nodes)))
    for number, node in enumerate(branching.nodes):
        if node.parent is not None:
            assert drawn[number]["x"] > drawn[node.parent]["x"]
            assert drawn[number]["y"] >= drawn[node.parent]["y"]
        assert drawn[number]["fate"] == (node.fate or "")
    assert len({drawn[number]["y"] for number in (0, 1, 4, 10)}) == 1, "an answer is one line"
    boxes = page.page.locator(".tree rect").evaluate_all(BOXES)
    assert len(boxes) == len(branching.nodes)
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_tree_is_folded_and_walked_by_keys(lm: LM, browser: Browser, tmp_path: Path) -> None:
    view = lm.tree(induction.TEXT, num_beams=3, max_new_tokens=4, width=50)
    page = browser.open(view.page(), tmp_path / "page.html")
    items = page.page.get_by_role("treeitem")
    whole = items.count()
    page.page.locator("[role=treeitem][tabindex='0']").focus()
    page.page.keyboard.press("ArrowRight")
    (heir,) = [n for n, node in enumerate(view.nodes) if node.parent == 0 and node.fate == "said"]
    assert page.state()["picked"] == heir
    page.page.keyboard.press("Enter")
    assert items.count() < whole
    assert page.page.locator(f"[data-node='{heir}']").get_attribute("aria-expanded") == "false"
    page.page.keyboard.press("Enter")
    assert items.count() == whole
    page.page.keyboard.press("ArrowLeft")
    assert page.state()["picked"] == 0


def test_what_a_wide_tree_leaves_out_is_told_and_can_be_seen(
    lm: LM, browser: Browser, tmp_path: Path
) -> None:
    view = made(lm, "tree of ledgers")
    assert isinstance(view, TreeView)
    page = browser.open(view.page(), tmp_path / "page.html")
    children = sum(node.parent == 0 for node in view.nodes)
    assert children > view.width
    first = page.page.locator("[data-node='0']")
    assert f"+{children - view.width}" in first.inner_html()
    first.click()
    drawn = {node["node"] for node in page.state()["drawn"]}
    assert {n for n, node in enumerate(view.nodes) if node.parent == 0} <= drawn


def test_a_tree_shows_the_models_own_probabilities_beside_those_after_filters(
    browser: Browser, tmp_path: Path
) -> None:
    quarter, half = math.log(0.25), math.log(0.5)
    nodes = [
        Considered(None, None, 0.0),
        Considered(0, 1, quarter, processed_logprob=half, fate="said"),
        Considered(0, 2, quarter, fate="removed", removed_by="top_k"),
    ]
    view = TreeView(nodes, lambda token: b" token%d" % token, prompt=b"start")
    page = browser.open(view.page(), tmp_path / "page.html")
    told = page.page.locator(".told").all_text_contents()
    assert told[1:] == ["25.0 % → 50.0 %", "25.0 %"]
    assert "the model's own probability → after filters" in page.page.locator("main").inner_text()
    for place, numbers in ((1, "model's own 25.0 %, after filters 50.0 %"), (2, "own 25.0 %, rem")):
        page.page.locator(f"[data-node='{place}']").click()
        assert numbers in page.page.locator("[role=status]").inner_text()


def test_the_lines_of_a_ledger_are_its_probabilities(
    lm: LM, browser: Browser, tmp_path: Path
) -> None:
    view = lm.explain(induction.TEXT, temperature=2.0, top_k=6, top_p=0.9, seed=1, max_new_tokens=5)
    page = browser.open(view.page(), tmp_path / "page.html")
    for at, ledger in enumerate(view):
        page.page.locator("[role=option]").nth(at).click()
        state = page.state()
        assert state["at"] == at
        assert ledger.why in page.page.locator("[role=status]").inner_text()
        drawn = ledger.drawn()
        assert len(state["lines"]) == len(drawn["candidates"])
        for line, candidate in zip(state["lines"], drawn["candidates"], strict=True):
            alive = [
                p for p, rank in zip(candidate["probs"], candidate["ranks"], strict=True) if rank
            ]
            heights = np.array([y for _, y in line["points"]])
            # The top is 34 pixels down, and stands for 1; 280 for 0; between them a square root.
            np.testing.assert_allclose(((280 - heights) / 246) ** 2, alive, atol=1e-6)
            assert line["gone"] == (candidate["removedBy"] is not None)
        cells = page.page.locator(".numbers tbody tr").first.inner_text()
        assert f"{100 * drawn['candidates'][0]['probs'][0]:.2f} %" in cells
