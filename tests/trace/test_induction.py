"""The model that was built by hand does what it was built for, on every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pellucid.lm import load
from pellucid.model.run import Run, Segment

from . import induction
from .induction import ANSWER, IDS, INDUCTION_HEAD, LETTERS, PREVIOUS_HEAD, VALUE_POSITION


@pytest.mark.parametrize("backend", ["reference", "native", "torch"])
def test_it_says_what_followed_the_last_time(tmp_path: Path, backend: str) -> None:
    lm = load(induction.write_model(tmp_path / "induction"), backend=backend)
    (answer, *_) = lm.next(induction.TEXT, top=2)
    assert (answer.text, answer.id) == (LETTERS[ANSWER], ANSWER)
    assert answer.prob > 0.9


def test_its_two_heads_look_where_they_were_built_to_look(tmp_path: Path) -> None:
    lm = load(induction.write_model(tmp_path / "induction"), backend="reference")
    run = Run([Segment(IDS, None, "all", watch=["layers.*.attn.pattern"])])
    lm.model.forward(run)
    layer, head = PREVIOUS_HEAD
    before = run.seen[0][f"layers.{layer}.attn.pattern"][1:, head]  # [rows - 1, context]
    assert (before.argmax(-1) == np.arange(len(IDS) - 1)).all()
    assert before.max(-1).min() > 0.9
    layer, head = INDUCTION_HEAD
    asked = run.seen[0][f"layers.{layer}.attn.pattern"][:, head]
    assert asked[-1].argmax() == VALUE_POSITION
    assert asked[-1].max() > 0.9
    assert (asked[:-1].argmax(-1) == 0).all(), "nothing has come before: the start of the text"
