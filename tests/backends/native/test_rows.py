"""What is done row by row or number by number, on every instruction set, against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.backends.lower import _ACTIVATIONS
from pellucid.model.config import Rope
from pellucid.weights.tensor import Floats

from ..test_operations import EXACT
from .blocks import random_matrix
from .plans import Doubles, Tried, normal, packed, worst

EXAMPLES = settings(max_examples=15, deadline=None)
NUMBERS = np.concatenate([
    np.linspace(-12, 12, 1203), np.geomspace(1e-30, 80, 50), -np.geomspace(1e-30, 80, 50),
    [0, -0.0, -1e4, -300, -89, -88, 88, 89, 300, 1e4],
]).astype(np.float32)  # fmt: skip


def normed(x: Doubles, weight: Floats, bias: Floats | None, eps: float, centre: bool) -> Doubles:
    if centre:
        x = x - x.mean(-1, keepdims=True)
    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight
    return y if bias is None else y + bias


@EXAMPLES
@given(
    rows=st.integers(1, 9), groups=st.integers(1, 5), each=st.integers(1, 130),
    centre=st.booleans(), biased=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_a_norm_is_that_of_each_group_of_a_row(
    engine: Any, rows: int, groups: int, each: int, centre: bool, biased: bool, seed: int
) -> None:
    x = normal(seed, rows, groups * each) + np.float32(0.3)
    weight, bias = normal(seed + 1, each), normal(seed + 2, each)
    tried = Tried(engine)
    out, a = tried.buffer(x.shape[1]), tried.put(x)
    tried.plan.norm(out, a, weight.tolist(), bias.tolist() if biased else [], groups, 1e-3, centre)
    ours = tried.read(out, x.shape[1])
    split = x.astype(np.float64).reshape(rows, groups, each)
    exact = normed(split, weight, bias if biased else None, 1e-3, centre).reshape(x.shape)
    assert worst(ours, exact) <= 2e-6


@pytest.mark.parametrize("kind", EXACT)
def test_activations_follow_their_formulas(engine: Any, kind: Any) -> None:
    tried = Tried(engine)
    out, a = tried.buffer(len(NUMBERS)), tried.put(NUMBERS[None])
    tried.plan.activate(out, a, _ACTIVATIONS.index(kind))
    exact = np.array([EXACT[kind](float(number)) for number in NUMBERS])
    np.testing.assert_allclose(tried.read(out, len(NUMBERS))[0], exact, rtol=5e-7, atol=1e-6)


@pytest.mark.parametrize("cap", [0.5, 30.0, 50.0])
def test_a_soft_cap_is_a_tanh(engine: Any, cap: float) -> None:
    tried = Tried(engine)
    out, a = tried.buffer(len(NUMBERS)), tried.put(NUMBERS[None])
    tried.plan.softcap(out, a, cap)
    exact = np.tanh(NUMBERS.astype(np.float64) / cap) * cap
    np.testing.assert_allclose(tried.read(out, len(NUMBERS))[0], exact, rtol=5e-7)


@pytest.mark.parametrize("width", [1, 7, 16, 33, 100])
def test_sums_products_and_scales_are_those_of_float32(engine: Any, width: int) -> None:
    a, b = normal(1, 5, width), normal(2, 5, width)
    for name, exact in [("add", a + b), ("multiply", a * b), ("scale", a * np.float32(0.7))]:
        tried = Tried(engine)
        left, right, out = tried.put(a), tried.put(b), tried.buffer(width)
        write = getattr(tried.plan, name)
        _ = write(out, left, 0.7) if name == "scale" else write(out, left, right)
        np.testing.assert_array_equal(tried.read(out, width), exact)


@pytest.mark.parametrize("operation", ["activate", "softcap", "norm"])
def test_a_number_that_is_none_stays_none(engine: Any, operation: str) -> None:
    x = normal(3, 1, 40)
    x[0, 21] = np.nan
    for choice in range(4 if operation == "activate" else 1):
        tried = Tried(engine)
        a, out = tried.put(x), tried.buffer(40)
        if operation == "activate":
            tried.plan.activate(out, a, choice)
        elif operation == "softcap":
            tried.plan.softcap(out, a, 30.0)
        else:
            tried.plan.norm(out, a, [1.0] * 40, [], 1, 1e-6, False)
        if choice < 3:  # max(x, 0) of none is 0
            assert np.isnan(tried.read(out, 40)[0, 21])


@EXAMPLES
@given(
    rows=st.integers(1, 7), heads=st.integers(1, 5), pairs=st.integers(1, 40),
    rest=st.integers(0, 20), start=st.integers(0, 5000), seed=st.integers(0, 999),
)  # fmt: skip
def test_a_rotation_turns_pairs_of_each_head_and_leaves_the_rest(
    engine: Any, rows: int, heads: int, pairs: int, rest: int, start: int, seed: int
) -> None:
    each = 2 * pairs + rest
    rope = Rope(dims=2 * pairs, base=500.0, gain=1.25)
    x = normal(seed, rows, heads * each)
    tried = Tried(engine)
    a, turns, out = tried.put(x), tried.buffer(rope.dims), tried.buffer(x.shape[1])
    tried.plan.turns(turns, rope.frequencies().tolist(), rope.gain)
    tried.plan.rotate(out, a, turns, heads)
    tried.finish(out, x.shape[1])
    ours = tried.run(start=start).reshape(rows, heads, each)
    # The angle is a float32, as in transformers.
    angles = np.arange(start, start + rows, dtype=np.float32)[:, None] * rope.frequencies()
    exact = x.astype(np.float64).reshape(rows, heads, each)
    turned = np.exp(1j * angles.astype(np.float64))[:, None] * rope.gain
    numbers = (exact[..., :pairs] + 1j * exact[..., pairs : 2 * pairs]) * turned
    exact[..., : 2 * pairs] = np.concatenate([numbers.real, numbers.imag], -1)
    assert worst(ours, exact) <= 1e-6


def test_rows_are_taken_in_the_order_that_is_asked(engine: Any) -> None:
    x = normal(4, 9, 20)
    tried = Tried(engine)
    tried.finish(tried.put(x), 20)
    wanted = np.array([8, 0, 0, 3])
    out = np.empty((4, 20), np.float32)
    tried.plan.execute(np.arange(9), np.arange(9), wanted, [], out)
    np.testing.assert_array_equal(out, x[wanted])


@pytest.mark.parametrize("chosen", [1, 2, 5])
@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_a_mixture_is_the_sum_of_the_likeliest(
    engine: Any, kind: str, gated: bool, renormalise: bool, chosen: int
) -> None:
    rows, hidden, width, count = 11, 64, 96, 5
    x, scores = normal(5, rows, hidden), normal(6, rows, count)
    scores[3, 1] = scores[3, 4] = 9  # of equals, the first counts
    shapes = [(width, hidden), (width, hidden), (hidden, width)]
    matrices = [
        [random_matrix(kind, 10 * e + i, *shape) for i, shape in enumerate(shapes)]
        for e in range(count)
    ]
    tried = Tried(engine)
    a, b, out = tried.put(x), tried.put(scores), tried.buffer(hidden)
    experts = [
        (packed(engine, g) if gated else None, packed(engine, u), packed(engine, d))
        for g, u, d in matrices
    ]
    tried.plan.experts(out, a, b, experts, chosen, renormalise, _ACTIVATIONS.index("silu"))
    ours = tried.read(out, hidden)
    exact = np.zeros(x.shape)
    for row in range(rows):
        chances = np.exp(scores[row].astype(np.float64))
        first = np.argsort(-chances, kind="stable")[:chosen]
        chances /= chances[first].sum() if renormalise else chances.sum()
        for e in first:
            gate, up, down = (m.float32().astype(np.float64) for m in matrices[e])
            active, other = (gate, up @ x[row]) if gated else (up, 1.0)
            inner = active @ x[row]
            exact[row] += chances[e] * (down @ (inner / (1 + np.exp(-inner)) * other))
    assert worst(ours, exact) <= 1e-4


def test_a_row_of_a_mixture_is_the_same_bits_alone_and_beside_others(engine: Any) -> None:
    x, scores = normal(7, 13, 32), normal(8, 13, 4)
    tried = Tried(engine)
    a, b, out = tried.put(x), tried.put(scores), tried.buffer(32)
    experts = [
        (None, packed(engine, random_matrix("Q4_0", e, 64, 32)),
         packed(engine, random_matrix("Q4_0", 9 + e, 32, 64)))
        for e in range(4)
    ]  # fmt: skip
    tried.plan.experts(out, a, b, experts, 2, True, 0)
    together = tried.read(out, 32)
    for row in range(13):
        np.testing.assert_array_equal(tried.run(row, row + 1), together[row : row + 1])
