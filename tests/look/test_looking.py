"""A look computes what is asked for, keeps it, and says what it cannot know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pellucid
from pellucid.errors import FormatError, ParameterError
from pellucid.lm import LM, load
from pellucid.look.looking import Look, views
from pellucid.model import changes
from pellucid.model.run import Run, Segment

TEXT = "The man walked the cat"


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> LM:
    return load(smollm2)


def no_head(rows, positions):
    rows[:] = 0
    return rows


def test_values_are_those_of_the_forward_and_are_kept(lm):
    look = lm.look(TEXT)
    assert not look.trace.values
    run = Run([Segment(look.ids, watch=["layers.4.attn.q", "layers.4.resid"])])
    lm.model.forward(run)
    assert np.array_equal(look["layers.4.attn.q"], run.seen[0]["layers.4.attn.q"])
    assert np.array_equal(look["layers.4.resid"], run.seen[0]["layers.4.resid_post"])
    assert list(look.trace.values) == ["layers.4.attn.q", "layers.4.resid_post"]


def test_a_model_that_watches_keeps_just_that(lm):
    watching = lm.watch("layers.[0-2].attn.pattern").watch("layers.12.resid")
    names = [f"layers.{i}.attn.pattern" for i in range(3)] + ["layers.12.resid_post"]
    assert sorted(watching.look(TEXT).trace.values) == sorted(names)
    assert not lm.look(TEXT).trace.values
    with pytest.raises(ParameterError, match="is no site of this model"):
        lm.watch("layers.30.resid")


def test_rows_of_a_long_text_are_those_of_one_pass(lm):
    ids = lm.tokenizer.encode(TEXT * 120)[:600]
    look = lm.look(ids, watch=["layers.2.attn.q", "layers.1.attn.pattern", "layers.1.attn.scores"])
    run = Run([Segment(ids, watch=list(look.trace.values))])
    lm.model.forward(run)
    assert np.array_equal(look["layers.2.attn.q"], run.seen[0]["layers.2.attn.q"])
    pattern = look["layers.1.attn.pattern"]
    assert np.allclose(pattern, run.seen[0]["layers.1.attn.pattern"], atol=1e-6)
    assert np.allclose(pattern.sum(-1), 1, atol=1e-5)
    hidden = ~np.tri(600, dtype=bool)[:, None]
    assert (look["layers.1.attn.scores"][np.broadcast_to(hidden, pattern.shape)] == -np.inf).all()


def test_logits_of_every_row_can_be_watched(lm):
    look = lm.look(TEXT)
    assert np.array_equal(look["logits"], lm.logits(TEXT))


def test_a_conversation_is_read_in_the_models_template(lm):
    messages = [{"role": "user", "content": "Hello"}]
    look = lm.look(messages, max_new_tokens=3)
    assert list(look.ids[: look.trace.prompt_length]) == lm.chat_ids(messages)
    assert look.trace.messages == messages
    assert "{%" in look.trace.template
    assert look.generation == lm.chat(messages, max_new_tokens=3).generation


def test_a_trace_is_opened_without_its_model_and_with_it(lm, tmp_path):
    lm.look(TEXT, watch=["layers.3.resid"], max_new_tokens=3).save(tmp_path / "a.trace")
    alone = pellucid.open_trace(tmp_path / "a.trace")
    assert alone["layers.3.resid"].shape == (8, 576)
    with pytest.raises(ParameterError, match="not in this trace, and its model is not open"):
        alone.watch("layers.4.resid")
    again = lm.look(alone)
    assert np.array_equal(again["layers.3.resid"], lm.look(again.ids)["layers.3.resid"])
    assert again["layers.4.resid"].shape == (8, 576)


@pytest.mark.parametrize("view", [*views(), "analogy"])
def test_a_trace_holds_all_that_a_view_shows(view, lm, tmp_path):
    def shown(run):
        given = {"attribution": {"steps": 8, "test": 2}}.get(view, {})
        words = (" king", " man", " woman") if view == "analogy" else ()
        return getattr(run, view)(*words, **given).to_dict()

    run = lm.look("The man walked", max_new_tokens=2)
    told = shown(run)
    run.save(tmp_path / "a.trace")
    assert shown(pellucid.open_trace(tmp_path / "a.trace")) == told


def test_a_model_is_opened_once_for_all_that_is_asked_of_a_trace(lm, tmp_path):
    opened = []

    def subject():
        opened.append(lm)
        return lm.look(TEXT).subject

    look = Look(lm.look(TEXT).trace, subject)
    assert not opened
    look.watch("embed").surprise()
    look.lens()
    assert len(opened) == 1


def test_a_trace_that_says_something_else_of_its_model_is_refused(lm):
    trace = lm.look(TEXT).trace
    token = trace.ids[2]
    other = replace(trace, words={**trace.words, token: b" ran"})
    with pytest.raises(ParameterError, match=rf"b' ran' of token {token}, which is b' walked'"):
        lm.look(other)
    config = replace(trace.config, layers=29)
    with pytest.raises(ParameterError, match="otherwise than its files do"):
        lm.replay(replace(trace, origin=replace(trace.origin, config=config)))


def test_what_a_stranger_calls_things_is_shown_and_not_obeyed(lm):
    bell = "\x1b[31m\x07"
    trace = lm.look(TEXT).trace
    edits = [{"site": bell, "change": bell, "positions": None}]
    look = Look(replace(trace, origin=replace(trace.origin, name=bell), edits=edits))
    assert r"\x1b[31m\x07=\x1b" in str(look)
    assert "\x1b" not in str(look)


def test_an_answer_is_explained_and_its_tree_drawn_from_a_file(lm, tmp_path):
    given = {"max_new_tokens": 4, "temperature": 0.8, "seed": 3}
    lm.look(TEXT, **given).save(tmp_path / "a.trace")
    opened = pellucid.open_trace(tmp_path / "a.trace")
    assert str(opened.explain(top=3)) == str(lm.explain(TEXT, top=3, **given))
    assert str(opened.tree(depth=3)) == str(lm.tree(TEXT, depth=3, **given))
    with pytest.raises(ParameterError, match="there is no answer"):
        lm.look(TEXT).tree()
    with pytest.raises(ParameterError, match="ledger: was not kept"):
        lm.look(TEXT, max_new_tokens=2, ledger=0).explain()


def test_a_changed_model_is_looked_at_as_it_is_changed_and_replays(lm, tmp_path):
    changed = lm.edit("layers.5.heads.3", changes.zero).edit("layers.2.resid", changes.scale(0.9))
    look = changed.look(TEXT, watch=["layers.5.heads", "layers.9.resid"], max_new_tokens=5)
    assert not look["layers.5.heads"][:, 3].any()
    assert not np.array_equal(look["layers.9.resid"], lm.look(look.ids)["layers.9.resid"])
    look.save(tmp_path / "a.trace")
    opened = pellucid.open_trace(tmp_path / "a.trace")
    assert "Changed: layers.5.heads.3=zero, layers.2.resid=scale:0.9." in str(opened)
    assert lm.replay(opened).same
    assert changed.replay(opened).same


def test_a_change_by_a_function_is_looked_at_but_not_replayed_from_a_file(lm, tmp_path):
    changed = lm.edit("layers.5.heads.3", no_head)
    look = changed.look(TEXT, max_new_tokens=4)
    assert changed.replay(look).same
    look.save(tmp_path / "a.trace")
    opened = pellucid.open_trace(tmp_path / "a.trace")
    assert "Changed: layers.5.heads.3=no_head." in str(opened)
    with pytest.raises(ParameterError, match=r"was changed by the function 'no_head'"):
        lm.replay(opened)


def test_the_same_edits_differ_from_none_in_a_replay(lm, tmp_path):
    look = lm.edit("layers.5.mlp", changes.zero).look(TEXT, watch=["layers.5.resid"])
    told = look.trace
    look.trace = type(told)(**{**vars(told), "edits": []})
    assert not lm.replay(look).same


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda lm: lm.look(TEXT, max_new_tokenz=3), "did you mean max_new_tokens"),
        (lambda lm: lm.look(lm.look(TEXT), max_new_tokens=3), "has no effect on a trace"),
        (lambda lm: lm.look(""), "is empty"),
        (lambda lm: lm.look(TEXT)["layers.*.resid"], "names 30; ask for one"),
        (lambda lm: lm.look([5] * 8000, watch=["layers.*.pattern"]), "GiB, and at most"),
    ],
)
def test_what_makes_no_sense_is_refused(ask, said, lm):
    with pytest.raises(ParameterError, match=said):
        ask(lm)


def test_a_model_is_no_trace(smollm2):
    with pytest.raises(FormatError):
        pellucid.open_trace(smollm2)


def test_long_readings_tell_how_far_they_are(lm):
    look = lm.look("The man walked")
    told = []
    look.progress = lambda done, total: told.append((done, total))
    look.ablation()
    assert told == [(i + 1, 30) for i in range(30)]


@pytest.mark.parametrize(("tokens", "layers"), [(40, 30), (512, 30), (1024, 16), (8000, 2)])
def test_a_page_has_the_attention_of_as_many_layers_as_fit_on_it(lm, tokens, layers):
    chosen = lm.look([5] * tokens)._layers_of_a_page()
    assert len(chosen) == len(set(chosen)) == layers
    assert chosen[0] == 0
    assert chosen[-1] < 30
