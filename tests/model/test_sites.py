"""What is at each site is what transformers has there, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pellucid.errors import ParameterError
from pellucid.model import sites
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint

from .hooked import BACKENDS, BOUND, MODULES, capped_scores, stack, values, watched
from .oracle import load_oracle, oracle_folder
from .tiny import Floats, Tiny, relative_error, whole
from .variants import VARIANTS


def everything(model: Model, ids: list[int]) -> dict[str, Floats]:
    return watched(model, ids, *sites.names(model.config))


@pytest.mark.parametrize("name", MODULES)
def test_every_site_is_what_transformers_has_there(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str
) -> None:
    model, ids = opened(name), tiny(name).sequences[0]
    truth = values(tiny(name).oracle, name, ids)
    seen = everything(model, ids)
    for site, rows in truth.items():
        assert relative_error(seen[site], rows) <= BOUND, site
    unseen = {sites.place(site)[1] for site in seen.keys() - truth.keys()}
    assert unseen <= {"attn.scores", *({"mlp.gate", "mlp.up"} if name == "phi3" else ())} | (
        {"attn_norm"} if name == "olmo2" else set()
    )


@pytest.mark.parametrize("name", ["gemma2", "mistral", "gpt2", "smollm3"])
def test_scores_are_their_formula_and_the_pattern_their_softmax(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, ids = opened(name), tiny(name).sequences[0]
    seen, c = everything(model, ids), model.config
    rows = np.arange(len(ids))
    for i in range(c.layers):
        q, k, scores, pattern = (
            seen[f"layers.{i}.attn.{site}"] for site in ("q", "k", "scores", "pattern")
        )
        hidden = (rows[:, None] < rows) | (rows[:, None] - rows >= (c.window[i] or len(ids)))
        assert np.array_equal(np.isneginf(scores).all(1), hidden)
        truth = capped_scores(q, k, c.attention_scale, c.attention_softcap)
        shown = ~np.broadcast_to(hidden[:, None], scores.shape)
        np.testing.assert_allclose(scores[shown], truth[shown], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(pattern.sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(pattern, np.exp(scores) / np.exp(scores).sum(-1, keepdims=True),
                                   rtol=1e-4, atol=1e-6)  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_shapes_are_as_the_table_says_and_the_residual_is_a_sum(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, ids = opened(name), tiny(name).sequences[-1]
    seen, c = everything(model, ids), model.config
    assert set(seen) == set(sites.names(c))
    for site, rows in seen.items():
        assert rows.shape == (len(ids), *sites.shape(site, c, len(ids))), site
        assert rows.dtype == np.float32
    total = seen["embed"].astype(np.float64)
    for i in range(c.layers):
        total += seen[f"layers.{i}.attn_out"]
        total += seen[f"layers.{i}.mlp.out"]
        np.testing.assert_allclose(seen[f"layers.{i}.resid_post"], total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3", "mixtral", "gpt neox"])
def test_a_pass_that_is_watched_gives_the_same_bits(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, ids = opened(name), tiny(name).sequences[0]
    plain = whole(model, ids)
    run = Run([Segment(ids, None, "all", watch=sites.names(model.config))])
    np.testing.assert_array_equal(model.forward(run), plain)
    np.testing.assert_array_equal(run.seen[0]["logits"], plain)
    np.testing.assert_array_equal(whole(model, ids), plain)


def test_each_segment_sees_its_own_rows_and_only_what_it_asked_for(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny]
) -> None:
    model, (first, second, third) = opened("mistral"), tiny("mistral").sequences
    run = Run([
        Segment(first, watch=["layers.1.resid_post"]),
        Segment(second),
        Segment(third, None, "all", watch=["layers.*.attn.pattern", "logits"]),
    ])  # fmt: skip
    model.forward(run)
    alone = everything(model, third)
    assert [len(seen) for seen in run.seen] == [1, 0, model.config.layers + 1]
    truth = everything(model, first)["layers.1.resid_post"]
    assert relative_error(run.seen[0]["layers.1.resid_post"], truth) <= BOUND
    for site, rows in run.seen[2].items():
        assert relative_error(rows, alone[site]) <= BOUND


def test_pieces_through_a_cache_see_what_the_whole_sees(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny]
) -> None:
    model, ids = opened("gemma2"), tiny("gemma2").sequences[0]
    truth = everything(model, ids)
    cache, first = model.new_cache(), 0
    for last in (5, 6, 20, len(ids)):
        run = Run([Segment(ids[first:last], cache, "all", watch=sites.names(model.config))])
        model.forward(run)
        for site, rows in run.seen[0].items():
            part = truth[site][first:last]
            if sites.place(site)[1] in ("attn.scores", "attn.pattern"):
                part = part[..., :last]
            np.testing.assert_allclose(rows, part, rtol=1e-3, atol=1e-4, err_msg=site)
        first = last


def test_only_wanted_rows_have_logits(opened: Callable[[str], Model]) -> None:
    model = opened("llama")
    run = Run([Segment([5, 6, 7], watch=["final_norm", "logits", "embed"]), Segment([8, 9])])
    logits = model.forward(run)
    assert {site: len(rows) for site, rows in run.seen[0].items()} == {
        "embed": 3, "final_norm": 3, "logits": 1
    }  # fmt: skip
    np.testing.assert_array_equal(run.seen[0]["logits"], logits[:1])


def test_a_prompt_of_several_native_passes_is_seen_as_one(tiny: Callable[[str], Tiny]) -> None:
    ids = np.random.default_rng(4).integers(3, 120, 600).tolist()
    asked = ("layers.2.attn.*", "layers.0.mlp.act", "final_norm")
    native = tiny("mistral").open(BACKENDS["native"]("native"))
    truth = watched(tiny("mistral").open("reference"), ids, *asked)
    for site, rows in watched(native, ids, *asked).items():
        np.testing.assert_allclose(rows, truth[site], rtol=1e-3, atol=1e-4, err_msg=site)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gemma3, soft cap"])
def test_unembedding_the_last_residual_gives_the_logits(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, ids = opened(name), tiny(name).sequences[1]
    last = f"layers.{model.config.layers - 1}.resid_post"
    logits = model.unembed(watched(model, ids, last)[last])
    assert relative_error(logits, whole(model, ids)) <= 1e-6
    with pytest.raises(ParameterError, match=r"^rows: must be \[n, 64\], not \[64\]"):
        model.unembed(np.zeros(64, np.float32))


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma"])
def test_earlier_residuals_unembedded_are_what_transformers_head_makes_of_them(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, oracle, ids = opened(name), tiny(name).oracle, tiny(name).sequences[1]
    places = [sites.residual(layers) for layers in range(model.config.layers)]
    seen = watched(model, ids, *places)
    with torch.no_grad():
        hidden = oracle(torch.tensor([ids]), output_hidden_states=True).hidden_states
        norm = stack(oracle, name)[1]
        for place, x in zip(places, hidden, strict=False):
            truth = oracle.lm_head(norm(x))[0].numpy()
            assert relative_error(model.unembed(seen[place]), truth) <= BOUND, place


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3, soft cap"])
def test_the_output_matrix_alone_makes_logits_of_normed_rows_before_their_bound(
    opened: Callable[[str], Model], tiny: Callable[[str], Tiny], name: str
) -> None:
    model, ids = opened(name), tiny(name).sequences[1]
    logits = model.project(watched(model, ids, "final_norm")["final_norm"])
    if cap := model.config.logit_softcap:
        logits = np.tanh(logits / cap) * np.float32(cap)
    assert relative_error(logits, whole(model, ids)) <= 1e-6
    with pytest.raises(ParameterError, match=r"^rows: must be \[n, 64\], not \[1, 63\]"):
        model.project(np.zeros((1, 63), np.float32))


def test_patterns_select_part_by_part(tiny: Callable[[str], Tiny]) -> None:
    config = tiny("llama").open("reference").config
    select = partial(sites.select, config=config, parameter="watch")
    assert select(["layers.*.resid_post"]) == [f"layers.{i}.resid_post" for i in range(4)]
    assert select(["layers.[12].attn.[qk]"]) == [
        f"layers.{i}.attn.{which}" for i in (1, 2) for which in "qk"
    ]
    assert select(["embed", "layers.0.resid_*", "embed"]) == [
        "embed", "layers.0.resid_pre", "layers.0.resid_mid", "layers.0.resid_post"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pattern", ["layers.9.resid_post", "layers.*", "blocks.0.attn", "", "layers.0.attn.z"]
)
def test_a_site_that_there_is_none_of_is_refused(
    opened: Callable[[str], Model], pattern: str
) -> None:
    with pytest.raises(ParameterError, match=r"^watch: .* is no site of this model; there are emb"):
        opened("llama").forward(Run([Segment([5], watch=[pattern])]))


def test_sites_that_a_model_has_no_values_for_are_not_among_its(
    tiny: Callable[[str], Tiny],
) -> None:
    def local(name: str) -> list[set[str]]:
        config = tiny(name).open("reference").config
        return [
            {sites.place(n)[1] for n in sites.names(config) if sites.place(n)[0] == i}
            for i in range(config.layers)
        ]

    all_of_them = {site.name for site in sites.IN_LAYER}
    assert local("llama")[0] == all_of_them
    assert all_of_them - local("gpt2")[0] == {"mlp.gate"}
    assert all_of_them - local("gpt neox")[0] == {"mlp.gate", "resid_mid"}
    some = local("qwen3 experts, some layers")
    assert all_of_them - some[0] == {"mlp.gate", "mlp.up", "mlp.act"}
    assert some[1] == all_of_them


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sites.md").read_text("utf-8")
    for site in (*sites.BEFORE, *sites.IN_LAYER, *sites.AFTER):
        shape = ", ".join(("rows", *site.shape))
        other = f"`{site.elsewhere}`" if site.elsewhere else ""
        name = f"layers.N.{site.name}" if site in sites.IN_LAYER else site.name
        assert f"| `{name}` | [{shape}] | {site.meaning} | {other} |" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(
    ("real", "family", "layers"),
    [("smollm2", "llama", (0, 14, 29)), ("gemma3", "gemma2", (0, 5, 9, 17))],
)
def test_a_real_model_has_what_transformers_has(
    real: str,
    family: str,
    layers: tuple[int, ...],
    oracle_cache: Path,
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    gguf = request.getfixturevalue(real)
    ids = [1, 504, 1424, 13147, 260, 2644, 28, 284, 260, 1424, 10321, 357]
    truth = values(load_oracle(oracle_folder(real, gguf, oracle_cache)), family, ids)
    model = Model.open(open_checkpoint(gguf), BACKENDS[name](name))
    for layer in layers:
        for site, rows in watched(model, ids, f"layers.{layer}.*", f"layers.{layer}.*.*").items():
            if not site.endswith("scores"):
                assert relative_error(rows, truth[site]) <= 1e-3, site
