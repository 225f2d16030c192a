"""The order of filters: each system's, and any other, does what NumPy does in that order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import Chain
from pellucid.choose.filters import Context
from pellucid.choose.parameters import parameters

Probs = npt.NDArray[np.float64]

GIVEN: dict[str, Any] = {"temperature": 3.0, "top_k": 20, "top_p": 0.6, "min_p": 0.4}
PROBS: Probs = np.random.default_rng(2).dirichlet(np.full(40, 0.35))


def of_weights(weights: Probs) -> Probs:
    normalised: Probs = weights / weights.sum()
    return normalised


def nucleus(probs: Probs) -> Probs:
    """The fewest of the likeliest that have top_p together."""
    order = np.argsort(-probs)
    count = int(np.searchsorted(np.cumsum(probs[order]), GIVEN["top_p"])) + 1
    return np.where(np.isin(np.arange(len(probs)), order[:count]), probs, 0)


DEFINED: dict[str, Callable[[Probs], Probs]] = {
    "temperature": lambda probs: probs ** (1 / GIVEN["temperature"]),
    "top_k": lambda probs: np.where(probs >= np.sort(probs)[-GIVEN["top_k"]], probs, 0),
    "top_p": nucleus,
    "min_p": lambda probs: np.where(probs >= GIVEN["min_p"] * probs.max(), probs, 0),
}


def by_definition(order: Sequence[str]) -> Probs:
    probs = PROBS
    for name in order:
        probs = of_weights(DEFINED[name](probs))
    return probs


def left(**given: Any) -> Probs:
    own = Candidates(np.log(PROBS).astype(np.float32))
    context = Context(np.array([1]), 1, np.array([0]), vocab_size=len(PROBS))
    last = Chain(parameters(**GIVEN, **given))(own, context)[-1][1]
    return np.exp(last.dense(len(PROBS)).astype(np.float64) - last.logsumexp)


@pytest.mark.parametrize("order", list(permutations(DEFINED)), ids=">".join)
def test_an_order_of_ones_own_is_the_order_in_which_the_filters_work(order: tuple[str]) -> None:
    np.testing.assert_allclose(left(samplers=list(order)), by_definition(order), atol=1e-6)


# transformers' `_get_logits_processor`; the default `samplers` of llama.cpp's common/common.h; the
# steps in the docstring of vLLM's v1 `Sampler`.
ORDERS = {
    "transformers": ("temperature", "top_k", "top_p", "min_p"),
    "llama.cpp": ("top_k", "top_p", "min_p", "temperature"),
    "vllm": ("temperature", "min_p", "top_k", "top_p"),
}


@pytest.mark.parametrize("dialect", ORDERS)
def test_a_dialect_is_the_order_of_its_system(dialect: str) -> None:
    np.testing.assert_allclose(left(dialect=dialect), by_definition(ORDERS[dialect]), atol=1e-6)


def test_the_systems_differ_in_what_they_leave_of_the_same_distribution() -> None:
    counts = {dialect: np.count_nonzero(left(dialect=dialect)) for dialect in ORDERS}
    assert len(set(counts.values())) == 3
