"""A replay finds every number that is not what it was."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pellucid.look.replay import ReplayView
from pellucid.trace.replay import replay
from pellucid.trace.trace import Trace


@pytest.fixture
def told(trace: Trace) -> Trace:
    return replace(trace, values={}, readings=())


def checks(trace, answer):
    return list(replay(trace, None, lambda: answer))


def test_the_same_answer_is_the_same(told, answered):
    view = ReplayView(checks(told, answered(**told.parameters)), [])
    assert view.same
    assert "the same, to the last bit" in str(view)


def test_a_trace_that_holds_nothing_computed_has_nothing_to_compare(told):
    bare = replace(told, generation=None)
    assert "Nothing to compare" in str(ReplayView(checks(bare, None), []))


def test_another_token_is_found(told, answered):
    other = answered(**{**told.parameters, "seed": 4})
    view = ReplayView(checks(told, other), ["why not"])
    assert not view.same
    assert "Not the same: answer: ids" in str(view)
    assert "why not" in str(view)


def test_a_last_bit_of_a_probability_is_found(told):
    answer = told.generation
    token = answer.tokens[2]
    near = replace(token, prob=float(np.nextafter(token.prob, 1)))
    tokens = (*answer.tokens[:2], near, *answer.tokens[3:])
    found = [c.what for c in checks(told, replace(answer, tokens=tokens)) if not c.same]
    assert found == ["answer: probabilities"]


@pytest.mark.parametrize(
    "other", [{"text": "ran"}, {"finish_reason": "stop"}, {"score": -1.0}], ids=str
)
def test_an_answer_that_says_something_else_is_found(other, told):
    found = [c.what for c in checks(told, replace(told.generation, **other)) if not c.same]
    assert found == ["answer: text"]


def test_a_number_of_a_ledger_is_found(told):
    answer = told.generation
    ledger = answer.tokens[1].ledger
    first, *others = ledger.record.entries()
    entries = [(*first[:3], np.nextafter(first[3], 9), *first[4:]), *others]
    record = SimpleNamespace(ids=ledger.ids, below=ledger.record.below, entries=lambda: entries)
    token = replace(answer.tokens[1], ledger=replace(ledger, record=record))
    tokens = (answer.tokens[0], token, *answer.tokens[2:])
    (wrong,) = [c for c in checks(told, replace(answer, tokens=tokens)) if not c.same]
    assert (wrong.what, wrong.why) == ("answer: ledgers", "that of token 1 is another")


def test_another_tree_is_found(answered, told):
    beams = answered(num_beams=3, max_new_tokens=5)
    trace = replace(told, generation=beams, parameters={"num_beams": 3, "max_new_tokens": 5})
    assert ReplayView(checks(trace, answered(num_beams=3, max_new_tokens=5)), []).same
    other = answered(num_beams=3, max_new_tokens=5)
    other.tree.nodes[3].score += 1e-9
    (wrong,) = [c for c in checks(trace, other) if not c.same]
    assert wrong.what == "tree"
