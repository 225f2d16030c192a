"""Edits belong to one request: all its branches have them, and none of its neighbours notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.engine.stepper import Stepper
from pellucid.errors import ParameterError
from pellucid.model import changes
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.weights.tensor import Floats

from ..model.conftest import _few_threads  # noqa: F401
from ..model.hooked import BACKENDS
from ..model.tiny import Tiny, make_tiny
from ..model.variants import VARIANTS

LENGTH = 12
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {"temperature": 0.9, "top_k": 40, "seed": 5},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "lookup": {"prompt_lookup_num_tokens": 3},
    "early exits": {"assistant_early_exit": 2},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "guidance": {"guidance_scale": 1.5, "negative_prompt_ids": [9, 8, 7]},
    "layers": {"dola_layers": "low"},
}
EDITS = (
    Edit("layers.1.heads.2", changes.zero),
    Edit("layers.*.resid", changes.scale(0.7), slice(3, None)),
    Edit("layers.2.neurons.1?", changes.add(0.5)),
)


class Everywhere:
    """A model that is changed whoever asks: all its passes have the edits."""

    def __init__(self, model: Model, edits: Sequence[Edit]) -> None:
        self.config = model.config
        self.new_cache = model.new_cache
        self.project = model.project
        self.early_exit = model.early_exit
        self.check = model.check
        self._model, self._edits = model, edits

    def forward(self, run: Run, /) -> Floats:
        changed = Run([replace(segment, edits=self._edits) for segment in run.segments])
        logits = self._model.forward(changed)
        run.seen = changed.seen
        return logits


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny("llama", VARIANTS["llama"], tmp_path_factory.mktemp("edited"))


@pytest.fixture(scope="module")
def opened(made: Tiny) -> Callable[[str], Model]:
    return cache(lambda name: made.open(BACKENDS[name](name)))


def asked(ids: list[int], edits: Sequence[Edit] = (), **given: Any) -> Request:
    return Request(ids, parameters(max_new_tokens=LENGTH, **given), edits=edits)


def said(answer: Generation) -> list[Any]:
    """All that was said and how surely, of the alternatives too."""
    lines = [answer, *answer.alternatives]
    return [(line.ids, line.score, [(t.prob, t.processed_prob) for t in line.tokens])
            for line in lines]  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_neighbours_of_an_edited_request_are_what_they_are_without_it(
    opened: Callable[[str], Model], made: Tiny, backend: str, strategy: str
) -> None:
    engine, given = Engine(opened(backend)), STRATEGIES[strategy]
    first, second, third = (ids[:9] for ids in made.sequences)

    def answers(edits: Sequence[Edit]) -> list[Generation]:
        neighbours = asked(first, **given), asked(third, temperature=1.0, seed=3)
        return engine.generate([neighbours[0], asked(second, edits, **given), neighbours[1]])

    plain, changed = answers(()), answers(EDITS)
    assert changed[1].ids != plain[1].ids
    for place in (0, 2):
        assert changed[place].ids == plain[place].ids
        if backend == "native":  # elsewhere a guess more in company may round otherwise
            assert said(changed[place]) == said(plain[place])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_all_that_a_request_asks_of_the_model_is_edited(
    opened: Callable[[str], Model], made: Tiny, backend: str, strategy: str
) -> None:
    model, given = opened(backend), STRATEGIES[strategy]
    ids = made.sequences[1]
    everywhere: Any = Everywhere(model, EDITS)
    (truth,) = Engine(everywhere).generate([asked(ids, **given)])
    (alone,) = Engine(model).generate([asked(ids, EDITS, **given)])
    assert said(alone) == said(truth)
    company = [asked(made.sequences[0]), asked(ids, EDITS, **given), asked(made.sequences[2][:4])]
    together = Engine(model).generate(company)[1]
    assert together.ids == truth.ids
    if backend == "native":
        assert said(together) == said(truth)


def test_greedy_is_the_likeliest_of_a_whole_edited_pass_each_time(
    opened: Callable[[str], Model], made: Tiny
) -> None:
    model, ids = opened("reference"), list(made.sequences[2])
    (answer,) = Engine(model).generate([asked(ids, EDITS)])
    for token in answer.ids:
        logits = model.forward(Run([Segment(ids, edits=EDITS)]))
        assert token == logits[-1].argmax()
        ids.append(token)


def test_a_model_that_drafts_is_not_edited_and_changes_nothing(
    opened: Callable[[str], Model], made: Tiny
) -> None:
    model, ids = opened("native"), made.sequences[1]
    drafting: Any = Everywhere(model, ())
    seen: list[Any] = []
    drafting.forward = lambda run: seen.extend(s.edits for s in run.segments) or model.forward(run)
    request = replace(asked(ids, EDITS), draft=Engine(drafting))
    (answer,) = Engine(model).generate([request])
    assert answer.drafted
    assert set(seen) == {()}
    assert answer.ids == Engine(model).generate([asked(ids, EDITS)])[0].ids


@pytest.mark.parametrize(("before", "after"), [(EDITS, ()), ((), EDITS), (EDITS, EDITS[:1])])
def test_what_a_branch_holds_of_other_edits_is_computed_again(
    opened: Callable[[str], Model], made: Tiny, before: Any, after: Any
) -> None:
    engine, ids = Engine(opened("native")), made.sequences[0]
    branch = engine.new_branch(edits=before)
    engine.generate([replace(asked(ids, before), branch=branch)])
    (answer,) = engine.generate([replace(asked(ids, after), branch=branch)])
    assert said(answer) == said(engine.generate([asked(ids, after)])[0])
    assert branch.edits == tuple(after)


def test_what_a_branch_holds_of_the_same_edits_is_not_computed_again(
    opened: Callable[[str], Model], made: Tiny
) -> None:
    model, ids = opened("native"), made.sequences[0]
    counting: Any = Everywhere(model, EDITS)
    fed: list[int] = []
    counting.forward = lambda run: fed.append(len(run.ids)) or model.forward(run)
    engine = Engine(counting)
    branch = engine.new_branch(edits=EDITS)
    (first,) = engine.generate([replace(asked(ids, EDITS), branch=branch)])
    fed.clear()
    more = [*ids, *first.ids, 5]
    (second,) = engine.generate([replace(asked(more, EDITS), branch=branch)])
    assert fed[0] == 2  # the last that was said, and the new one
    assert said(second) == said(engine.generate([asked(more, EDITS)])[0])


def test_a_prompt_that_goes_in_chunks_is_edited_in_each(
    opened: Callable[[str], Model], made: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, ids = Engine(opened("native")), made.sequences[0]
    whole = engine.generate([asked(ids, EDITS)])[0]
    monkeypatch.setattr("pellucid.engine.engine._CHUNK", 7)
    parts = engine.generate([asked(ids, EDITS), asked(made.sequences[1])])[0]
    assert said(parts) == said(whole)


def test_an_answer_by_hand_is_edited_as_a_generation_is(
    opened: Callable[[str], Model], made: Tiny
) -> None:
    engine, ids = Engine(opened("native")), made.sequences[2]
    (answer,) = engine.generate([asked(ids, EDITS)])
    stepper = Stepper(engine, ids, edits=EDITS)
    for _ in range(4):
        stepper.sample()
    stepper.back(2)
    stepper.set(temperature=1.0, top_k=1, seed=1)
    stepper = stepper.fork()
    for _ in range(4):
        stepper.sample()
    assert stepper.ids == answer.ids[:6]


def test_edits_of_what_a_model_does_not_have_are_refused_before_anything_is_computed(
    opened: Callable[[str], Model],
) -> None:
    engine = Engine(opened("native"))
    wrong = asked([5, 6], [Edit("layers.1.heads.9", changes.zero)])
    with pytest.raises(ParameterError, match=r"^edit: layers.1.attn.heads has no head 9"):
        engine.run([asked([5, 6]), wrong])


def test_rows_of_another_request_can_be_patched_in(
    opened: Callable[[str], Model], made: Tiny
) -> None:
    """With all of the prompt's residual replaced, the answer is that of the other prompt."""
    model = opened("native")
    ids, other = made.sequences[1], made.sequences[1][::-1]
    run = Run([Segment(other, watch=["layers.3.resid", "layers.*.[kv]"])])
    model.forward(run)
    edits = [Edit(site, changes.patch(rows)) for site, rows in run.seen[0].items()]
    patched, truth = Engine(model).generate([asked(ids, edits), asked(other)])
    np.testing.assert_array_equal(patched.ids, truth.ids)
    assert said(patched) == said(truth)
