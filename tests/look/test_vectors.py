"""Neighbours, analogies and the map: what is read is what is shown, in every form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pellucid.errors import ParameterError
from pellucid.lm import load
from pellucid.look.looking import Look
from pellucid.look.neighbours import NeighboursView
from pellucid.look.view import plain

from ..trace import induction

TEXT = "^biedhgb"


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    folder = induction.write_model(tmp_path_factory.mktemp("models") / "induction")
    return load(folder, backend="reference").look(TEXT)


def test_neighbours_of_each_distinct_token_are_shown(
    look: Look, page: Callable[[str], Any]
) -> None:
    view = look.neighbours(top=3)
    told = view.to_dict()["tokens"]
    json.dumps(told, allow_nan=False)
    assert [token["text"] for token in told] == list("^biedhg")
    (table,) = page(view.html()).tables
    shown = plain(view.terminal(), 120)
    for row, token in zip(table[1:], told, strict=True):
        assert len(token["neighbours"]) == 3
        for near in token["neighbours"]:
            assert near["text"] in row[1]
            assert f"{near['cosine']:.2f}" in row[1]
        assert token["text"] in shown
    assert view.of(look.ids[1]) == [(n["id"], n["cosine"]) for n in told[1]["neighbours"]]


def test_the_nearer_a_token_is_the_deeper_is_its_tint(look: Look) -> None:
    look.neighbours(top=3)
    reading = look.trace.reading("neighbours", top=3)
    assert reading
    cosines = np.zeros_like(reading.arrays["cosines"])
    cosines[1] = [0.9, 0.6, 0.1]
    other = replace(reading, arrays={**reading.arrays, "cosines": cosines})
    view = NeighboursView(look.trace.with_reading(other, {}), {"top": 3})
    assert re.findall(r'<bdi[^>]* class="(h\d)"', view.html()) == ["h4", "h2"]


def test_an_analogy_takes_texts_or_ids(look: Look, page: Callable[[str], Any]) -> None:
    view = look.analogy("b", look.ids[2], "d", top=2)
    told = view.to_dict()
    assert [given["text"] for given in told["given"]] == ["b", "i", "d"]
    # Letters of this model are at right angles, so what is given lies at 1/sqrt(3).
    assert [given["cosine"] for given in told["given"]] == pytest.approx(
        [3**-0.5, -(3**-0.5), 3**-0.5]
    )
    (table,) = page(view.html()).tables
    assert [row[2] for row in table[1:]] == [answer["text"] for answer in told["answers"]]
    assert "b - i + d" in plain(view.terminal(), 100)


def test_an_analogy_of_what_is_no_token_is_refused(look: Look) -> None:
    with pytest.raises(ParameterError, match=r"^b: "):
        look.analogy("b", "bi", "d")


def test_the_map_says_how_much_it_shows(look: Look, page: Callable[[str], Any]) -> None:
    view = look.map(top=2)
    told = view.to_dict()
    json.dumps(told, allow_nan=False)
    own = [point for point in told["points"] if point["near"] is None]
    assert [point["text"] for point in own] == list("^biedhg")
    # Tokens at right angles have no direction that says more than another.
    assert sum(told["explained"]) == pytest.approx(2 / (len(told["points"]) - 1), abs=1e-4)
    assert f"hold {100 * view.shown:.0f} %" in plain(view.terminal(), 120)
    (table,) = page(view.html()).tables
    assert [row[0] for row in table[1:]] == [point["text"] for point in told["points"]]
    figure = view.figure()
    assert figure.data["xy"].tolist() == [[point["x"], point["y"]] for point in told["points"]]
