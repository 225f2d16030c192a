"""Attention over pages, on every instruction set, against a softmax in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.backends import _native
from pellucid.weights.tensor import Floats

from .plans import Doubles, Tried, normal, worst

PAGE = 64


@dataclass(frozen=True)
class Case:
    heads: int = 2
    kv_heads: int = 1
    head_dim: int = 16
    window: int = 0
    softcap: float = 0.0
    full: bool = True

    @property
    def scale(self) -> float:
        return self.head_dim**-0.5


class Attending:
    """Queries, keys and values of a whole sequence, and a plan that attends."""

    def __init__(self, engine: Any, case: Case, rows: int, seed: int = 0, sharp: float = 1) -> None:
        c = case
        self.case = case
        self.q = normal(seed, rows, c.heads * c.head_dim) * np.float32(sharp)
        self.k = normal(seed + 1, rows, c.kv_heads * c.head_dim)
        self.v = normal(seed + 2, rows, c.kv_heads * c.head_dim)
        self.tried = Tried(engine, c.kv_heads, c.head_dim, c.full)
        q, k, v = map(self.tried.put, (self.q, self.k, self.v))
        out = self.tried.buffer(self.q.shape[1])
        self.tried.plan.attend(out, q, k, v, 0, c.heads, c.window, c.scale, c.softcap)
        self.tried.finish(out, self.q.shape[1])

    def sequence(self) -> Any:
        return _native.Sequence(self.tried.engine, *self.tried.sizes)

    def in_pieces(self, sizes: list[int]) -> Floats:
        """The sequence fed in pieces of these sizes."""
        sequence, parts, start = self.sequence(), [], 0
        for size in sizes:
            parts.append(self.tried.run(start, start + size, start, sequence))
            sequence.advance(size)
            start += size
        return np.concatenate(parts)

    def exact(self) -> Doubles:
        c, rows = self.case, len(self.q)
        kept = np.float32 if c.full else np.float16
        q = self.q.astype(np.float64).reshape(rows, c.kv_heads, -1, c.head_dim)
        k, v = (
            numbers.astype(kept).astype(np.float64).reshape(rows, c.kv_heads, c.head_dim)
            for numbers in (self.k, self.v)
        )
        scores = np.einsum("rkgd,skd->kgrs", q, k) * c.scale
        if c.softcap:
            scores = np.tanh(scores / c.softcap) * c.softcap
        distance = np.arange(rows)[:, None] - np.arange(rows)
        seen = (distance >= 0) & (distance < (c.window or rows))
        scores = np.where(seen, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("kgrs,skd->rkgd", weights, v).reshape(rows, -1)


@pytest.mark.parametrize("head_dim", [1, 16, 24, 64, 80, 96, 128, 256, 512])
@pytest.mark.parametrize("full", [True, False])
def test_heads_of_any_size_attend(engine: Any, head_dim: int, full: bool) -> None:
    attending = Attending(engine, Case(4, 2, head_dim, full=full), 150)
    assert worst(attending.in_pieces([150]), attending.exact()) <= 5e-6


@settings(max_examples=25, deadline=None)
@given(
    kv_heads=st.integers(1, 3), group=st.integers(1, 9), head_dim=st.integers(1, 40),
    window=st.sampled_from([0, 0, 1, 5, 63, 64, 65, 200]),
    softcap=st.sampled_from([0.0, 2.0, 50.0]),
    sizes=st.lists(st.integers(1, 140), min_size=1, max_size=5), full=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_is_the_softmax_of_float64_however_the_sequence_is_cut(
    engine: Any, kv_heads: int, group: int, head_dim: int, window: int, softcap: float,
    sizes: list[int], full: bool, seed: int,
) -> None:  # fmt: skip
    case = Case(kv_heads * group, kv_heads, head_dim, window, softcap, full)
    attending = Attending(engine, case, sum(sizes), seed)
    ours = attending.in_pieces(sizes)
    assert worst(ours, attending.exact()) <= 1e-5
    np.testing.assert_array_equal(ours, attending.in_pieces([sum(sizes)]))


@pytest.mark.parametrize("start", [0, 1, 62, 63, 64, 65, 255, 256, 257, 600])
@pytest.mark.parametrize("window", [0, 64, 100])
def test_rows_after_any_start_are_those_of_the_whole(engine: Any, start: int, window: int) -> None:
    attending = Attending(engine, Case(3, 1, 24, window), start + 9)
    whole = attending.in_pieces([start + 9])
    assert worst(whole, attending.exact()) <= 5e-6
    sizes = [start, 1, 5, 3] if start else [1, 5, 3]
    np.testing.assert_array_equal(attending.in_pieces(sizes), whole)


def test_scores_far_apart_do_not_overflow(engine: Any) -> None:
    attending = Attending(engine, Case(2, 1, 16), 130, sharp=100)
    ours = attending.in_pieces([130])
    assert worst(ours, attending.exact()) <= 2e-4  # a score of 1,000 in float32 has that much


@pytest.mark.parametrize("where", ["k", "v"])
def test_numbers_beyond_float16_are_an_error_and_float32_holds_them(
    engine: Any, where: str
) -> None:
    for full in (False, True):
        attending = Attending(engine, Case(full=full), 3)
        numbers = np.zeros((3, 16), np.float32)
        numbers[1, 3] = 65520
        tried = Tried(engine, 1, 16, full)
        q, small, large = tried.put(attending.q), tried.put(attending.k), tried.put(numbers)
        out = tried.buffer(32)
        pair = (large, small) if where == "k" else (small, large)
        tried.plan.attend(out, q, *pair, 0, 2, 0, 0.25, 0.0)
        tried.finish(out, 32)
        sequence = _native.Sequence(engine, *tried.sizes)
        if full:
            assert np.isfinite(tried.run(sequence=sequence)).all()
        else:
            with pytest.raises(OverflowError, match="float16"):
                tried.run(sequence=sequence)


def test_heads_that_there_is_no_room_for_are_refused(engine: Any) -> None:
    for sizes in [(1, 1, 513), (1, 0, 16), (0, 1, 16), (1, 1, 0), (1, 1, -16)]:
        with pytest.raises(ValueError, match="no room"):
            _native.Plan(engine, *sizes)
        with pytest.raises(ValueError, match="no room"):
            _native.Sequence(engine, *sizes)
