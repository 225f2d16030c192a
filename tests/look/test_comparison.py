"""Two runs side by side, as every form shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.lm import LM, load
from pellucid.look.view import plain
from pellucid.model.changes import zero

from ..trace import induction
from ..trace.induction import INDUCTION_HEAD, TEXT


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LM:
    folder = induction.write_model(tmp_path_factory.mktemp("models") / "induction")
    return load(folder, backend="reference")


def test_two_texts_part_where_they_differ(lm: LM, page: Callable[[str], Any]) -> None:
    view = lm.look(TEXT).compare(lm.look("^bieohgb"))
    told = view.to_dict()
    json.dumps(told, allow_nan=False)
    assert [run["text"] for run in told["runs"]] == [TEXT, "^bieohgb"]
    changed = [pair["left"]["id"] != pair["right"]["id"] for pair in told["pairs"]]
    assert changed == [i == 4 for i in range(8)]
    assert all(pair["divergence"] == 0 for pair in told["pairs"][:4])
    (table,) = page(view.html()).tables
    shown = plain(view.terminal(), 120)
    for row, pair in zip(table[1:], told["pairs"], strict=True):
        assert row[1:3] == [pair["left"]["text"], pair["right"]["text"]]
        assert row[-2] == f"{pair['divergence']:.3f}"
        assert row[-2] in shown


def test_a_silenced_head_shows_where_it_was_needed(lm: LM) -> None:
    layer, head = INDUCTION_HEAD
    changed = lm.edit(f"layers.{layer}.heads.{head}", zero)
    view = lm.look(TEXT).compare(changed.look(TEXT))
    assert view.parted == 0 or view.parted == len(TEXT) - 1
    distances = view.comparison.distances  # [layers + 1, pairs]
    assert (distances[: layer + 1] == 0).all()
    assert distances[layer + 1, -1] > 0.1
    assert int(np.argmax(view.comparison.divergence)) == len(TEXT) - 1, "only there was it needed"


def test_a_run_and_itself_are_the_same(lm: LM) -> None:
    view = lm.look(TEXT).compare(lm.look(TEXT))
    assert view.parted is None
    assert "They say the same: no next-token distribution differs." in plain(view.terminal(), 120)


def test_a_token_without_a_counterpart_stands_alone(lm: LM) -> None:
    told = lm.look(TEXT).compare(lm.look(TEXT + "ie")).to_dict()
    assert [pair["left"] for pair in told["pairs"][-2:]] == [None, None]
    assert [pair["right"]["text"] for pair in told["pairs"][-2:]] == ["i", "e"]
    assert told["pairs"][-1]["divergence"] is None
