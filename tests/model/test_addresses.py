"""Short names, patterns, heads and neurons: what an address names, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from pellucid.errors import ParameterError
from pellucid.model import sites
from pellucid.model.config import ModelConfig
from pellucid.model.sites import Place

from .tiny import Tiny


@pytest.fixture
def config(tiny: Callable[[str], Tiny]) -> ModelConfig:
    return tiny("llama").open("reference").config  # 4 layers, 4 heads, 2 of keys, 96 neurons


@pytest.mark.parametrize(("short", "full"), [
    ("resid", "resid_post"), ("attn", "attn_out"), ("mlp", "mlp.out"), ("heads", "attn.heads"),
    ("neurons", "mlp.act"), ("q", "attn.q"), ("k", "attn.k"), ("v", "attn.v"),
    ("scores", "attn.scores"), ("pattern", "attn.pattern"),
])  # fmt: skip
def test_a_short_name_is_the_site_of_the_full_one(
    config: ModelConfig, short: str, full: str
) -> None:
    select = partial(sites.select, config=config, parameter="watch")
    assert select([f"layers.2.{short}"]) == [f"layers.2.{full}"]
    assert select([f"layers.*.{short}"]) == [f"layers.{i}.{full}" for i in range(4)]


def test_a_pattern_that_fits_full_names_means_these_alone(config: ModelConfig) -> None:
    found = sites.select(["layers.1.attn*"], config, "watch")
    assert found == ["layers.1.attn_norm", "layers.1.attn_out"]
    assert sites.select(["layers.1.[qk]"], config, "watch") == [
        "layers.1.attn.q",
        "layers.1.attn.k",
    ]


@pytest.mark.parametrize(("address", "places"), [
    ("layers.1.heads.3", [Place("layers.1.attn.heads", 3)]),
    ("layers.1.attn.q.[13]", [Place("layers.1.attn.q", (1, 3))]),
    ("layers.[02].pattern.0", [Place(f"layers.{i}.attn.pattern", 0) for i in (0, 2)]),
    ("layers.3.neurons.9?", [Place("layers.3.mlp.act", (90, 91, 92, 93, 94, 95))]),
    ("layers.0.mlp.gate.95", [Place("layers.0.mlp.gate", 95)]),
    ("layers.1.heads.*", [Place("layers.1.attn.heads", (0, 1, 2, 3))]),
    ("layers.0.attn.heads", [Place("layers.0.attn.heads")]),
])  # fmt: skip
def test_an_address_goes_on_to_heads_and_neurons(
    config: ModelConfig, address: str, places: list[Place]
) -> None:
    assert sites.find(address, config, "edit") == places


@pytest.mark.parametrize(("address", "words"), [
    ("layers.1.heads.4", "layers.1.attn.heads has no head 4, only 0 to 3"),
    ("layers.1.heads.03", "layers.1.attn.heads has no head 03, only 0 to 3"),
    ("layers.1.k.[2-9]", r"layers.1.attn.k has no key-value head \[2-9\], only 0 to 1"),
    ("layers.*.neurons.96", "layers.0.mlp.act has no neuron 96, only 0 to 95"),
    ("layers.1.resid.3", "layers.1.resid_post has neither heads nor neurons"),
    ("layers.1.attn.3", "layers.1.attn_out has neither heads nor neurons"),
    ("layers.1.heads.-1", "layers.1.attn.heads has no head -1"),
    ("layers.1.heads.a", "'layers.1.heads.a' is no site of this model; there are embed"),
    ("layers.4.resid", "'layers.4.resid' is no .* in layers.0 to layers.3: .*resid_post or resid"),
    ("", "'' is no site"),
    ("3", "'3' is no site"),
])  # fmt: skip
def test_what_there_is_none_of_is_refused_with_what_there_is(
    config: ModelConfig, address: str, words: str
) -> None:
    with pytest.raises(ParameterError, match=f"^edit: {words}"):
        sites.find(address, config, "edit")


def test_a_mixture_has_no_neurons_to_name(tiny: Callable[[str], Tiny]) -> None:
    config = tiny("mixtral").open("reference").config
    with pytest.raises(ParameterError, match=r"is no site of this model"):
        sites.find("layers.0.neurons.3", config, "edit")


def test_to_watch_heads_of_a_site_is_to_watch_the_site(config: ModelConfig) -> None:
    words = r"name layers.1.attn.heads, and take of its rows \[:, 3\]"
    with pytest.raises(
        ParameterError, match=f"^watch: 'layers.1.heads.3' is part of a site; {words}"
    ):
        sites.select(["layers.1.heads.3"], config, "watch")
