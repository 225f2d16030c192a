"""A direction is the difference of two means, of what transformers has at that site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.errors import ParameterError
from pellucid.model import changes
from pellucid.model.directions import direction
from pellucid.model.model import Model
from pellucid.model.probe import Edit

from .hooked import BOUND, values
from .tiny import Tiny, relative_error


@pytest.mark.parametrize("name", ["llama", "gemma2"])
@pytest.mark.parametrize("tokens", ["last", "all"])
@pytest.mark.parametrize(("address", "site", "part"), [
    ("layers.2.resid", "layers.2.resid_post", np.s_[:]),
    ("layers.1.attn", "layers.1.attn_out", np.s_[:]),
    ("layers.3.neurons", "layers.3.mlp.act", np.s_[:]),
    ("layers.1.heads.2", "layers.1.attn.heads", np.s_[:, 2]),
    ("layers.0.heads.[13]", "layers.0.attn.heads", np.s_[:, [1, 3]]),
])  # fmt: skip
def test_it_is_what_the_means_of_transformers_values_differ_by(
    opened: Callable[[str], Model],
    tiny: Callable[[str], Tiny],
    name: str,
    tokens: Any,
    address: str,
    site: str,
    part: Any,
) -> None:
    made, reach = tiny(name), np.s_[-1:] if tokens == "last" else np.s_[:]
    sides = made.sequences[:2], [made.sequences[2], [7, 5, 9], [4]]
    means = [
        np.mean([values(made.oracle, name, ids)[site][part][reach].mean(0) for ids in side], axis=0)
        for side in sides
    ]
    found = direction(opened(name), *sides, address, tokens)
    assert found.dtype == np.float32
    assert relative_error(found, means[0] - means[1]) <= BOUND


def test_added_at_the_last_token_it_makes_the_means_meet(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny]
) -> None:
    """By its definition: the others, moved by it, differ from the former by nothing."""
    model, (one, *others) = opened("llama"), tiny("llama").sequences
    vector = direction(model, [one], others, "layers.1.resid")
    moved = [Edit("layers.1.resid", changes.add(vector))]
    left = direction(model, others, others, "layers.1.resid", edits=moved)
    assert not left.any()
    after = direction(model, [one], [[5]], "layers.1.resid")
    before = direction(model, others, [[5]], "layers.1.resid")
    np.testing.assert_allclose(before + vector, after, rtol=1e-4, atol=1e-4)


def test_it_is_measured_in_the_model_as_it_is_changed(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny]
) -> None:
    model, (one, other, _) = opened("llama"), tiny("llama").sequences
    zeroed = [Edit("layers.1.resid", changes.zero)]
    assert not direction(model, [one], [other], "layers.1.resid", edits=zeroed).any()


@pytest.mark.parametrize(("address", "words"), [
    ("layers.*.resid", "'layers.\\*.resid' names 4 sites; give one"),
    ("layers.1.pattern", "'layers.1.pattern' is of pairs of tokens"),
    ("layers.1.pattern.2", "'layers.1.pattern.2' is of pairs of tokens"),
    ("layers.9.resid", "'layers.9.resid' is no site"),
])  # fmt: skip
def test_one_place_with_a_value_of_each_token_is_needed(
    opened: Callable[[str], Model], address: str, words: str
) -> None:
    with pytest.raises(ParameterError, match=f"^site: {words}"):
        direction(opened("llama"), [[5]], [[6]], address)


def test_of_which_tokens_is_last_or_all(opened: Callable[[str], Model]) -> None:
    first: Any = "first"
    with pytest.raises(ParameterError, match=r"^tokens: must be last or all, not 'first'"):
        direction(opened("llama"), [[5]], [[6]], "layers.1.resid", first)
