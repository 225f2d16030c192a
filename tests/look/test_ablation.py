"""The view of ablation: all heads and MLPs at a glance, the planted ones in front."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.look.looking import Look
from pellucid.look.view import plain

from ..trace.induction import ANSWER, HEADS, INDUCTION_HEAD, LAYERS, PREVIOUS_HEAD
from .browser import Browser


def test_the_planted_heads_lead_everywhere(induced: Look, page: Any) -> None:
    view = induced.ablation("i")
    planted = {(str(layer), f"head {head}") for layer, head in (PREVIOUS_HEAD, INDUCTION_HEAD)}
    lines, read = plain(view.terminal(), 100).splitlines(), page(view.html())
    assert {(row[0], row[1]) for row in read.tables[0][1:3]} == planted
    assert {(line.split()[0], " ".join(line.split()[1:3])) for line in lines[3:5]} == planted


def test_the_json_has_every_part(induced: Look) -> None:
    told = json.loads(json.dumps(induced.ablation().to_dict(), allow_nan=False))
    assert (told["token"]["id"], told["by"]) == (ANSWER, "zero")
    assert np.shape(told["heads"]) == (LAYERS, HEADS)
    assert len(told["mlps"]) == LAYERS
    layer, head = INDUCTION_HEAD
    assert math.exp(told["logprob"] + told["heads"][layer][head]["logprob"]) < 0.1
    assert told["mlps"][0]["logit"] == pytest.approx(0, abs=1e-5)


def test_it_says_what_is_written_instead(induced: Look) -> None:
    assert "it writes nothing" in plain(induced.ablation().terminal(), 200)
    assert "it writes its mean" in plain(induced.ablation(by="mean").terminal(), 200)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_drawing_is_read_back_and_walked_by_keys(
    induced: Look,
    browser: Browser,
    tmp_path: Path,
    theme: Any,
) -> None:
    view = induced.ablation("i")
    opened = browser.open(view.page(), tmp_path / "page.html", color_scheme=theme)
    state = opened.state()
    assert (state["layer"], state["part"]) in [
        (layer, f"head {head}") for layer, head in (PREVIOUS_HEAD, INDUCTION_HEAD)
    ]
    assert state["change"] == pytest.approx(
        float(view.changes.ravel()[np.abs(view.changes).argmax()])
    )
    opened.page.locator("[role=gridcell][tabindex='0']").press("End")
    for _ in range(HEADS + 1):
        opened.page.keyboard.press("ArrowDown")
    assert (opened.state()["layer"], opened.state()["part"]) == (LAYERS - 1, "MLP")
    alphas = opened.page.locator("[role=gridcell]").evaluate_all(
        "cells => cells.map((e) => Number(/([\\d.]+)\\)$/.exec(e.style.background)[1]))"
    )
    deep = {divmod(i, LAYERS) for i, alpha in enumerate(alphas) if alpha > 0.9}
    assert deep == {(head, layer) for layer, head in (PREVIOUS_HEAD, INDUCTION_HEAD)}
    assert (opened.errors, opened.violations()) == ([], [])
