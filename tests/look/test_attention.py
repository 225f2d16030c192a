"""What heads look at: the forward's own patterns, in numbers, in text, packed and unpacked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pellucid
from pellucid.errors import ParameterError
from pellucid.look.attention import AttentionView
from pellucid.look.heads import Head
from pellucid.look.packing import PackedRows, deviation, pack
from pellucid.look.view import plain
from pellucid.model import attention, changes
from pellucid.model.config import ModelConfig
from pellucid.weights.tensor import Floats


@dataclass
class Kept:
    """A trace of which only attention matters."""

    config: ModelConfig
    pieces: tuple[bytes, ...]
    values: dict[str, Floats]
    edits: list[Any] = field(default_factory=list)

    def value(self, site: str) -> Floats:
        return self.values[site]


@pytest.fixture(scope="module")
def look(smollm2: Path) -> Any:
    lm = pellucid.load(smollm2, cache_dtype="float32")
    watch = ["layers.*.attn.[qk]", "layers.[03].attn.pattern"]
    return lm.look("The man walked the cat, and the cat walked the man", watch=watch)


def test_patterns_are_those_that_the_forward_went_on_with(look: Any) -> None:
    view = look.attention()
    for layer in (0, 3):
        ours = np.stack([view.pattern(layer, head) for head in range(9)], 1)
        np.testing.assert_allclose(ours, look[f"layers.{layer}.attn.pattern"], atol=2e-6)


@pytest.mark.slow
def test_windows_and_the_scale_of_a_family_are_kept(gemma3: Path) -> None:
    lm = pellucid.load(gemma3, cache_dtype="float32")
    ids = lm.tokenizer.encode("one two three four five six seven eight nine ten " * 60)[:600]
    kept = lm.look(ids, watch=["layers.[05].attn.[qk]", "layers.[05].attn.pattern"])
    view = AttentionView(kept.trace, [0, 5])  # the first has a window of 512, the other has none
    for layer in (0, 5):
        np.testing.assert_allclose(
            view.pattern(layer, 2), kept[f"layers.{layer}.attn.pattern"][:, 2], atol=5e-6
        )


def test_a_head_is_told_by_what_it_does() -> None:
    previous = np.eye(6, k=-1, dtype=np.float32)
    previous[0, 0] = 1
    head = Head.of(1, 2, previous)
    assert (head.first, head.previous, head.itself) == pytest.approx((2 / 6, 5 / 6, 1 / 6))
    assert [(link.row, link.at) for link in head.strongest] == [(2, 1), (3, 2), (4, 3), (5, 4)]
    assert [(link.row, link.at, link.weight) for link in head.last] == [(5, 4, 1.0)]


def test_the_strongest_links_are_those_of_a_full_sort() -> None:
    random = np.random.default_rng(0)
    pattern = np.tril(random.random((40, 40))).astype(np.float32)
    below = [(pattern[i, j], i, j) for i in range(40) for j in range(1, i)]
    expected = [(i, j) for _, i, j in sorted(below, reverse=True)[:16]]
    assert [(link.row, link.at) for link in Head.of(0, 0, pattern).strongest] == expected


def test_json_is_bounded_and_says_what_each_head_looks_at(look: Any) -> None:
    told = json.loads(json.dumps(look.attention().to_dict()))
    assert len(told["heads"]) == 30 * 9
    assert "".join(told["tokens"]) == look.text
    last = told["heads"][9 * 3 + 1]["last"]
    pattern = look["layers.3.attn.pattern"][-1, 1]
    assert [link["at"] for link in last] == np.argsort(-pattern)[:5].tolist()


def test_the_terminal_shades_a_short_text_and_lists_the_links_of_a_long_one(look: Any) -> None:
    one = look.attention([0], [3])
    rows = plain(one.terminal(), 100).splitlines()[3:]
    assert len(rows) == len(look.ids)
    assert rows[0].endswith("The       ██")
    long = Kept(one.config, one.pieces * 4, {n: np.tile(look[n], (4, 1, 1)) for n in QK})
    listed = plain(AttentionView(long, [0], [3]).terminal(), 100)
    assert "strongest links" in listed
    assert len(listed.splitlines()) == 3 + 16


QK = ["layers.0.attn.q", "layers.0.attn.k"]


def test_html_holds_the_pattern_of_a_short_text(look: Any) -> None:
    view = look.attention([0], [3])
    shares = [float(text.split(" %")[0].strip("< ")) for text in view.html().split('title="')[1:]]
    pattern = view.pattern(0, 3)
    expected = [100 * pattern[i, j] for i in range(len(pattern)) for j in range(i + 1)]
    np.testing.assert_allclose(shares, expected, atol=0.0101)


def test_one_layer_and_one_head_may_be_given_by_their_number(look: Any) -> None:
    view = look.attention(layers=3, heads=1)
    assert (view.layers, view.heads) == ((3,), (1,))


def test_many_heads_are_a_table(look: Any, page: Any) -> None:
    (table,) = page(look.attention().html()).tables
    assert len(table) == 1 + 20
    firsts = [float(row[2].split(" %")[0]) for row in table[1:]]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": [30]}, "layers: must be 0 to 29 in this model, not 30"),
        ({"heads": [-1]}, "heads: must be 0 to 8 in this model, not -1"),
        ({"figure": "x"}, "figure: must be one of head, model, matrix, neuron, not 'x'"),
    ],
)
def test_what_is_not_there_is_refused(look: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as refused:
        AttentionView(look.trace, **given)
    assert str(refused.value) == message


@pytest.mark.parametrize("heads", [[1, 4, 8], [7]])
def test_a_figure_of_some_heads_carries_only_the_keys_that_they_read(
    look: Any, heads: list[int]
) -> None:
    data = look.attention([2], heads).figure().data
    (layer,) = data["layers"]
    q, k = (PackedRows(**layer[name]).unpack() for name in "qk")
    assert data["heads"] == tuple(heads)
    assert k.shape[1] == len({head // 3 for head in heads})
    for at, head in enumerate(heads):
        np.testing.assert_allclose(q[:, at], look["layers.2.attn.q"][:, head], atol=1e-3)
        read = k[:, data["groups"][at]]
        np.testing.assert_allclose(read, look["layers.2.attn.k"][:, head // 3], atol=1e-3)


def test_attention_that_was_changed_behind_its_keys_is_not_made_up(look: Any) -> None:
    edit = {"site": "layers.3.pattern.2", "change": changes.zero.to_dict(), "positions": None}
    trace = replace(look.trace, edits=[edit])
    with pytest.raises(ParameterError, match=r"layers\.3\.attn\.pattern was changed"):
        AttentionView(trace, [3])
    assert AttentionView(trace, [2]).layers == (2,)


def random_rows(rows: int, heads: int, dim: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, heads, dim)).astype(np.float32)


@pytest.mark.parametrize(("bits", "last"), [(12, 4095), (16, 65535)])
def test_packed_rows_are_within_half_a_step(bits: Any, last: int) -> None:
    rows = random_rows(5, 3, 7, 0)
    rows[:, 1, 2] = 0.25  # a dimension that does not change
    back = PackedRows.pack(rows, bits).unpack()
    assert (np.abs(back - rows) <= np.ptp(rows, 0) / last * 0.5001 + 1e-6).all()
    assert (back[:, 1, 2] == 0.25).all()


def test_a_long_text_is_packed_tighter_and_a_layer_that_needs_it_finer() -> None:
    short = [random_rows(9, 2, 8, 0)], [random_rows(9, 1, 8, 1)]
    assert [q.bits for q, _ in pack(*short, [0, 0], 8**-0.5)] == [16]
    queries = [random_rows(2200, 9, 64, layer) for layer in range(2)]
    keys = [random_rows(2200, 3, 64, 9 + layer) for layer in range(2)]
    keys[1] *= 10
    packed = pack(queries, keys, [0, 0, 0, 1, 1, 1, 2, 2, 2], 64**-0.5)
    assert [(q.bits, k.bits) for q, k in packed] == [(12, 12), (16, 16)]


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
@pytest.mark.slow
def test_what_packing_does_to_patterns_stays_below_what_is_promised(
    model: str, request: pytest.FixtureRequest
) -> None:
    lm = pellucid.load(request.getfixturevalue(model))
    ids = lm.tokenizer.encode(Path(__file__).read_text("utf-8"))[:400]
    trace = lm.look(ids, watch=["layers.*.attn.[qk]"]).trace
    view, c = AttentionView(trace), trace.config
    groups = [head // (c.heads // c.kv_heads) for head in range(c.heads)]
    for layer in range(c.layers):
        q, k = (trace.value(f"layers.{layer}.attn.{name}") for name in "qk")
        pair = PackedRows.pack(q, 12), PackedRows.pack(k, 12)
        mask = attention.visible(np.arange(400), np.arange(400), c.window[layer])
        back = attention.scores(*(p.unpack() for p in pair), mask, c.attention_scale, None)
        exact = np.stack([view.pattern(layer, head) for head in range(c.heads)])
        worst = np.abs(attention.softmax(back) - exact).max()
        assert worst < 0.85 * deviation(q, k, groups, c.attention_scale, pair)
