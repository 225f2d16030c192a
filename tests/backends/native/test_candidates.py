"""What a pass finds in its logits, while they are near, is what a survey of them finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.backends import _native
from pellucid.backends.native import ROWS_AT_ONCE, Native
from pellucid.choose.candidates import Candidates
from pellucid.model.changes import zero
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint

from ...model.tiny import Tiny


def told(survey: Candidates) -> list[Any]:
    """What a survey says of the highest, the sums and the ranks."""
    leading = survey.leading(50)
    asked = [survey.sums(), leading, survey.ranks(survey.scores_of(leading)), survey.scores]
    return [survey.most, survey.count, survey.total, *(one.tolist() for one in asked)]


def check(run: Run, logits: Any) -> None:
    assert len(run.candidates) == len(logits) > 0
    for row, found in zip(logits, run.candidates, strict=True):
        assert told(found) == told(Candidates(row))


@pytest.mark.parametrize("isa", _native.available())
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_it_is_the_same_however_many_threads_look(
    tiny: Callable[[str], Tiny], threads: int, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PELLUCID_ISA", isa)
    model = tiny("gemma2").open(Native(threads, isa))
    one, two = tiny("gemma2").sequences[:2]
    run = Run([Segment(one), Segment(two, None, "all")], survey=True)
    check(run, model.forward(run))


def test_rows_of_a_long_prompt_and_of_a_large_vocabulary_are_all_looked_at(smollm2: Any) -> None:
    model = Model.open(open_checkpoint(smollm2), Native(2))
    ids = list(range(100, 100 + ROWS_AT_ONCE))
    run = Run([Segment(ids, None, "all"), Segment(ids[:40]), Segment(ids[:2], None, "all")],
              survey=True)  # fmt: skip
    check(run, model.forward(run))


def test_what_was_changed_or_watched_is_looked_at_as_it_became(
    tiny: Callable[[str], Tiny],
) -> None:
    model, ids = tiny("llama").open(Native(2)), tiny("llama").sequences[0]
    run = Run([Segment(ids, None, "all", ["logits"], [Edit("logits", zero)])], survey=True)
    logits = model.forward(run)
    assert not logits.any()
    np.testing.assert_array_equal(run.seen[0]["logits"], logits)
    check(run, logits)


def test_nothing_is_found_where_nobody_asks(tiny: Callable[[str], Tiny]) -> None:
    run = Run([Segment([5, 6, 7])])
    tiny("llama").open(Native(2)).forward(run)
    assert run.candidates == []
