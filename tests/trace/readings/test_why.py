"""Who wrote a logit: writers sum to it, each is what transformers' own matrices make of it, and the
model that was built by hand is explained by the head that was planted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.errors import ParameterError
from pellucid.lm import LM, load
from pellucid.model.changes import scale
from pellucid.model.model import Model
from pellucid.model.probe import Edit

from ...model.hooked import stack, values
from ...model.tiny import Tiny, logits_of
from ...model.variants import VARIANTS
from ..induction import ANSWER, HEADS, IDS, INDUCTION_HEAD, LAYERS, VALUE_POSITION
from .runs import Arrays, log_softmax, read, run_of

TOKEN, VERSUS = 17, 40
PARTS = ("embedding", "positions", "heads", "mlps", "biases", "constant")


def total(arrays: Arrays) -> float:
    return sum(float(arrays[part].sum(dtype=np.float64)) for part in PARTS)


def why(model: Model, made: Tiny, position: int, **given: Any) -> Arrays:
    run = run_of(model, made.checkpoint(), made.sequences[0], given.pop("edits", ()))
    return read(run, "why", **{"token": TOKEN, "position": position, "test": 0, **given})


@pytest.mark.parametrize("versus", [None, VERSUS])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_writers_sum_to_the_logit(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str, versus: int | None
) -> None:
    made, model = tiny(name), opened(name)
    position = len(made.sequences[0]) - 2
    arrays = why(model, made, position, versus=versus)
    logits = made.logits[0][position]
    cap = model.config.logit_softcap
    before = cap * np.arctanh(logits.astype(np.float64) / cap) if cap else logits
    truth = before[TOKEN] - (before[versus] if versus else 0)
    assert arrays["before_cap"][0] == pytest.approx(truth, abs=2e-3)
    assert abs(arrays["rounding"][0]) < 1e-3
    assert total(arrays) + float(arrays["rounding"][0]) == pytest.approx(
        float(arrays["before_cap"][0]), abs=1e-5
    )
    np.testing.assert_allclose(arrays["sources"].sum(-1), arrays["heads"], atol=1e-3)
    assert arrays["sources"].shape[-1] == position + 1


@pytest.mark.parametrize("position", [0, 1, 39])
def test_any_row_can_be_explained(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], position: int
) -> None:
    made = tiny("mistral")  # with a window of seven, which hides most of a long text
    arrays = why(opened("mistral"), made, position)
    assert total(arrays) == pytest.approx(float(made.logits[0][position][TOKEN]), abs=2e-3)
    hidden = arrays["sources"][..., : max(0, position - 6)]
    assert not hidden.any()
    assert arrays["sources"][..., -7:].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_the_writers_sum_to_the_logit_of_a_real_model(
    request: pytest.FixtureRequest, name: str, backend: str
) -> None:
    lm = load(request.getfixturevalue(name), backend=backend)
    ids = lm.tokenizer.encode("The man walked the cat and the woman walked the")
    token = lm.next(ids, top=1)[0].id
    run = run_of(lm.model, lm.checkpoint, ids)
    arrays = read(run, "why", token=token, position=len(ids) - 1, test=0)
    logit = float(lm.logits(ids)[-1, token])
    assert arrays["before_cap"][0] == pytest.approx(logit, abs=1e-4)
    assert total(arrays) + float(arrays["rounding"][0]) == pytest.approx(logit, abs=1e-4)
    assert abs(arrays["rounding"][0]) < 1e-3


def _head_of_llama(oracle: Any, z: Any, layer: Any, made: Any) -> Any:
    return layer.self_attn.o_proj.weight @ z


def _head_of_gpt2(oracle: Any, z: Any, layer: Any, made: Any) -> Any:
    return z @ layer.attn.c_proj.weight


def _head_of_gemma(oracle: Any, z: Any, layer: Any, made: Any) -> Any:
    norm = layer.post_attention_layernorm
    spread = (made.pow(2).mean() + norm.eps).sqrt()
    return layer.self_attn.o_proj.weight @ z / spread * (1 + norm.weight)


_WRITES = {"llama": _head_of_llama, "qwen3": _head_of_llama, "mistral": _head_of_llama,
           "gpt2": _head_of_gpt2, "gemma2": _head_of_gemma}  # fmt: skip
_OUT = {"gpt2": "attn.c_proj"}


@pytest.mark.parametrize("name", _WRITES)
def test_a_head_adds_what_its_own_columns_make_of_it_in_transformers(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str
) -> None:
    made, model = tiny(name), opened(name)
    position, (layers, norm) = 20, stack(made.oracle, name)
    kept: list[tuple[Any, Any]] = []
    hooks = [
        layer.get_submodule(_OUT.get(name, "self_attn.o_proj")).register_forward_hook(
            lambda _, args, out: kept.append((args[0][0, position], out[0, position]))
        )
        for layer in layers
    ]
    last = torch.from_numpy(values(made.oracle, name, made.sequences[0])[
        f"layers.{model.config.layers - 1}.resid_post"][position])  # fmt: skip
    for hook in hooks:
        hook.remove()
    arrays, d = why(model, made, position), model.config.head_dim
    for i, (given, out) in enumerate(kept):
        for head in range(model.config.heads):
            z = torch.zeros_like(given)
            z[head * d : (head + 1) * d] = given[head * d : (head + 1) * d]
            with torch.no_grad():
                write = _WRITES[name](made.oracle, z, layers[i], out)
                truth = _read_out(made.oracle, norm, last, write, TOKEN)
            assert arrays["heads"][i, head] == pytest.approx(float(truth), abs=1e-3)


def test_a_word_and_its_place_are_told_apart(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model]
) -> None:
    made, model, position = tiny("gpt2"), opened("gpt2"), 20
    arrays, norm = why(model, made, position), stack(made.oracle, "gpt2")[1]
    last = values(made.oracle, "gpt2", made.sequences[0])["layers.2.resid_post"][position]
    with torch.no_grad():
        for part, write in (
            ("embedding", made.oracle.transformer.wte.weight[made.sequences[0][position]]),
            ("positions", made.oracle.transformer.wpe.weight[position]),
        ):
            truth = float(_read_out(made.oracle, norm, torch.from_numpy(last), write, TOKEN))
            assert arrays[part][0] == pytest.approx(truth, abs=1e-3)


def _read_out(oracle: Any, norm: Any, last: Any, write: Any, token: int) -> Any:
    """What a write adds, the final norm's scale being that of the last residual."""
    if hasattr(norm, "bias") and norm.bias is not None:
        write = (write - write.mean()) / (last.var(correction=0) + norm.eps).sqrt() * norm.weight
    else:
        gain = 1 + norm.weight if "Gemma" in type(norm).__name__ else norm.weight
        eps = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
        write = write / (last.pow(2).mean() + eps).sqrt() * gain
    return oracle.get_output_embeddings().weight[token] @ write


def test_a_claim_is_tested_by_silencing_the_head_in_that_row(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model]
) -> None:
    made, model = tiny("llama"), opened("llama")
    position, d = 20, model.config.head_dim
    arrays = why(model, made, position, versus=VERSUS, test=6)
    sizes = np.abs(np.concatenate([arrays["heads"], arrays["mlps"][:, None]], 1))
    assert len(arrays["tested"]) == 6
    for (i, head), logits, probs in zip(
        arrays["tested"], arrays["tested_logits"], arrays["tested_probs"], strict=True
    ):
        assert (sizes > sizes[i, head]).sum() < 6, "the leading ones are tested"
        layer = made.oracle.model.layers[i]

        def silence(_: Any, args: Any, out: Any = None, head: int = head) -> Any:
            if head < 0:
                out = out.clone()
                out[:, position] = 0
                return out
            x = args[0].clone()
            x[:, position, head * d : (head + 1) * d] = 0
            return (x,)

        hook = (
            layer.mlp.register_forward_hook(silence)
            if head < 0
            else layer.self_attn.o_proj.register_forward_pre_hook(silence)
        )
        truth = logits_of(made.oracle, made.sequences[0])[position]
        hook.remove()
        np.testing.assert_allclose(logits, truth[[TOKEN, VERSUS]], atol=2e-3)
        np.testing.assert_allclose(probs, np.exp(log_softmax(truth))[[TOKEN, VERSUS]], atol=1e-3)


def test_the_planted_head_wrote_the_answer_and_took_it_from_the_right_token(inducing: LM) -> None:
    run = run_of(inducing.model, inducing.checkpoint, IDS)
    arrays = read(run, "why", token=ANSWER, position=len(IDS) - 1, test=3)
    logit, (layer, head) = float(arrays["before_cap"][0]), INDUCTION_HEAD
    assert arrays["heads"][layer, head] == pytest.approx(logit, rel=0.02)
    others = np.delete(arrays["heads"].ravel(), layer * HEADS + head)
    assert len(others) == LAYERS * HEADS - 1
    assert np.abs(others).max() < 0.01 * logit
    assert np.abs(arrays["mlps"]).max() < 1e-6
    sources = arrays["sources"][layer, head]
    assert sources[VALUE_POSITION] == pytest.approx(logit, rel=0.02)
    assert np.abs(np.delete(sources, VALUE_POSITION)).max() < 0.01 * logit
    assert arrays["tested"][0].tolist() == [layer, head]
    assert arrays["probs"][0] > 0.99
    assert arrays["tested_probs"][0, 0] < 0.1
    assert (arrays["tested_probs"][1:, 0] > 0.99).all()


def test_a_changed_run_is_explained_as_it_was_changed(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model]
) -> None:
    made, model = tiny("llama"), opened("llama")
    edits = [Edit("layers.3.heads.1", scale(3))]
    plain = why(model, made, 20)
    changed = why(model, made, 20, edits=edits)
    assert abs(changed["rounding"][0]) < 1e-3
    assert abs(changed["heads"][3, 1]) > 2 * abs(plain["heads"][3, 1])


def test_a_change_of_the_residual_itself_is_nobodys(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model]
) -> None:
    made, model = tiny("llama"), opened("llama")
    changed = why(model, made, 20, edits=[Edit("layers.2.resid_pre", scale(2))])
    assert abs(changed["rounding"][0]) > 0.01
    assert total(changed) + float(changed["rounding"][0]) == pytest.approx(
        float(changed["before_cap"][0]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("parameter", "value"), [("token", 120), ("position", 40), ("versus", -1), ("test", 1000)]
)
def test_what_there_is_not_is_refused(
    tiny: Callable[[str], Tiny], parameter: str, value: int
) -> None:
    made = tiny("llama")
    with pytest.raises(ParameterError, match=parameter):
        why(made.open("reference"), made, **{"position": 1, parameter: value})
