"""The neurons that push a logit: each is its activation times its column, and all are the MLP."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from pellucid.errors import UnsupportedError
from pellucid.model.model import Model

from ...model.hooked import values
from ...model.tiny import Tiny
from .runs import read, run_of

TOKEN, POSITION = 17, 20


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt neox", "olmo2"])
def test_the_neurons_of_a_layer_are_its_mlp(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str
) -> None:
    made, model = tiny(name), opened(name)
    run = run_of(model, made.checkpoint(), made.sequences[0])
    told = read(run, "neurons", token=TOKEN, position=POSITION, top=1000)
    mlps = read(run, "why", token=TOKEN, position=POSITION, test=0)["mlps"]
    by_layer = np.zeros(model.config.layers)
    np.add.at(by_layer, told["neurons"][:, 0], told["contributions"])
    np.testing.assert_allclose(by_layer, told["by_layer"], atol=1e-3)
    if not model.config.mlp_bias:
        np.testing.assert_allclose(by_layer, mlps, atol=2e-3)
    sizes = np.abs(told["contributions"])
    assert (np.diff(sizes) <= 0).all(), "the farthest come first"


def test_a_neuron_adds_what_its_column_makes_of_it_in_transformers(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model]
) -> None:
    made, model = tiny("llama"), opened("llama")
    run = run_of(model, made.checkpoint(), made.sequences[0])
    told = read(run, "neurons", token=TOKEN, position=POSITION, top=6)
    seen = values(made.oracle, "llama", made.sequences[0])
    norm, head = made.oracle.model.norm, made.oracle.lm_head.weight.detach()
    last = torch.from_numpy(seen["layers.3.resid_post"][POSITION])
    spread = (last.pow(2).mean() + norm.variance_epsilon).sqrt()
    for (i, n), added, act, said in zip(
        told["neurons"], told["contributions"], told["activations"], told["said_ids"], strict=True
    ):
        column = made.oracle.model.layers[i].mlp.down_proj.weight[:, n].detach()
        theirs = float(seen[f"layers.{i}.mlp.act"][POSITION, n])
        logits = head @ (column * theirs * norm.weight.detach())
        assert act == pytest.approx(theirs, abs=1e-3)
        assert added == pytest.approx(float(logits[TOKEN] / spread), abs=1e-3)
        assert said.tolist() == torch.topk(logits, 5).indices.tolist()


def test_a_mixture_has_no_neurons_of_its_own_and_a_part_of_one_has_some(
    tiny: Callable[[str], Tiny],
) -> None:
    given = {"token": TOKEN, "position": POSITION, "top": 1000}  # more than there are
    made = tiny("qwen3 experts, some layers")
    told = read(run_of(made.open("reference"), made.checkpoint(), made.sequences[0]),
                "neurons", **given)  # fmt: skip
    assert set(told["neurons"][:, 0].tolist()) == {1}
    assert np.isnan(told["by_layer"]).tolist() == [True, False, True, True]
    made = tiny("mixtral")
    with pytest.raises(UnsupportedError, match="mixture"):
        read(run_of(made.open("reference"), made.checkpoint(), made.sequences[0]),
             "neurons", **given)  # fmt: skip
