"""What the torch backend alone can do: bfloat16, gradients, and a GPU where there is one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from pellucid.backends import backend
from pellucid.backends.torch import Torch
from pellucid.model.forward import Forward
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.tensor import Tensor

from ..model.tiny import BOUNDS, Floats, Tiny, logits_of, relative_error, whole
from ..model.variants import VARIANTS


def _error(ours: Floats, truth: Floats) -> float:
    """The root of the mean square error, over that of the numbers."""
    return float(np.linalg.norm(ours - truth) / np.linalg.norm(truth))


MIXTURES = {name for name in VARIANTS if "mixtral" in name or "experts" in name}


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in MIXTURES])
def test_bfloat16_is_as_near_to_float32_as_transformers_is(
    tiny: Callable[[str], Tiny], name: str
) -> None:
    model = tiny(name)
    ids, truth = model.sequences[0], model.logits[0]
    ours = whole(model.open(backend("torch", dtype="bfloat16")), ids)
    theirs = logits_of(copy.deepcopy(model.oracle).to(torch.bfloat16), ids)
    assert 1e-3 < _error(ours, truth) < 1.5 * _error(theirs, truth) < 0.06


@pytest.mark.parametrize("name", sorted(MIXTURES))
def test_bfloat16_sends_most_tokens_to_the_same_experts(
    tiny: Callable[[str], Tiny], name: str
) -> None:
    """Rounding sends some to others, so each token is a sequence, and the median counts."""
    ids = Run([Segment([token]) for token in tiny(name).sequences[0]])
    ours = tiny(name).open(backend("torch", dtype="bfloat16")).forward(ids)
    truth = tiny(name).open(backend("torch")).forward(ids)
    errors = [_error(row, true) for row, true in zip(ours, truth, strict=True)]
    assert 1e-3 < np.median(errors) < 0.04


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_bfloat16_is_kept_in_the_cache(tiny: Callable[[str], Tiny], name: str) -> None:
    model = tiny(name).open(backend("torch", dtype="bfloat16"))
    ids, cache = tiny(name).sequences[0], model.new_cache()
    steps = [model.forward(Run([Segment([token], cache)])) for token in ids]
    assert _error(np.concatenate(steps), whole(model, ids)) < 0.02
    empty = torch.zeros(0, model.config.kv_heads, model.config.head_dim)
    with torch.inference_mode():
        keys, _ = cache.write(0, empty, empty)
    assert keys.dtype == torch.bfloat16


class _Leaves(Torch):
    """Places weights as torch does, and keeps them by their names in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves: dict[str, Any] = {}

    def weight(self, tensor: Tensor, *, vocabulary: bool = False) -> Any:
        self.leaves[tensor.name] = super().weight(tensor).requires_grad_()
        return self.leaves[tensor.name]

    def norm_weight(self, tensor: Tensor) -> Any:
        return self.weight(tensor)


@pytest.mark.parametrize("name", [
    "llama", "llama, tied, with biases", "mistral", "qwen3", "gemma2", "gemma3", "olmo2",
    "smollm3",
])  # fmt: skip
def test_gradients_are_those_of_transformers(tiny: Callable[[str], Tiny], name: str) -> None:
    ids = tiny(name).sequences[0]
    ops = _Leaves()
    logits = _forward(tiny(name).open(ops))(Run([Segment(ids, None, "all")]))
    _loss(logits, ids).backward()
    oracle = tiny(name).oracle
    oracle.zero_grad()
    _loss(oracle(torch.tensor([ids])).logits[0], ids).backward()
    truth = {name: parameter.grad for name, parameter in oracle.named_parameters()}
    for weight, leaf in ops.leaves.items():
        assert leaf.grad is not None, weight
        assert relative_error(leaf.grad.numpy(), truth[weight].numpy()) <= 1e-4, weight
    assert ops.leaves.keys() == truth.keys()


@pytest.mark.parametrize("name", ["mixtral", "qwen3 experts", "phi3", "gpt2", "gpt neox"])
def test_gradients_reach_every_weight(tiny: Callable[[str], Tiny], name: str) -> None:
    ops = _Leaves()
    segments = [Segment(ids, None, "all") for ids in tiny(name).sequences]
    logits = _forward(tiny(name).open(ops))(Run(segments))
    logits.square().mean().backward()
    assert [name for name, leaf in ops.leaves.items() if leaf.grad is None] == []


def _forward(model: Model) -> Forward:
    """The forward as it stands, its result still on torch's tape."""
    ops: Any = model.backend
    return Forward(model.config, model.weights, ops)


def _loss(logits: Any, ids: list[int]) -> Any:
    return functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", VARIANTS)
def test_a_gpu_gives_the_logits_of_transformers(tiny: Callable[[str], Tiny], name: str) -> None:
    model = tiny(name).open(backend("torch", device="cuda"))
    for ids, truth in zip(tiny(name).sequences, tiny(name).logits, strict=True):
        assert relative_error(whole(model, ids), truth) <= BOUNDS["reference"]
    cache = model.new_cache()
    ids = tiny(name).sequences[0]
    steps = [model.forward(Run([Segment([token], cache)])) for token in ids]
    assert relative_error(np.concatenate(steps), tiny(name).logits[0]) <= BOUNDS["reference"]
