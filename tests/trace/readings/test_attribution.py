"""Attribution is what torch makes of transformers' model; occlusion what transformers says when an
embedding is another; and both find what the model that was built by hand reads its answer off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.errors import BackendError, ParameterError
from pellucid.lm import LM, load
from pellucid.model.changes import scale
from pellucid.model.model import Model
from pellucid.model.probe import Edit

from ...model.hooked import attention, stack
from ...model.tiny import Tiny
from ..induction import ANSWER, IDS, KEY_POSITION, VALUE_POSITION
from .runs import Arrays, log_softmax, read, run_of

FAMILIES = ["llama", "qwen3", "gemma2", "gemma3, soft cap", "gpt2", "gpt neox", "mixtral"]
TOKEN, POSITION = 17, 8


def embedded(oracle: Any, ids: list[int]) -> tuple[Any, Any]:
    """Embeddings that transformers is given, `[rows, hidden]`, and the average of all."""
    table = oracle.get_input_embeddings()
    with torch.no_grad():
        whole = table(torch.arange(table.num_embeddings))
    return whole[ids], whole.mean(0)


def said(oracle: Any, inputs: Any) -> Any:
    """The log-probabilities after the last row."""
    return oracle(inputs_embeds=inputs[None], use_cache=False).logits[0, -1].log_softmax(-1)


@pytest.mark.parametrize("baseline", ["mean", "zero"])
@pytest.mark.parametrize("of", ["logprob", "logit"])
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_those_of_transformers(
    tiny: Callable[[str], Tiny], name: str, of: str, baseline: str
) -> None:
    made = tiny(name)
    ids = made.sequences[0]
    run = run_of(made.open("reference"), made.checkpoint(), ids)
    given = {"token": TOKEN, "position": POSITION, "of": of, "baseline": baseline, "steps": 5}
    arrays = read(run, "attribution", **given)
    x, mean = embedded(made.oracle, ids[: POSITION + 1])
    x.requires_grad_()
    logits = made.oracle(inputs_embeds=x[None], use_cache=False).logits[0, -1]
    score = (logits if of == "logit" else logits.log_softmax(-1))[TOKEN]
    score.backward()
    way = x.detach() - (mean if baseline == "mean" else 0)
    truth = (x.grad * way).sum(-1).numpy()
    np.testing.assert_allclose(arrays["gradient"], truth, atol=2e-4 * np.abs(truth).max())
    assert arrays["scores"][1] == pytest.approx(float(score.detach()), abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_integrated_gradients_add_up_to_the_rise(tiny: Callable[[str], Tiny], name: str) -> None:
    made = tiny(name)
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    arrays = read(run, "attribution", token=TOKEN, position=POSITION, hold=0, steps=1024)
    x, mean = embedded(made.oracle, made.sequences[0][: POSITION + 1])
    with torch.no_grad():
        low = float(said(made.oracle, mean.expand_as(x))[TOKEN])
        high = float(said(made.oracle, x)[TOKEN])
    np.testing.assert_allclose(arrays["scores"], [low, high], atol=2e-4)
    assert arrays["integrated"].sum() == pytest.approx(high - low, abs=0.01 * abs(high - low))
    assert arrays["gap"] == pytest.approx(arrays["integrated"].sum() - (high - low), abs=1e-3)


def test_tokens_that_are_held_bring_nothing(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    arrays = read(run, "attribution", token=TOKEN, position=POSITION, hold=3)
    assert (arrays["integrated"][:3] == 0).all()
    assert (arrays["integrated"][3:] != 0).all()
    x, mean = embedded(made.oracle, made.sequences[0][: POSITION + 1])
    x[3:] = mean
    with torch.no_grad():
        low = float(said(made.oracle, x)[TOKEN])
    assert arrays["scores"][0] == pytest.approx(low, abs=1e-4)


def test_what_torch_has_opened_is_not_opened_again(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    model = made.open("torch")
    run, _ = run_of(model, made.checkpoint(), made.sequences[0])
    assert run.differentiable is model
    other, _ = run_of(made.open("native"), made.checkpoint(), made.sequences[0])
    assert other.differentiable is other.differentiable
    assert other.differentiable.backend.name == "torch"


def test_without_torch_it_is_said_what_to_install(
    tiny: Callable[[str], Tiny], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.backends.find_spec", lambda name: None)
    made = tiny("llama")
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    with pytest.raises(BackendError, match="pip install"):
        read(run, "attribution", token=TOKEN, position=POSITION)


@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_gradients_are_there_where_the_caller_has_switched_them_off(
    tiny: Callable[[str], Tiny], switched_off: Callable[[], Any]
) -> None:
    made = tiny("llama")
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    given = {"token": TOKEN, "position": POSITION, "of": "logit", "baseline": "mean", "steps": 9}
    plain = read(run, "attribution", **given)
    with switched_off():
        off = read(run, "attribution", **given)
    for name, numbers in plain.items():
        np.testing.assert_array_equal(off[name], numbers, name)


def test_a_changed_run_has_no_gradients(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    edits = [Edit("layers.0.mlp.out", scale(2))]
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0], edits)
    with pytest.raises(ParameterError, match=r"edits: .*use occlusion"):
        read(run, "attribution", token=TOKEN, position=POSITION)


@pytest.mark.parametrize(
    ("reading", "given", "parameter"),
    [
        ("attribution", {"token": 120}, "token"),
        ("attribution", {"position": 40}, "position"),
        ("attribution", {"of": "loss"}, "of"),
        ("attribution", {"baseline": "noise"}, "baseline"),
        ("attribution", {"hold": POSITION + 1}, "hold"),
        ("attribution", {"steps": 4}, "steps"),
        ("occlusion", {"by": "noise"}, "by"),
        ("occlusion", {"by": 120}, "by"),
        ("occlusion", {"places": [POSITION + 1]}, "places"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tiny: Callable[[str], Tiny], reading: str, given: dict[str, Any], parameter: str
) -> None:
    made = tiny("llama")
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    with pytest.raises(ParameterError, match=f"^{parameter}: "):
        read(run, reading, **{"token": TOKEN, "position": POSITION, **given})


@pytest.mark.parametrize("by", ["mean", "zero", 7])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_token_is_taken_out_as_in_transformers(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str, by: str | int
) -> None:
    made = tiny(name)
    ids = made.sequences[0][: POSITION + 1]
    run = run_of(opened(name), made.checkpoint(), made.sequences[0])
    arrays = read(run, "occlusion", token=TOKEN, position=POSITION, by=by)
    x, mean = embedded(made.oracle, ids)
    instead = {"mean": mean, "zero": torch.zeros_like(mean)}.get(by, embedded(made.oracle, [7])[0])  # type: ignore[call-overload]
    for place in range(len(ids)):
        other = x.clone()
        other[place] = instead
        with torch.no_grad():
            truth = said(made.oracle, other)[TOKEN]
        assert arrays["logprobs"][place] == pytest.approx(float(truth), abs=2e-3)
    with torch.no_grad():
        assert arrays["logprob"] == pytest.approx(float(said(made.oracle, x)[TOKEN]), abs=2e-3)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_a_token_is_hidden_as_by_a_mask_of_transformers(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str
) -> None:
    made = tiny(name)
    ids = made.sequences[0][: POSITION + 1]
    run = run_of(opened(name), made.checkpoint(), made.sequences[0])
    arrays = read(run, "occlusion", token=TOKEN, position=POSITION, by="hidden", places=[2, 5])

    def hidden(place: int) -> float:
        def told(layer: int, found: dict[str, Any]) -> Any:
            pattern = found["pattern"].clone()
            pattern[:, :, place + 1 :, place] = 0
            return pattern / pattern.sum(-1, keepdim=True)

        with torch.no_grad(), attention(stack(made.oracle, name)[0][0], told):
            logits = made.oracle(torch.tensor([ids]), use_cache=False).logits[0, -1]
        return float(log_softmax(logits.numpy())[TOKEN])

    np.testing.assert_allclose(arrays["logprobs"], [hidden(2), hidden(5)], atol=2e-3)


def test_the_last_token_cannot_be_hidden_from_itself(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    arrays = read(run, "occlusion", token=TOKEN, position=POSITION, by="hidden")
    assert np.isnan(arrays["logprobs"]).tolist() == [False] * POSITION + [True]


def test_the_changes_of_a_run_hold_while_tokens_are_taken_out(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    edits = [Edit("layers.3.mlp.out", scale(3))]

    def logprobs(backend: str) -> Any:
        run = run_of(made.open(backend), made.checkpoint(), made.sequences[0], edits)
        return read(run, "occlusion", token=TOKEN, position=POSITION)["logprobs"]

    plain = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    unchanged = read(plain, "occlusion", token=TOKEN, position=POSITION)["logprobs"]
    assert np.abs(logprobs("reference") - unchanged).max() > 0.1
    np.testing.assert_allclose(logprobs("reference"), logprobs("torch"), atol=1e-4)


def test_both_find_what_the_model_built_by_hand_reads_its_answer_off(inducing: LM) -> None:
    look = inducing.look(IDS)
    last = len(IDS) - 1
    asked = {"token": ANSWER, "position": last}
    run = (look.subject, look.trace)
    needed = {KEY_POSITION, VALUE_POSITION, last}  # b, the i behind it, and the b that asks
    claims: Arrays = read(run, "attribution", **asked, hold=1, steps=512)
    tested = read(run, "occlusion", **asked)
    effect = tested["logprob"] - tested["logprobs"]
    for found in (claims["integrated"], effect):
        leading = np.argsort(-found)[:3]
        assert set(leading.tolist()) == needed
        others = np.delete(found, [0, *needed])
        assert np.abs(others).max() < 0.2 * found[leading].min()
    assert abs(float(claims["gap"][0])) < 0.01 * abs(np.diff(claims["scores"])[0])


@pytest.mark.slow
def test_of_smollm2_integrated_gradients_add_up(smollm2: Any) -> None:
    look = load(smollm2).look("The man walked the dog because he wanted to")
    asked = {"token": load(smollm2).next(look.text, top=1)[0].id, "position": len(look.ids) - 1}
    arrays = read((look.subject, look.trace), "attribution", **asked)
    low, high = arrays["scores"]
    assert abs(float(arrays["gap"][0])) < 0.01 * (high - low)
    assert arrays["integrated"].sum() == pytest.approx(high - low, rel=0.01)
