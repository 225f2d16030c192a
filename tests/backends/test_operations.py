"""Each operation, on both backends, against torch's own functions or a closed formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional

from pellucid.backends import backend
from pellucid.backends.eager import Eager
from pellucid.model.attention import softmax
from pellucid.model.config import Rope
from pellucid.model.ops import Activation, Linear, Norm
from pellucid.model.run import Run, Segment
from pellucid.weights.tensor import Tensor

Floats = npt.NDArray[np.float32]


@pytest.fixture(params=["reference", "torch"])
def ops(request: pytest.FixtureRequest) -> Eager:
    return backend(request.param)


@pytest.fixture
def place(ops: Eager) -> Callable[[Floats], Any]:
    """Numbers as the backend's own array."""
    return lambda numbers: ops.weight(Tensor.of("x", numbers))


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


EXACT: dict[Activation, Callable[[float], float]] = {
    "silu": lambda x: x / (1 + math.exp(-x)) if x > -700 else 0.0,
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh(
        math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: max(x, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXACT)
def test_activations_follow_their_formulas_and_do_not_overflow(
    ops: Eager, place: Callable[[Floats], Any], kind: Activation
) -> None:
    x = np.concatenate([np.linspace(-12, 12, 4001), [-1e4, -300, 0, 300, 1e4]]).astype(np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        ours = ops.numpy(ops.activate(place(x), kind))
    exact = np.array([EXACT[kind](float(number)) for number in x])
    np.testing.assert_allclose(ours, exact, rtol=3e-7, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norms_are_torchs(
    ops: Eager, place: Callable[[Floats], Any], kind: Any, bias: bool
) -> None:
    x, gain, shift = normal(5, 3, 16) * 3 + 1, normal(16, seed=1), normal(16, seed=2)
    norm = Norm(place(gain), place(shift) if bias else None)
    tx, tg, ts = (torch.from_numpy(a) for a in (x, gain, shift * bias))
    truth = (
        functional.layer_norm(tx, (16,), tg, ts, 1e-3) if kind == "layer"
        else functional.rms_norm(tx, (16,), tg, 1e-3) + ts
    )  # fmt: skip
    ours = ops.numpy(ops.norm(place(x), norm, kind, 1e-3))
    np.testing.assert_allclose(ours, truth.numpy(), rtol=2e-5, atol=2e-6)


def test_linear_is_a_matrix_of_rows_and_a_bias(ops: Eager, place: Callable[[Floats], Any]) -> None:
    x, weight, bias = normal(4, 8), normal(6, 8, seed=1), normal(6, seed=2)
    plain = ops.numpy(ops.linear(place(x), Linear(place(weight))))
    shifted = ops.numpy(ops.linear(place(x), Linear(place(weight), place(bias))))
    exact = x.astype(np.float64) @ weight.T
    np.testing.assert_allclose(plain, exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shifted, exact + bias, rtol=1e-5, atol=1e-5)


def test_a_turn_is_a_complex_product(ops: Eager, place: Callable[[Floats], Any]) -> None:
    """Pair i of a head, (x[i], x[i + half]), is multiplied by gain * exp(1j * angle)."""
    rope = Rope(dims=6, base=100.0, divisors=(1.0, 2.0, 4.0), gain=1.5)
    positions, x = np.array([0, 1, 9, 2000]), normal(4, 2, 8)
    ours = ops.numpy(ops.rotate(place(x), ops.turns(rope, positions)))
    angles = positions[:, None] * np.array([1.0, 100 ** (-1 / 3) / 2, 100 ** (-2 / 3) / 4])
    turned = (x[..., :3] + 1j * x[..., 3:6]) * 1.5 * np.exp(1j * angles)[:, None]
    exact = np.concatenate([turned.real, turned.imag, x[..., 6:]], axis=-1)
    np.testing.assert_allclose(ours, exact, atol=2e-3)  # float32 angles of 2000 radians
    np.testing.assert_allclose(ours[:3], exact[:3], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 1, 5, 256, 300])
@pytest.mark.parametrize("rows", [1, 7, 256, 300])
def test_attention_is_a_weighted_mean_over_what_may_be_seen(
    ops: Eager, place: Callable[[Floats], Any], rows: int, window: int | None, softcap: float | None
) -> None:
    q, k, v = normal(rows, 4, 8), normal(rows, 2, 8, seed=1), normal(rows, 2, 8, seed=2)
    run = Run([Segment([0] * rows)])
    mixed = ops.attend(
        place(q), place(k), place(v), run, 0, window=window, scale=0.4, softcap=softcap
    )
    assert ops.numpy(mixed).shape == (rows, 4 * 8)
    exact = _attention(q, k, v, window, softcap)
    np.testing.assert_allclose(ops.numpy(mixed), exact, rtol=1e-4, atol=1e-5)


def _attention(q: Floats, k: Floats, v: Floats, window: int | None, cap: float | None) -> Any:
    rows = len(q)
    k, v = k.repeat(2, axis=1), v.repeat(2, axis=1)  # two query heads share a key head
    scores = np.einsum("ihd,jhd->hij", q.astype(np.float64), k) * 0.4
    scores = cap * np.tanh(scores / cap) if cap else scores
    i, j = np.indices((rows, rows))
    scores[:, (j > i) | (j <= i - (window or rows))] = -np.inf
    pattern = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return np.einsum("hij,jhd->ihd", pattern, v).reshape(rows, -1)


@pytest.mark.parametrize("renormalise", [False, True])
def test_experts_are_mixed_by_their_shares(
    ops: Eager, place: Callable[[Floats], Any], renormalise: bool
) -> None:
    x, scores, weights = normal(6, 4), normal(6, 5, seed=1), normal(5, 4, 4, seed=2)
    scores[:, 3] = -50.0  # an expert that nobody chooses
    asked: list[int] = []

    def expert(number: int) -> Callable[[Any], Any]:
        def apply(rows: Any) -> Any:
            asked.append(number)
            return ops.linear(rows, Linear(place(weights[number])))

        return apply

    mixed = ops.mix_experts(
        place(x), place(scores), [expert(n) for n in range(5)], 2, renormalise
    )  # fmt: skip
    assert 3 not in asked
    assert len(asked) == len(set(asked))
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    exact = np.zeros((6, 4))
    for row in range(6):
        best = np.argsort(-shares[row])[:2]
        total = shares[row, best].sum() if renormalise else 1.0
        for number in best:
            exact[row] += shares[row, number] / total * (weights[number] @ x[row])
    np.testing.assert_allclose(ops.numpy(mixed), exact, rtol=1e-4, atol=1e-5)


def test_a_softmax_of_large_numbers_is_finite() -> None:
    x = np.array([[1e4, 1e4, -1e4], [-np.inf, 0.0, -np.inf]], np.float32)
    np.testing.assert_allclose(softmax(x), np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))


def test_a_softcap_bounds_and_leaves_small_numbers(
    ops: Eager, place: Callable[[Floats], Any]
) -> None:
    capped = ops.numpy(ops.softcap(place(np.array([-1e6, -0.01, 0.0, 30.0], np.float32)), 30.0))
    exact = np.array([-30.0, -0.01, 0.0, 30 * math.tanh(1)])
    np.testing.assert_allclose(capped, exact, rtol=1e-5)
