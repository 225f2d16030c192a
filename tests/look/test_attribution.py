"""What an attribution says: the measured beside the claimed, in JSON, terminal and HTML alike."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.errors import ParameterError
from pellucid.lm import LM, load
from pellucid.look.attribution import AttributionView
from pellucid.look.looking import Look, open_trace
from pellucid.look.view import plain

from ..trace import induction
from ..trace.induction import ANSWER, IDS, KEY_POSITION, LETTERS, VALUE_POSITION

LAST = len(IDS) - 1


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LM:
    folder = induction.write_model(tmp_path_factory.mktemp("models") / "induction")
    return load(folder, backend="reference")


@pytest.fixture(scope="module")
def view(lm: LM) -> AttributionView:
    return lm.look(IDS).attribution(LETTERS[ANSWER], steps=256)


def test_the_answer_is_the_models_own_choice_unless_given(lm: LM, view: AttributionView) -> None:
    assert lm.look(IDS).attribution(steps=5, test=1).token == view.token == ANSWER


def test_effect_is_what_the_model_loses_without_a_token(lm: LM, view: AttributionView) -> None:
    reading = view._trace.reading(
        "occlusion", token=ANSWER, position=LAST, by="mean", places=[*range(LAST + 1)]
    )
    assert reading
    without = reading.arrays["logprobs"]
    assert view.logprob == pytest.approx(lm.next(IDS, top=1)[0].logit - _logsumexp(lm), abs=1e-4)
    np.testing.assert_allclose(view.effect, view.logprob - without, atol=1e-6)
    assert set(np.argsort(-view.effect)[:3].tolist()) == {KEY_POSITION, VALUE_POSITION, LAST}
    assert view.agreement is not None
    assert view.agreement > 0.8, "of this model, gradients claim what is so"


def _logsumexp(lm: LM) -> float:
    return float(np.log(np.exp(lm.logits(IDS)[-1].astype(np.float64)).sum()))


def test_only_the_leading_claims_are_tested(lm: LM) -> None:
    view = lm.look(IDS).attribution(LETTERS[ANSWER], steps=64, test=2)
    tested = np.flatnonzero(np.isfinite(view.effect))
    assert view.integrated is not None
    assert set(tested.tolist()) == set(np.argsort(-np.abs(view.integrated))[:2].tolist())
    bars = re.findall(r'class="bar[^>]*><span style="width:([\d.]+)%', view.html())
    assert {at for at, width in enumerate(bars) if float(width)} <= set(tested.tolist()), bars


@pytest.mark.parametrize("by", ["zero", "hidden", "c"])
def test_there_are_other_ways_to_take_a_token_out(lm: LM, by: str) -> None:
    view = lm.look(IDS).occlusion(LETTERS[ANSWER], by=by)
    assert view.effect[VALUE_POSITION] > 0.3, "without the i, there is no i to be said"
    assert np.isnan(view.effect[LAST]) == (by == "hidden")
    assert view.integrated is None
    way = {"zero": "replaced by zeros.", "hidden": "no later token may look at it.", "c": "by c."}
    assert way[by] in plain(view.terminal(), 200)


@pytest.mark.parametrize("given", [{"by": "bi"}, {"test": -1}])
def test_a_mistake_is_told_before_gradients_are_taken(lm: LM, given: dict[str, Any]) -> None:
    look = lm.look(IDS)
    with pytest.raises(ParameterError, match=rf"^{next(iter(given))}: "):
        look.attribution(ANSWER, **given)
    assert not look.trace.readings


def test_every_form_has_the_same_numbers(view: AttributionView, page: Callable[[str], Any]) -> None:
    told = view.to_dict()
    json.dumps(told, allow_nan=False)
    (table,) = page(view.html()).tables
    shown = plain(view.terminal(), 120)
    for at, token in enumerate(told["tokens"]):
        row = table[at + 1]
        for name, cell in (("effect", 2), ("integrated", 4), ("gradient", 5)):
            assert row[cell] == f"{token[name]:+.3f}"
            assert row[cell] in shown
    figure = view.figure()
    assert figure.data["effect"].tolist() == pytest.approx([t["effect"] for t in told["tokens"]])


def test_what_is_not_in_a_trace_is_asked_for(lm: LM) -> None:
    with pytest.raises(ParameterError, match="has no reading occlusion"):
        AttributionView(lm.look(IDS).trace, {"token": 1, "position": 2})


def test_all_of_it_is_kept_in_a_file(lm: LM, tmp_path: Path) -> None:
    look = lm.look(IDS)

    def shown(one: Look) -> list[str]:
        made = (one.attribution("i", steps=8, test=3), one.occlusion("i"), one.map(top=2),
                one.neighbours(top=3), one.analogy("b", "i", "d"))  # fmt: skip
        return [plain(view.terminal(), 120) for view in made]

    before = shown(look)
    look.save(tmp_path / "run.trace")
    assert shown(open_trace(tmp_path / "run.trace")) == before
