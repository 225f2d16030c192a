"""An early exit is the model with its last layers cut off, on the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from pellucid.errors import ParameterError
from pellucid.model.model import Model

from .tiny import BOUNDS, Tiny, logits_of, relative_error, whole

FAMILIES = ["llama", "gemma3", "smollm3", "qwen3 experts, some layers"]


@pytest.mark.parametrize("backend", BOUNDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_its_logits_are_those_of_transformers_without_the_last_layers(
    name: str, backend: str, tiny: Callable[[str], Tiny]
) -> None:
    small = tiny(name)
    model, ids = small.open(backend), small.sequences[0]
    for layers in (1, 3):
        oracle = copy.deepcopy(small.oracle)
        oracle.model.layers = oracle.model.layers[:layers]
        error = relative_error(whole(model.early_exit(layers), ids), logits_of(oracle, ids))
        assert error < BOUNDS[backend]


def test_it_shares_the_weights_and_has_a_cache_of_its_own(opened: Callable[[str], Model]) -> None:
    model = opened("llama")
    small = model.early_exit(2)
    assert small.weights.embed is model.weights.embed
    assert small.weights.layers == model.weights.layers[:2]
    assert whole(small, [5, 6, 7]).shape == whole(model, [5, 6, 7]).shape


@pytest.mark.parametrize("layers", [0, 4, 99])
def test_it_has_fewer_layers_than_the_model(layers: int, opened: Callable[[str], Model]) -> None:
    message = f"assistant_early_exit: must be 1 to 3, not {layers}: the model has 4 layers"
    with pytest.raises(ParameterError, match=message):
        opened("llama").early_exit(layers)
