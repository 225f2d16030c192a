"""Heads, neurons and positions are changed as hooks of transformers change them, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.errors import ParameterError
from pellucid.model import changes, sites
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint

from .hooked import BACKENDS, BOUND, edited, stack, watched
from .oracle import load_oracle, oracle_folder
from .tiny import Floats, Tiny, logits_of, relative_error, whole

FAMILIES = ["llama", "gemma2", "mistral"]
VECTOR = np.linspace(-2, 2, 64, dtype=np.float32)


def hooked(made: Tiny, module: Any, hook: Callable[[Any], Any]) -> Floats:
    """transformers' logits with what a module is given changed."""
    handle = module.register_forward_pre_hook(lambda _, args: (hook(args[0].clone()),))
    try:
        return logits_of(made.oracle, made.sequences[0])
    finally:
        handle.remove()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("address", "heads"), [
    ("layers.1.heads.2", [2]), ("layers.1.heads.[03]", [0, 3]), ("layers.1.attn.heads", range(4)),
])  # fmt: skip
def test_heads_that_an_address_names_are_silenced_as_by_a_hook_on_their_matrix(
    opened: Callable[[str], Model],
    tiny: Callable[[str], Tiny],
    name: str,
    address: str,
    heads: Any,
) -> None:
    model, made = opened(name), tiny(name)

    def silence(x: Any) -> Any:
        x.view(*x.shape[:-1], 4, -1)[..., list(heads), :] = 0
        return x

    truth = hooked(made, stack(made.oracle, name)[0][1].self_attn.o_proj, silence)
    ours = edited(model, made.sequences[0], Edit(address, changes.zero))
    assert relative_error(ours, truth) <= BOUND
    assert relative_error(whole(model, made.sequences[0]), truth) > 100 * BOUND


@pytest.mark.parametrize("name", FAMILIES)
def test_a_neuron_is_set_at_some_positions_as_by_a_hook(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, made = opened(name), tiny(name)

    def lit(x: Any) -> Any:
        x[:, 3:9, 17] = 8
        return x

    truth = hooked(made, stack(made.oracle, name)[0][2].mlp.down_proj, lit)
    edit = Edit("layers.2.neurons.17", changes.replace(8), range(3, 9))
    ours = edited(model, made.sequences[0], edit)
    assert relative_error(ours, truth) <= BOUND
    assert relative_error(whole(model, made.sequences[0]), truth) > 100 * BOUND
    np.testing.assert_array_equal(ours[:3], whole(model, made.sequences[0])[:3])


@pytest.mark.parametrize("name", [*FAMILIES, "gpt2"])
def test_a_vector_is_added_so_many_times_as_by_a_hook(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, made = opened(name), tiny(name)
    layer = stack(made.oracle, name)[0][2]
    handle = layer.register_forward_pre_hook(
        lambda _, args, kwargs: ((args[0] + 0.5 * torch.from_numpy(VECTOR), *args[1:]), kwargs),
        with_kwargs=True,
    )
    truth = logits_of(made.oracle, made.sequences[0])
    handle.remove()
    ours = edited(model, made.sequences[0], Edit("layers.1.resid", changes.add(VECTOR, 0.5)))
    assert relative_error(ours, truth) <= BOUND


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt neox", "mixtral"])
def test_without_attention_and_mlp_the_logits_are_those_of_the_embedding(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, ids = opened(name), tiny(name).sequences[1]
    nothing = [Edit(f"layers.*.{site}", changes.zero) for site in ("attn", "mlp")]
    embed = watched(model, ids, "embed")["embed"]
    assert relative_error(edited(model, ids, *nothing), model.unembed(embed)) <= 1e-6


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt neox"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_with_all_rows_of_another_runs_residual_the_logits_are_that_runs(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str, layer: int
) -> None:
    """On `native` to the bit; elsewhere keys of rows that a change gave may round otherwise."""
    model, ids = opened(name), tiny(name).sequences[0]
    site = f"layers.{layer % model.config.layers}.resid"
    other = list(reversed(ids))
    full = sites.select([site], model.config, "watch")[0]
    there = watched(model, other, full)[full]
    patched = edited(model, ids, Edit(site, changes.patch(there)))
    if model.backend.name == "native":
        np.testing.assert_array_equal(patched, whole(model, other))
    assert relative_error(patched, whole(model, other)) <= 1e-5


def test_one_row_patched_moves_what_follows_it_alone(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny]
) -> None:
    model, ids = opened("llama"), tiny("llama").sequences[1]
    there = watched(model, ids[::-1], "layers.0.resid_post")["layers.0.resid_post"]
    ours = edited(model, ids, Edit("layers.0.resid", changes.patch(there[[5]], at=5)))
    plain = whole(model, ids)
    np.testing.assert_allclose(ours[:5], plain[:5], rtol=1e-4, atol=1e-5)
    assert (np.abs(ours[5:] - plain[5:]).max(axis=1) > 1e-3).all()
    by_position = Edit("layers.0.resid", changes.patch(there), 5)
    np.testing.assert_array_equal(edited(model, ids, by_position), ours)


def test_a_function_is_given_the_rows_that_are_addressed_and_no_others(
    opened: Callable[[str], Model],
) -> None:
    model, asked = opened("llama"), []

    def seen(rows: Floats, positions: Any) -> Floats:
        asked.append((rows.shape, positions.tolist()))
        return rows

    edits = [
        Edit("layers.1.heads.2", seen, [1, 4]),
        Edit("layers.2.heads.[02]", seen, slice(3, None)),
        Edit("layers.3.neurons.7", seen),
        Edit("layers.3.pattern.1", seen, 2),
        Edit("layers.0.resid", seen, 99),
    ]
    ours = edited(model, [5, 6, 7, 8, 9], *edits)
    assert asked == [
        ((2, 16), [1, 4]), ((2, 2, 16), [3, 4]), ((1, 5), [2]), ((5,), [0, 1, 2, 3, 4])
    ]  # fmt: skip
    assert relative_error(ours, whole(model, [5, 6, 7, 8, 9])) <= BOUND


def test_an_edit_of_positions_that_are_not_fed_costs_no_stop(tiny: Callable[[str], Tiny]) -> None:
    model = tiny("llama").open("native")
    cache = model.new_cache()
    runner: Any = model.run
    edit = Edit("layers.1.resid", changes.zero, slice(0, 3))
    model.forward(Run([Segment([5, 6, 7], cache, edits=[edit])]))
    assert len(runner._variants) == 1
    model.forward(Run([Segment([8], cache, edits=[edit])]))
    assert len(runner._variants) == 1


@pytest.mark.parametrize(("edit", "words"), [
    (Edit("layers.1.heads.4", changes.zero), "layers.1.attn.heads has no head 4"),
    (Edit("layers.1.resid", changes.add([1, 2, 3])), "add has vector of shape"),
    (Edit("layers.1.heads.1", changes.patch(np.zeros((9, 4, 16)))), "patch has values of shape"),
])  # fmt: skip
def test_an_edit_that_a_model_cannot_have_is_refused_before_a_pass_and_in_it(
    opened: Callable[[str], Model], edit: Edit, words: str
) -> None:
    model = opened("llama")
    with pytest.raises(ParameterError, match=f"^edit: {words}"):
        model.check([edit])
    with pytest.raises(ParameterError, match=f"^edits?: {words}"):
        edited(model, [5, 6, 7], edit)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS)
def test_a_head_of_the_real_model_is_silenced_as_by_a_hook(
    smollm2: Path, oracle_cache: Path, name: str
) -> None:
    ids = [504, 1424, 13147, 260, 2644, 28, 284, 260, 1424, 10321]
    oracle = load_oracle(oracle_folder("smollm2", smollm2, oracle_cache))

    def silence(_: Any, args: Any) -> Any:
        x = args[0].clone()
        x[..., 3 * 64 : 4 * 64] = 0
        return (x,)

    plain = logits_of(oracle, ids)
    oracle.model.layers[5].self_attn.o_proj.register_forward_pre_hook(silence)
    truth = logits_of(oracle, ids)
    model = Model.open(open_checkpoint(smollm2), BACKENDS[name](name))
    ours = edited(model, ids, Edit("layers.5.heads.3", changes.zero))
    assert relative_error(ours, truth) <= 1e-3
    assert relative_error(plain, truth) > 1e-2
