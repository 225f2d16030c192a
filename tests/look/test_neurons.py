"""The view of neurons names each as it can be edited, and what its write speaks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.lm import LM, load
from pellucid.look.view import plain
from pellucid.model.changes import zero

TEXT = "The man walked the"


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> LM:
    return load(smollm2)


def test_a_neuron_that_is_silenced_by_its_name_adds_nothing_any_more(lm: LM) -> None:
    look = lm.look(TEXT)
    told = json.loads(json.dumps(look.neurons(" dog", top=3).to_dict(), allow_nan=False))
    in_last = next(n for n in look.neurons(" dog", top=200).neurons if n.layer == 29)
    before, after = (
        one.look(TEXT).why(" dog", test=0).to_dict() for one in (lm, lm.edit(in_last.name, zero))
    )
    mlp = [
        next(w["added"] for w in told["writers"] if w["name"] == "layers.29.mlp")
        for told in (before, after)
    ]
    # The final norm's scale changes a little too.
    assert mlp[0] - mlp[1] == pytest.approx(in_last.added, abs=0.15 * abs(in_last.added))
    assert len(told["neurons"]) == 3
    assert len(told["by_layer"]) == lm.config.layers


def test_the_terminal_and_the_html_say_the_same(lm: LM, page: Any) -> None:
    view = lm.look(TEXT).neurons(" dog", top=5)
    lines, read = plain(view.terminal(), 120).splitlines(), page(view.html())
    assert (
        lines[0]
        == read.paragraphs[0]
        == "The neurons that moved the logit of ␣dog most, after 3 ␣the."
    )
    for line, row, neuron in zip(lines[3:8], read.tables[0][1:], view.neurons, strict=True):
        assert (
            line.split()[:3]
            == row[:3]
            == [str(neuron.layer), str(neuron.number), f"{neuron.added:+.3f}"]
        )
    assert np.isclose(sum(view.by_layer), float(lines[-1].split()[-1].rstrip(".")), atol=0.01)
