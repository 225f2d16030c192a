"""What may come next: the model's own distribution, and exactly what settings make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pellucid.lm import LM, load

from .browser import Browser

TEXT = "I skip across the"


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> LM:
    return load(smollm2)


def test_it_is_what_next_says(lm: LM) -> None:
    view, truth = lm.look(TEXT).next(), lm.next(TEXT, top=20)
    assert [c.id for c in view] == [c.id for c in truth]
    assert [c.logit for c in view] == pytest.approx([c.logit for c in truth], abs=1e-4)
    assert view.rest == pytest.approx(truth.rest, abs=1e-5)
    earlier = lm.look(TEXT).next(1)
    assert [c.id for c in earlier] == [c.id for c in lm.next("I skip", top=20)]


@pytest.mark.parametrize(("temperature", "top_p"), [(0.5, 1.0), (1.7, 1.0), (0.7, 0.6), (2.0, 0.3)])
def test_the_drawing_computes_what_the_settings_give(
    lm: LM, browser: Browser, tmp_path: Path, temperature: float, top_p: float
) -> None:
    opened = browser.open(lm.look(TEXT).next().page(), tmp_path / "page.html")
    heat, nucleus = opened.page.get_by_role("slider").all()
    heat.fill(str(round(temperature * 10) - 1))
    nucleus.fill(str(round(top_p * 20) - 1))
    state = opened.state()
    assert (state["temperature"], state["topP"]) == (temperature, top_p)
    logits = lm.logits(TEXT)[-1].astype(np.float64) / temperature
    shares = np.sort(np.exp(logits - logits.max()))[::-1]
    shares /= shares.sum()
    assert state["rest"] == pytest.approx(1 - shares[:20].sum(), abs=1e-4)
    drawn = len(shares) if top_p == 1 else int(np.searchsorted(shares.cumsum(), top_p)) + 1
    if top_p == 1 or drawn <= 20:
        assert state["drawn"] == (None if top_p == 1 else drawn)
        kept = np.where(np.arange(20) < drawn, shares[:20], 0) / shares[:drawn].sum()
    else:
        assert state["drawn"] is None
        kept = shares[:20] / top_p
        assert top_p <= shares[:drawn].sum() <= top_p + shares[19], "as the page may be off"
    assert [row["share"] for row in state["rows"]] == pytest.approx(kept.tolist(), abs=1e-4)
    assert (opened.errors, opened.violations()) == ([], [])


def test_any_token_can_be_picked(lm: LM, browser: Browser, tmp_path: Path) -> None:
    opened = browser.open(lm.look(TEXT).next().page(), tmp_path / "page.html")
    opened.page.locator("[role=option]").nth(1).click()
    rows = opened.state()["rows"]
    truth = lm.next("I skip", top=20)
    assert [row["model"] for row in rows] == pytest.approx([c.prob for c in truth], abs=1e-4)
    picked = opened.page.locator("tr.picked bdi").all_inner_texts()
    assert picked in ([], ["␣across"]), "what came is marked, if it is listed"
