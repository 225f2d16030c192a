"""What the browser draws of a run is what Python read of it: attribution, map, comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.lm import LM, load
from pellucid.look.view import View

from ..trace import induction
from ..trace.induction import TEXT
from .browser import BOXES, Browser, Page


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LM:
    folder = induction.write_model(tmp_path_factory.mktemp("models") / "induction")
    return load(folder, backend="reference")


def opened(browser: Browser, view: View, path: Path, **context: Any) -> Page:
    return browser.open(view.page(), path / "page.html", **context)


def views(lm: LM) -> dict[str, View]:
    look = lm.look(TEXT)
    return {
        "attribution": look.attribution("i", steps=64),
        "occlusion": look.occlusion("i", by="hidden"),
        "map": look.map(top=2),
        "comparison": look.compare(lm.look("^bieohgbb")),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["attribution", "occlusion", "map", "comparison"])
def test_each_is_drawn_without_a_fault(
    lm: LM, browser: Browser, tmp_path: Path, name: str, scheme: str
) -> None:
    page = opened(browser, views(lm)[name], tmp_path, color_scheme=scheme)
    assert page.errors == []
    assert page.violations() == []


def test_bars_and_tints_are_what_was_measured(lm: LM, browser: Browser, tmp_path: Path) -> None:
    view = lm.look(TEXT).attribution("i", steps=64)
    page = opened(browser, view, tmp_path)
    state = page.state()
    assert view.integrated is not None
    assert view.gradient is not None
    every = [view.effect, view.integrated, view.gradient]
    shares = [each / np.abs(each).max() for each in every]
    np.testing.assert_allclose(state["bars"], np.stack(shares, 1), atol=1e-4)
    np.testing.assert_allclose(state["shares"], shares[0], atol=1e-6)
    tokens = page.page.locator("[role=option]")
    drawn = tokens.evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    deepest = max(range(len(drawn)), key=lambda i: _alpha(drawn[i]))
    assert deepest == int(np.abs(view.effect).argmax())
    page.page.select_option("select", index=1)
    assert page.state()["shares"] == pytest.approx(shares[1].tolist(), abs=1e-6)


def _alpha(colour: str) -> float:
    parts = colour.removesuffix(")").replace("/", ",").replace(",", " ").split()
    return float(parts[-1]) if colour.startswith("rgba") else 1.0


def test_a_token_is_picked_by_keys_and_its_numbers_are_read_out(
    lm: LM, browser: Browser, tmp_path: Path
) -> None:
    view = lm.look(TEXT).attribution("i", steps=64)
    page = opened(browser, view, tmp_path)
    page.page.locator("[role=option]").first.focus()
    page.page.keyboard.press("ArrowRight")
    assert page.state()["picked"] == 1
    said = page.page.locator("[role=status]").inner_text()
    assert f"{view.effect[1]:+.3f}".replace("-", "\N{MINUS SIGN}") in said


def test_the_map_keeps_distances_and_says_who_is_near(
    lm: LM, browser: Browser, tmp_path: Path
) -> None:
    view = lm.look(TEXT).map(top=2)
    page = opened(browser, view, tmp_path)
    points = page.state()["points"]
    drawn = np.array([[point["x"], -point["y"]] for point in points])
    ours, theirs = (np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (view.xy, drawn))
    np.testing.assert_allclose(theirs / theirs.max(), ours / ours.max(), atol=1e-5)
    assert [point["filled"] for point in points] == [owner < 0 for owner in view.owners]
    read = page.page.locator(".map circle").evaluate_all(
        "all => all.map(e => { const b = e.getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2] })"
    )
    shifted = np.array(read) - np.array([[point["x"], point["y"]] for point in points])
    assert np.abs(shifted - shifted[0]).max() < 0.1, "each circle is where the state says"


def test_labels_of_the_map_do_not_overlap(lm: LM, browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, lm.look(TEXT).map(top=4), tmp_path)
    boxes = page.page.locator(".map [role=option] text[visibility=visible]").evaluate_all(BOXES)
    assert len(boxes) >= 6
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] - 4 <= b[1] or b[3] - 4 <= a[1]
            assert apart, (a, b)


def test_the_map_is_walked_zoomed_and_put_back_by_keys(
    lm: LM, browser: Browser, tmp_path: Path
) -> None:
    page = opened(browser, lm.look(TEXT).map(top=2), tmp_path)
    before = page.state()
    page.page.locator(".map [role=option][tabindex='0']").focus()
    moved = set()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.page.keyboard.press(key)
        moved.add(page.state()["picked"])
    assert len(moved) > 1
    page.page.keyboard.press("+")
    assert page.state()["zoom"] == pytest.approx(1.5)
    page.page.keyboard.press("0")
    assert page.state()["points"] == before["points"]


def test_a_comparison_tints_what_differs_and_draws_it_by_layer(
    lm: LM, browser: Browser, tmp_path: Path
) -> None:
    view = lm.look(TEXT).compare(lm.look("^bieohgb"))
    told = view.comparison
    page = opened(browser, view, tmp_path)
    state = page.state()
    most = max(0.5, float(told.divergence.max()))
    np.testing.assert_allclose(state["depths"], np.sqrt(told.divergence / most), atol=1e-5)
    assert state["picked"] == int(told.divergence.argmax())
    np.testing.assert_allclose(state["curve"], told.distances[:, state["picked"]], atol=1e-6)
    page.page.locator("[role=option]").first.click()
    assert page.state()["curve"] == [0, 0, 0]
    assert page.page.locator("[role=option]").nth(4).inner_text().split() == ["d", "o"]
