"""Taking out a head or an MLP does what a hook that does so does in transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pellucid.errors import ParameterError
from pellucid.lm import LM
from pellucid.model.model import Model
from pellucid.trace.readings import ablation

from ...model.hooked import stack
from ...model.tiny import Tiny, logits_of
from ..induction import ANSWER, HEADS, IDS, INDUCTION_HEAD, PREVIOUS_HEAD
from .runs import log_softmax, read, run_of

TOKEN, POSITION = 17, 20


@pytest.mark.parametrize("by", ["zero", "mean"])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_each_head_and_mlp_in_turn(
    tiny: Callable[[str], Tiny],
    opened: Callable[[str], Model],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    by: str,
) -> None:
    monkeypatch.setattr(ablation, "_ROWS_AT_ONCE", 50)  # so that a layer takes several passes
    made, model = tiny(name), opened(name)
    run = run_of(model, made.checkpoint(), made.sequences[0])
    told = read(run, "ablation", token=TOKEN, position=POSITION, by=by)
    ids, d = made.sequences[0][: POSITION + 1], model.config.head_dim
    plain = logits_of(made.oracle, ids)[-1]
    assert told["logit"][0] == pytest.approx(plain[TOKEN], abs=2e-3)
    assert told["logprob"][0] == pytest.approx(log_softmax(plain)[TOKEN], abs=2e-3)
    last = "mlp" if name == "llama" else "post_feedforward_layernorm"
    for i, layer in enumerate(stack(made.oracle, name)[0]):
        for head in (0, 3, -1):

            def taken_out(_: Any, args: Any, out: Any = None, head: int = head) -> Any:
                x = (args[0] if out is None else out).clone()
                part = slice(head * d, (head + 1) * d) if out is None else slice(None)
                x[..., part] = x[..., part].mean(1, keepdim=True) if by == "mean" else 0
                return (x,) if out is None else x

            module = layer.get_submodule(last if head < 0 else "self_attn.o_proj")
            hook = (
                module.register_forward_hook(taken_out)
                if head < 0
                else module.register_forward_pre_hook(taken_out)
            )
            truth = logits_of(made.oracle, ids)[-1]
            hook.remove()
            logit, logprob = (
                told[f"mlp_{kind}"][i] if head < 0 else told[f"head_{kind}"][i, head]
                for kind in ("logits", "logprobs")
            )
            assert logit == pytest.approx(truth[TOKEN], abs=5e-3)
            assert logprob == pytest.approx(log_softmax(truth)[TOKEN], abs=5e-3)


@pytest.mark.parametrize("by", ["zero", "mean"])
def test_both_planted_heads_are_needed_and_no_other(inducing: LM, by: str) -> None:
    run = run_of(inducing.model, inducing.checkpoint, IDS)
    told = read(run, "ablation", token=ANSWER, position=len(IDS) - 1, by=by)
    lost = (told["logit"] - told["head_logits"]).ravel()
    planted = np.array([PREVIOUS_HEAD, INDUCTION_HEAD]) @ (HEADS, 1)
    assert (lost[planted] > 5).all()
    assert np.abs(np.delete(lost, planted)).max() < 0.01
    assert np.abs(told["mlp_logprobs"] - told["logprob"]).max() < 1e-5


def test_progress_is_told_layer_by_layer(inducing: LM) -> None:
    subject, trace = run_of(inducing.model, inducing.checkpoint, IDS)
    told: list[tuple[int, int]] = []
    watched = replace(subject, progress=lambda done, of: told.append((done, of)))
    read((watched, trace), "ablation", token=ANSWER, position=3, by="zero")
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(("parameter", "value"), [("token", -1), ("position", 8), ("by", "noise")])
def test_what_there_is_not_is_refused(inducing: LM, parameter: str, value: object) -> None:
    run = run_of(inducing.model, inducing.checkpoint, IDS)
    with pytest.raises(ParameterError, match=parameter):
        read(run, "ablation", **{"token": 1, "position": 1, "by": "zero", parameter: value})
