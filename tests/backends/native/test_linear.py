"""Linear operations on every instruction set are those of float64 on the unpacked numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.weights.tensor import Floats, Tensor

from .blocks import KINDS, random_matrix
from .plans import Doubles, Tried, normal, packed, unpacked, worst

COLUMNS = {name: max(32, kind.block_size) for name, kind in KINDS.items()}


def bound(x: Floats, weights: Doubles, coded: bool) -> Doubles:
    """What rounding may do at most: 16-bit activations are off by half a step, of which the
    largest of each 32 has 32,639; sums of float32 by a few of its own."""
    sums = 3e-6 * np.abs(x).astype(np.float64) @ np.full(weights.T.shape, np.abs(weights).max())
    if not coded:
        return sums
    groups = np.abs(x.reshape(len(x), -1, 32))
    halves = np.broadcast_to(groups.max(-1, keepdims=True) / (2 * 32639), groups.shape)
    return sums + halves.reshape(x.shape).astype(np.float64) @ np.abs(weights.T)


def linear(engine: Any, x: Floats, matrix: Any, bias: Floats | None = None) -> Floats:
    tried = Tried(engine)
    out = tried.linear(tried.put(x), matrix, None if bias is None else bias.tolist())
    return tried.read(out, matrix.shape[0])


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 20), outputs=st.integers(1, 70), blocks=st.integers(1, 5),
    odd=st.integers(-31, 31), biased=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_is_the_product_of_float64(
    engine: Any, name: str, rows: int, outputs: int, blocks: int, odd: int, biased: bool, seed: int
) -> None:
    columns = blocks * COLUMNS[name]
    columns += odd if KINDS[name].block_size == 1 else 0
    tensor = random_matrix(name, seed, outputs, columns)
    x, bias = normal(seed, rows, columns), normal(seed + 1, outputs)
    ours = linear(engine, x, packed(engine, tensor), bias if biased else None)
    weights = tensor.float32().astype(np.float64)
    exact = x.astype(np.float64) @ weights.T + (bias if biased else 0)
    allowed = bound(x, weights, KINDS[name].block_size > 1) + 1e-6  # of the bias
    assert float((np.abs(ours - exact) / allowed).max()) <= 1


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q4_1", "Q4_K", "Q6_K", "Q8_0"])
def test_a_row_is_the_same_bits_alone_and_beside_others(engine: Any, name: str) -> None:
    matrix = packed(engine, random_matrix(name, 1, 83, 512))
    x = normal(2, 19, 512)
    together = linear(engine, x, matrix)
    for first, last in [(0, 1), (3, 5), (2, 8), (7, 12), (11, 19)]:
        np.testing.assert_array_equal(linear(engine, x[first:last], matrix), together[first:last])


def test_more_rows_and_columns_than_fit_a_cache_are_right(engine: Any) -> None:
    tensor = random_matrix("Q8_0", 3, 33, 8192)  # rows go in groups of 24 here
    x = normal(4, 61, 8192)
    exact = x.astype(np.float64) @ tensor.float32().astype(np.float64).T
    assert worst(linear(engine, x, packed(engine, tensor)), exact) <= 1e-4


@pytest.mark.parametrize("name", ["Q4_1", "Q6_K", "F32"])
def test_zero_and_tiny_activations_give_what_float64_gives(engine: Any, name: str) -> None:
    tensor = random_matrix(name, 5, 20, 256)
    weights = tensor.float32().astype(np.float64)
    x = normal(6, 5, 256) * np.float32([[0], [1e-38], [1e-33], [1e-20], [1e30]])
    ours = linear(engine, x, packed(engine, tensor))
    exact = x.astype(np.float64) @ weights.T
    for row, truth in zip(ours, exact, strict=True):
        # Below 1e-30 a group of activations counts as zero.
        np.testing.assert_allclose(row, truth, rtol=1e-3, atol=1e-3 * np.abs(truth).max() + 1e-27)


@pytest.mark.parametrize("name", ["Q4_1", "Q6_K", "Q8_0", "F32", "BF16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_not_lost(engine: Any, name: str, bad: float) -> None:
    matrix = packed(engine, random_matrix(name, 7, 20, 256))
    x = normal(8, 3, 256)
    sound = linear(engine, x, matrix)
    x[1, 200] = bad
    broken = linear(engine, x, matrix)
    assert not np.isfinite(broken[1]).any()
    np.testing.assert_array_equal(broken[[0, 2]], sound[[0, 2]])


@pytest.mark.parametrize("name", KINDS)
def test_instruction_sets_hold_the_same_matrix(engine: Any, name: str) -> None:
    tensor = random_matrix(name, 9, 20, 256)
    np.testing.assert_array_equal(unpacked(packed(engine, tensor)), tensor.float32())


def test_a_matrix_wider_than_its_rows_is_refused(engine: Any) -> None:
    tried = Tried(engine)
    a = tried.put(normal(0, 2, 32))
    matrix = packed(engine, Tensor.of("m", normal(1, 4, 33)))
    with pytest.raises(ValueError, match="linear does not fit"):
        tried.linear(a, matrix)
