"""Neighbours, analogies and the map are what full searches and decompositions give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.errors import ParameterError
from pellucid.trace.readings import Subject
from pellucid.trace.trace import Trace

from ...model.tiny import Tiny
from .runs import read, run_of

IDS = [5, 9, 5, 33, 70]
DISTINCT = [5, 9, 33, 70]


@pytest.fixture
def run(tiny: Callable[[str], Tiny]) -> tuple[Subject, Trace]:
    made = tiny("llama")
    return run_of(made.open("reference"), made.checkpoint(), IDS)


@pytest.fixture
def unit(tiny: Callable[[str], Tiny]) -> Any:
    """transformers' embedding, each row of length one."""
    rows = tiny("llama").oracle.get_input_embeddings().weight.detach()
    return torch.nn.functional.normalize(rows, dim=-1)


def test_neighbours_are_the_most_alike_of_the_vocabulary(
    run: tuple[Subject, Trace], unit: Any
) -> None:
    arrays = read(run, "neighbours", top=6)
    cosines = unit[DISTINCT] @ unit.T
    cosines[range(4), DISTINCT] = -2
    truth = cosines.topk(6)
    assert arrays["ids"].tolist() == DISTINCT
    assert (arrays["neighbour_ids"] == truth.indices.numpy()).all()
    np.testing.assert_allclose(arrays["cosines"], truth.values.numpy(), atol=1e-6)


def test_an_analogy_leaves_out_what_was_given(run: tuple[Subject, Trace], unit: Any) -> None:
    arrays = read(run, "analogy", a=5, b=9, c=33, top=4)
    sought = torch.nn.functional.normalize(unit[5] - unit[9] + unit[33], dim=0)
    cosines = unit @ sought
    np.testing.assert_allclose(arrays["given_cosines"], cosines[[5, 9, 33]], atol=1e-6)
    cosines[[5, 9, 33]] = -2
    truth = cosines.topk(4)
    assert (arrays["answer_ids"] == truth.indices.numpy()).all()
    np.testing.assert_allclose(arrays["cosines"], truth.values.numpy(), atol=1e-6)


def test_the_map_shows_the_two_widest_directions(run: tuple[Subject, Trace], unit: Any) -> None:
    arrays = read(run, "map", top=3)
    assert arrays["ids"].tolist() == DISTINCT
    ids = [*DISTINCT, *arrays["neighbour_ids"].tolist()]
    xy = np.concatenate([arrays["xy"], arrays["neighbour_xy"]])
    assert len(set(ids)) == len(ids)
    points = unit[ids].double() - unit[ids].double().mean(0)
    spread, axes = torch.linalg.eigh(points.T @ points)  # another way to the same axes
    truth = points @ axes[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(xy), truth.abs().numpy(), atol=1e-5)
    np.testing.assert_allclose(arrays["explained"], (spread[[-1, -2]] / spread.sum()), atol=1e-5)


def test_a_neighbour_belongs_to_the_token_that_it_is_nearest_to(
    run: tuple[Subject, Trace], unit: Any
) -> None:
    arrays = read(run, "map", top=3)
    owners, ids = arrays["owners"], arrays["neighbour_ids"]
    assert len(owners) > 0
    for token, owner in zip(ids, owners, strict=True):
        assert owner == (unit[DISTINCT] @ unit[token]).argmax()


def test_one_token_alone_lies_in_the_middle(run: tuple[Subject, Trace]) -> None:
    from pellucid.trace.readings.map import principal

    xy, explained = principal(np.ones((1, 8), np.float32))
    assert xy.tolist() == [[0, 0]]
    assert explained.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "arguments", "parameter"),
    [
        ("neighbours", {"top": 0}, "top"),
        ("neighbours", {"top": 120}, "top"),
        ("analogy", {"a": 5, "b": 120, "c": 7}, "b"),
        ("analogy", {"a": 5, "b": 6, "c": 7, "top": 118}, "top"),  # of 120, three are left out
        ("map", {"top": -1}, "top"),
    ],
)
def test_what_there_is_not_is_refused(
    run: tuple[Subject, Trace], name: str, arguments: dict[str, int], parameter: str
) -> None:
    with pytest.raises(ParameterError, match=f"^{parameter}: "):
        read(run, name, **arguments)


def test_too_many_points_are_refused(
    run: tuple[Subject, Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.trace.readings.map._MOST", 15)
    with pytest.raises(ParameterError, match="top: 4 different tokens with 3 neighbours each"):
        read(run, "map", top=3)
