"""LM.edit: another model at the same weights, of which every answer is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pellucid
from pellucid import changes
from pellucid.errors import ParameterError
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run

PROMPT = "The man walked the"
SAID = [{"role": "user", "content": "Name a river."}]


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> pellucid.LM:
    return pellucid.load(smollm2)


@pytest.fixture(scope="module")
def edited(lm: pellucid.LM) -> pellucid.LM:
    return lm.edit("layers.5.heads.3", changes.zero).edit(
        "layers.12.resid", changes.scale(0.5), positions=slice(1, None)
    )


@pytest.fixture(scope="module")
def everywhere(smollm2: Path, edited: pellucid.LM) -> Iterator[pellucid.LM]:
    """A model whose every pass has the edits, whoever asks."""
    changed = pellucid.load(smollm2)
    forward = changed.model.forward

    def with_edits(run: Run) -> Any:
        passed = Run([replace(segment, edits=edited.edits) for segment in run.segments])
        logits = forward(passed)
        run.seen = passed.seen
        return logits

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(changed.model, "forward", with_edits)
        yield changed


def two_turns(lm: pellucid.LM) -> list[str]:
    talk = lm.conversation()
    return [talk.say(text, max_new_tokens=5).finish().text for text in ("A river?", "Another?")]


CALLS: dict[str, Callable[[pellucid.LM], Any]] = {
    "next": lambda lm: lm.next(PROMPT).to_dict(),
    "logits": lambda lm: lm.logits(PROMPT).tolist(),
    "score": lambda lm: lm.score(PROMPT + " dog to the river").to_dict(),
    "generate": lambda lm: lm.generate(PROMPT, max_new_tokens=8).to_dict(),
    "several": lambda lm: lm.generate([PROMPT, "One two"], max_new_tokens=5).to_dict(),
    "stream": lambda lm: list(lm.stream(PROMPT, max_new_tokens=5, temperature=1, seed=3)),
    "beams": lambda lm: lm.generate(PROMPT, max_new_tokens=5, num_beams=3).to_dict(),
    "explain": lambda lm: lm.explain(PROMPT, max_new_tokens=3).to_dict(),
    "tree": lambda lm: lm.tree(PROMPT, max_new_tokens=3).to_dict(),
    "step": lambda lm: lm.step(PROMPT).sample(2).pick(" river").back().sample().to_dict(),
    "chat": lambda lm: lm.chat(SAID, max_new_tokens=5).to_dict(),
    "conversation": two_turns,
    "branch": lambda lm: lm.generate(PROMPT, max_new_tokens=5).branch(
        at=2, token=" river", max_new_tokens=3).to_dict(),
    "steering": lambda lm: lm.steering(["good"], ["bad"], "layers.20.resid").tolist(),
    "look": lambda lm: lm.look(PROMPT, max_new_tokens=2)["layers.20.resid"].tolist(),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_that_of_a_model_whose_passes_are_all_edited(
    call: str, lm: pellucid.LM, edited: pellucid.LM, everywhere: pellucid.LM
) -> None:
    plain = CALLS[call](lm)
    changed = CALLS[call](edited)
    assert changed == CALLS[call](everywhere)
    assert changed != plain
    assert CALLS[call](lm) == plain


def test_edits_are_chained_and_shown_and_leave_the_model_as_it_was(
    lm: pellucid.LM, edited: pellucid.LM
) -> None:
    assert lm.edits == ()
    assert "changed" not in repr(lm)
    assert [str(edit) for edit in edited.edits] == [
        "layers.5.heads.3=zero", "layers.12.resid@1:=scale:0.5"
    ]  # fmt: skip
    assert repr(edited).endswith("; changed: layers.5.heads.3=zero layers.12.resid@1:=scale:0.5>")


def test_a_function_changes_what_it_is_given(lm: pellucid.LM, edited: pellucid.LM) -> None:
    def halved(rows: Any, positions: Any) -> Any:
        rows[positions >= 1] *= np.float32(0.5)
        return rows

    ours = lm.edit("layers.5.heads.3", lambda rows, _: rows * 0).edit("layers.12.resid", halved)
    np.testing.assert_array_equal(ours.logits(PROMPT), edited.logits(PROMPT))
    assert "layers.12.resid=halved>" in repr(ours)


def test_to_edit_reads_no_weights_and_all_share_those_that_are_read(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    load = Model.load
    monkeypatch.setattr(Model, "load", lambda *given: loaded.append(1) or load(*given))
    lm = pellucid.load(smollm2)
    changed = lm.edit("layers.0.resid", changes.zero)
    assert not loaded
    assert changed.model is lm.model
    assert changed.edit("embed", changes.zero).engine is lm.engine
    assert loaded == [1]


@pytest.mark.parametrize(("address", "change", "positions", "words"), [
    ("layers.30.resid", changes.zero, None, "edit: 'layers.30.resid' is no site of this model;"),
    ("layers.5.heads.9", changes.zero, None, "edit: layers.5.attn.heads has no head 9"),
    ("layers.5.resid", changes.add([1, 2]), None, "edit: add has vector of shape"),
    ("layers.5.resid", "zero", None, "edit: 'zero' is no change; see pellucid.changes"),
    ("layers.5.resid", changes.zero, -1, "positions: count from the start"),
    (5, changes.zero, None, "edit: the site must be a text"),
])  # fmt: skip
def test_what_cannot_be_is_refused_at_once(
    smollm2: Path, address: Any, change: Any, positions: Any, words: str
) -> None:
    with pytest.raises(ParameterError, match=f"^{words}"):
        pellucid.load(smollm2).edit(address, change, positions=positions)


def test_a_draft_that_is_edited_is_refused_and_another_drafts_for_what_is(
    lm: pellucid.LM, edited: pellucid.LM
) -> None:
    with pytest.raises(ParameterError, match=r"^draft: is changed by edits"):
        lm.generate(PROMPT, draft=edited)
    answer = edited.generate(PROMPT, draft=lm, max_new_tokens=8)
    assert answer.generation.drafted
    assert answer.ids == edited.generate(PROMPT, max_new_tokens=8).ids


def test_a_conversation_that_another_edit_goes_on_with_is_computed_anew(
    lm: pellucid.LM, edited: pellucid.LM
) -> None:
    talk = lm.conversation()
    talk.say("A river?", max_new_tokens=5).finish()
    talk.lm = edited
    fresh = edited.conversation()
    fresh.messages = list(talk.messages)
    ours, truth = (t.say("Another?", max_new_tokens=5).finish() for t in (talk, fresh))
    assert ours.to_dict() == truth.to_dict()


@pytest.mark.parametrize("layer", [0, 12, 29])
def test_with_another_texts_residual_all_is_said_of_that_text_to_the_bit(
    lm: pellucid.LM, layer: int
) -> None:
    one, other = ("The man walked to the", "Two girls ran down a")
    there = lm.look(other)[f"layers.{layer}.resid"]
    patched = lm.edit(f"layers.{layer}.resid", changes.patch(there))
    np.testing.assert_array_equal(patched.logits(one), lm.logits(other))


def test_with_no_attention_and_no_mlp_the_last_token_alone_decides(lm: pellucid.LM) -> None:
    bare = lm.edit("layers.*.attn", changes.zero).edit("layers.*.mlp", changes.zero)
    embed = lm.look(PROMPT)["embed"]
    np.testing.assert_array_equal(bare.logits(PROMPT), lm.model.unembed(embed))


# ---- traces ------------------------------------------------------------------------------------


def test_a_trace_of_an_edited_run_is_replayed_by_the_model_as_it_was(
    lm: pellucid.LM, edited: pellucid.LM, tmp_path: Path
) -> None:
    look = edited.look(PROMPT, watch=["layers.20.resid"], max_new_tokens=3)
    look.save(tmp_path / "run.trace")
    opened = pellucid.open_trace(tmp_path / "run.trace")
    assert json.dumps(opened.to_dict()["edits"]) == json.dumps(
        [edit.to_dict() for edit in edited.edits]
    )
    for model in (lm, edited, lm.edit("embed", changes.zero)):
        assert model.replay(opened).same
        np.testing.assert_array_equal(
            model.look(opened.trace)["layers.21.resid"], edited.look(look.ids)["layers.21.resid"]
        )


def test_a_trace_that_a_function_changed_needs_the_model_with_that_function(
    lm: pellucid.LM,
) -> None:
    def halved(rows: Any, positions: Any) -> Any:
        return rows / 2

    changed = lm.edit("layers.12.resid", halved)
    look = changed.look(PROMPT, watch=["layers.20.resid"])
    assert changed.replay(look).same
    with pytest.raises(ParameterError, match=r"^edit: .* by the function 'halved', which is not"):
        lm.replay(look)


# ---- steering ----------------------------------------------------------------------------------

GLAD = ["I love this", "What a wonderful day", "This is great", "She was so happy"]
SAD = ["I hate this", "What a terrible day", "This is awful", "She was so sad"]
WORDS = [" great", " wonderful", " good", " fantastic", " amazing", " beautiful", " happy", " love"]


@pytest.mark.parametrize(
    "text", ["I think that the film was", "My day at work was", "The food here tastes"]
)
@pytest.mark.parametrize(
    ("tokens", "factors"), [("last", [-1, -0.5, 0, 0.5, 1]), ("all", [-1, 0, 0.5, 1, 1.5, 2])]
)
def test_glad_words_grow_likelier_the_more_of_a_glad_direction_is_added(
    lm: pellucid.LM, text: str, tokens: Any, factors: list[float]
) -> None:
    vector = lm.steering(GLAD, SAD, "layers.12.resid", tokens=tokens)
    ids = [lm.tokenizer.encode(word)[0] for word in WORDS]

    def glad(factor: float) -> float:
        logits = lm.edit("layers.12.resid", changes.add(vector, factor)).logits(text)[-1]
        weights = np.exp(logits.astype(np.float64) - logits.max())
        return float(weights[ids].sum() / weights.sum())

    found = [glad(factor) for factor in factors]
    assert found == sorted(found)
    assert found[-1] > 4 * found[0]


@pytest.mark.parametrize("wrong", ["good", [], [1, 2], None])
def test_steering_needs_two_lists_of_prompts(lm: pellucid.LM, wrong: Any) -> None:
    for given in ((wrong, ["bad"]), (["good"], wrong)):
        with pytest.raises(ParameterError, match=r"^steering: needs two lists of prompts"):
            lm.steering(*given, "layers.12.resid")


def test_an_edit_of_no_rows_changes_nothing(lm: pellucid.LM) -> None:
    late = lm.edit("layers.3.resid", changes.zero, positions=1000)
    np.testing.assert_array_equal(late.logits(PROMPT), lm.logits(PROMPT))
    assert isinstance(late.edits[0], Edit)


def test_what_one_has_computed_the_other_does_not_take_for_its_own(
    lm: pellucid.LM, edited: pellucid.LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "Seven small birds"  # of which nothing is held yet
    edited.generate(prompt, max_new_tokens=4)
    answer = lm.generate(prompt, max_new_tokens=4)
    fed: list[int] = []
    forward = lm.model.forward
    monkeypatch.setattr(lm.model, "forward", lambda run: fed.append(len(run.ids)) or forward(run))
    answer.branch(at=0, token=" river", max_new_tokens=1)  # of which both hold as much
    assert fed == [1]
