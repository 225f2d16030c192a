"""A change at a site does what the same change does in transformers, to that sequence alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.errors import ParameterError
from pellucid.model import sites
from pellucid.model.changes import scale
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment

from .hooked import BACKENDS, BOUND, attention, edited, stack, watched
from .tiny import Floats, Tiny, logits_of, relative_error, whole

FAMILIES = ["llama", "gemma2", "mistral"]
VECTOR = np.linspace(-2, 2, 64, dtype=np.float32)


def no_head(rows: Floats, positions: Any) -> Floats:
    rows[:, 1] = 0
    return rows


def steered(rows: Floats, positions: Any) -> Floats:
    return rows + VECTOR


def away_from_one(rows: Floats, positions: Any) -> Floats:
    """Rows beyond the third no longer look at position 1."""
    rows[positions > 2, :, 1] = -np.inf
    return rows


def flat(rows: Floats, positions: Any) -> Floats:
    """Half of each pattern goes to position 0, as far as it is in sight."""
    rows = rows * np.float32(0.5)
    rows[..., 0] += np.float32(0.5)
    return rows


@pytest.mark.parametrize("name", FAMILIES)
def test_a_head_that_is_silenced(
    tiny: Callable[[str], Tiny],
    opened: Callable[[str], Model],
    name: str,
) -> None:
    model, made = opened(name), tiny(name)
    d = model.config.head_dim

    def silence(_: Any, args: Any) -> Any:
        x = args[0].clone()
        x[..., d : 2 * d] = 0
        return (x,)

    hook = stack(made.oracle, name)[0][1].self_attn.o_proj.register_forward_pre_hook(silence)
    truth = logits_of(made.oracle, made.sequences[0])
    hook.remove()
    ours = edited(model, made.sequences[0], Edit("layers.1.attn.heads", no_head))
    assert relative_error(ours, truth) <= BOUND
    assert relative_error(whole(model, made.sequences[0]), truth) > 100 * BOUND


@pytest.mark.parametrize("name", [*FAMILIES, "gpt2", "gpt neox"])
def test_a_vector_that_is_added_to_the_residual(
    tiny: Callable[[str], Tiny],
    opened: Callable[[str], Model],
    name: str,
) -> None:
    model, made = opened(name), tiny(name)

    def steer(_: Any, args: Any, out: Any) -> Any:
        added = torch.from_numpy(VECTOR)
        return (out[0] + added, *out[1:]) if isinstance(out, tuple) else out + added

    hook = stack(made.oracle, name)[0][0].register_forward_hook(steer)
    truth = logits_of(made.oracle, made.sequences[0])
    hook.remove()
    for site in ("layers.0.resid_post", "layers.1.resid_pre"):
        ours = edited(model, made.sequences[0], Edit(site, steered))
        assert relative_error(ours, truth) <= BOUND


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pattern_that_is_bent(
    tiny: Callable[[str], Tiny],
    opened: Callable[[str], Model],
    name: str,
) -> None:
    model, made = opened(name), tiny(name)
    ids = made.sequences[0]
    window = model.config.window[2] or len(ids)

    def bent(i: int, found: dict[str, Any]) -> Any:
        if i != 2:
            return None
        pattern = found["pattern"] * 0.5
        pattern[..., :window, 0] += 0.5
        return pattern

    with attention(stack(made.oracle, name)[0][0], bent):
        truth = logits_of(made.oracle, ids)
    ours = edited(model, ids, Edit("layers.2.attn.pattern", flat))
    assert relative_error(ours, truth) <= BOUND


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_that_are_taken_away(
    tiny: Callable[[str], Tiny],
    opened: Callable[[str], Model],
    name: str,
) -> None:
    model, made = opened(name), tiny(name)

    def without(i: int, found: dict[str, Any]) -> Any:
        if i != 1:
            return None
        pattern = found["pattern"].clone()
        pattern[..., 3:, 1] = 0
        return pattern / pattern.sum(-1, keepdim=True)

    with attention(stack(made.oracle, name)[0][0], without):
        truth = logits_of(made.oracle, made.sequences[0])
    edit = Edit("layers.1.attn.scores", away_from_one)
    assert relative_error(edited(model, made.sequences[0], edit), truth) <= BOUND


@pytest.mark.parametrize("name", ["llama", "gemma2", "olmo2", "qwen3 experts", "gpt neox"])
def test_a_change_of_nothing_changes_no_bit_but_where_attention_is_written_out(
    opened: Callable[[str], Model],
    tiny: Callable[[str], Tiny],
    name: str,
) -> None:
    model, ids = opened(name), tiny(name).sequences[0]
    plain = whole(model, ids)
    ours = [site for site in sites.names(model.config) if not site.endswith(("scores", "pattern"))]
    edits = [Edit(site, lambda rows, positions: rows) for site in ours]
    np.testing.assert_array_equal(edited(model, ids, *edits), plain)
    edits = [
        Edit(f"layers.*.attn.{which}", lambda rows, _: rows) for which in ("scores", "pattern")
    ]
    assert relative_error(edited(model, ids, *edits), plain) <= BOUND


@pytest.mark.parametrize("name", ["llama", "olmo2", "mistral"])
def test_values_of_another_run_carry_its_logits_along(
    opened: Callable[[str], Model],
    tiny: Callable[[str], Tiny],
    name: str,
) -> None:
    """All that later layers know of the past is the residual: with it replaced, so are they."""
    model, ids = opened(name), tiny(name).sequences[0]
    other = list(reversed(ids))
    there = watched(model, other, "layers.1.resid_post")["layers.1.resid_post"]
    patched = edited(model, ids, Edit("layers.1.resid_post", lambda _, positions: there[positions]))
    np.testing.assert_allclose(patched, whole(model, other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("site", [
    "embed", "layers.0.attn_norm", "layers.1.attn.q", "layers.1.attn.k", "layers.0.attn.v",
    "layers.2.attn.scores", "layers.2.attn.pattern", "layers.1.attn.heads", "layers.*.attn_out",
    "layers.0.resid_mid", "layers.3.mlp_norm", "layers.2.mlp.gate", "layers.2.mlp.up",
    "layers.2.mlp.act", "layers.1.mlp.out", "layers.3.resid_post", "final_norm", "logits",
])  # fmt: skip
def test_neighbours_are_untouched_to_the_bit_and_what_was_changed_is_seen(
    opened: Callable[[str], Model],
    tiny: Callable[[str], Tiny],
    site: str,
) -> None:
    model, (first, second, third) = opened("llama"), tiny("llama").sequences
    names = sites.select([site], model.config, "watch")

    def halved(rows: Floats, positions: Any) -> Floats:
        rows[..., ::2] *= np.float32(0.5)
        return rows

    def run(edits: list[Edit]) -> tuple[Floats, Run]:
        run = Run([
            Segment(first, model.new_cache(), "all", watch=["layers.*.resid_post", "logits"]),
            Segment(second, model.new_cache(), "all", watch=names, edits=edits),
            Segment(third, model.new_cache(), "all"),
        ])  # fmt: skip
        return model.forward(run), run

    plain, before = run([])
    ours, after = run([Edit(site, halved)])
    start, stop = len(first), len(first) + len(second)
    np.testing.assert_array_equal(ours[:start], plain[:start])
    np.testing.assert_array_equal(ours[stop:], plain[stop:])
    assert not np.array_equal(ours[start:stop], plain[start:stop])
    for name, rows in before.seen[0].items():
        np.testing.assert_array_equal(after.seen[0][name], rows)
    if len(names) == 1:  # later layers see more than their own change
        truth = halved(before.seen[1][site].copy(), None)
        if site.endswith("scores"):  # what was hidden is hidden
            truth[np.isneginf(before.seen[1][site])] = -np.inf
        assert np.array_equal(after.seen[1][site], truth)


def test_the_cache_keeps_what_the_keys_were_changed_to(
    opened: Callable[[str], Model],
    tiny: Callable[[str], Tiny],
) -> None:
    model, ids = opened("llama"), tiny("llama").sequences[0]
    cache, zeros = model.new_cache(), Edit("layers.*.attn.v", lambda rows, _: np.zeros_like(rows))
    model.forward(Run([Segment(ids[:10], cache, edits=[zeros])]))
    keys, values = cache.read(0, 10)
    assert keys.any()
    assert not values.any()
    seen = watched(model, ids[:10], "layers.0.attn.k")["layers.0.attn.k"]
    np.testing.assert_allclose(keys, seen, rtol=1e-4, atol=1e-5)
    after = model.forward(Run([Segment(ids[10:], cache, "all")]))
    assert relative_error(after, whole(model, ids)[10:]) > 100 * BOUND


def test_edits_are_made_in_their_order(opened: Callable[[str], Model]) -> None:
    model = opened("llama")
    site = "layers.1.mlp.out"
    one = Edit(site, lambda rows, _: np.ones_like(rows))
    twice = Edit("layers.1.mlp.*", lambda rows, _: rows * 2)
    for edits, value in (((one, twice), 2), ((twice, one), 1)):
        assert (watched(model, [5, 6], site, edits=edits)[site] == value).all()


@pytest.mark.parametrize("wrong", [
    lambda rows, positions: None,
    lambda rows, positions: rows[:-1],
    lambda rows, positions: rows.tolist(),
    lambda rows, positions: rows.T,
])  # fmt: skip
def test_a_change_that_gives_no_such_rows_is_refused(
    opened: Callable[[str], Model],
    wrong: Any,
) -> None:
    words = r"^edits: the change of layers.1.attn_out gives .*, not rows \[3, 64\]"
    model = opened("llama")
    cache = model.new_cache()
    with pytest.raises(ParameterError, match=words):
        model.forward(Run([Segment([5, 6, 7], cache, edits=[Edit("layers.1.attn_out", wrong)])]))
    assert cache.length == 0
    ours = model.forward(Run([Segment([5, 6, 7], cache, "all")]))  # and is of use again
    np.testing.assert_array_equal(ours, whole(model, [5, 6, 7]))


def test_an_error_in_a_change_is_the_callers_own(opened: Callable[[str], Model]) -> None:
    model = opened("llama")

    def fails(rows: Floats, positions: Any) -> Floats:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        edited(model, [5, 6], Edit("layers.1.attn.q", fails))
    np.testing.assert_array_equal(whole(model, [5, 6]), whole(model, [5, 6]))


def test_a_change_may_run_the_model_itself(opened: Callable[[str], Model]) -> None:
    model = opened("llama")
    site = "layers.2.resid_post"
    depth: list[int] = []

    def nested(rows: Floats, positions: Any) -> Floats:
        if len(depth) == 2:
            return rows
        depth.append(1)
        return edited(model, [9, 8, 7], Edit(site, nested))[:, :64] * np.float32(0.1) + rows

    once = edited(model, [5, 6, 7], Edit(site, nested))
    depth.clear()
    np.testing.assert_array_equal(edited(model, [5, 6, 7], Edit(site, nested)), once)


def test_a_long_prompt_is_changed_in_pieces_as_in_one(tiny: Callable[[str], Tiny]) -> None:
    ids = np.random.default_rng(4).integers(3, 120, 600).tolist()
    places: list[int] = []

    def at_ends(rows: Floats, positions: Any) -> Floats:
        places.extend(positions)
        rows[positions % 100 == 7] = 0
        return rows

    edits = [Edit("layers.0.resid_post", at_ends), Edit("layers.1.attn.scores", away_from_one)]
    native = edited(tiny("mistral").open(BACKENDS["native"]("native")), ids, *edits)
    assert places == list(range(600))
    truth = edited(tiny("mistral").open("reference"), ids, *edits)
    assert relative_error(native, truth) <= BOUND


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_a_change_of_scores_is_shown_what_is_hidden_as_such(
    tiny: Callable[[str], Tiny], backend: str
) -> None:
    ids = np.random.default_rng(4).integers(3, 120, 300).tolist()

    def look(rows: Floats, positions: Any) -> Floats:
        ahead = np.arange(rows.shape[-1]) > positions[:, None]
        assert np.isneginf(rows.transpose(0, 2, 1)[ahead]).all()
        return rows

    edited(tiny("llama").open(BACKENDS[backend](backend)), ids, Edit("layers.1.attn.scores", look))


@pytest.mark.filterwarnings("error")
def test_scores_times_nothing_are_a_pattern_that_is_even(opened: Callable[[str], Model]) -> None:
    flat = Edit("layers.1.attn.scores", scale(0))
    run = Run([Segment([5, 6, 7], watch=["layers.1.attn.pattern"], edits=[flat])])
    opened("llama").forward(run)
    for row, pattern in enumerate(run.seen[0]["layers.1.attn.pattern"]):
        assert np.allclose(pattern[:, : row + 1], 1 / (row + 1))
        assert not pattern[:, row + 1 :].any()


@pytest.mark.parametrize("name", ["olmo2", "gemma2", "qwen3 experts, some layers", "gpt neox"])
def test_native_changes_are_the_references_at_every_site(
    tiny: Callable[[str], Tiny], name: str
) -> None:
    """In some families two sites have one value: a change of the second leaves the first."""
    native, reference = (tiny(name).open(BACKENDS[b](b)) for b in ("native", "reference"))
    ids = tiny(name).sequences[1]

    def bent(rows: Floats, positions: Any) -> Floats:
        return np.abs(rows) * np.float32(0.5)

    for site in sites.names(native.config):
        if sites.place(site)[0] in (-1, 1):
            edit = Edit(site, bent)
            ours, truth = (edited(model, ids, edit) for model in (native, reference))
            assert relative_error(ours, truth) <= BOUND, site
