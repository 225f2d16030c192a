"""Pages of keys and values: shared by forks, copied when written, given back."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.backends import _native
from pellucid.backends.native import Native
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment

from ...model.tiny import Tiny, whole

PAGE = 64


@pytest.fixture(scope="module")
def model(tiny: Callable[[str], Tiny]) -> Model:
    return tiny("llama").open(Native(1))  # the rows of a model are not bounded by its context


def feed(model: Model, cache: Any, ids: list[int]) -> Any:
    return model.forward(Run([Segment(ids, cache, "all")]))


def pages(model: Model) -> int:
    gc.collect()
    count: int = model.backend.engine.pages  # type: ignore[attr-defined]
    return count


def test_a_fork_shares_pages_until_one_of_the_two_is_written(model: Model) -> None:
    before = pages(model)
    first = model.new_cache()
    feed(model, first, [5] * (2 * PAGE + 3))
    assert pages(model) - before == 3
    second = first.fork()
    assert pages(model) - before == 3
    feed(model, second, [6])
    assert pages(model) - before == 4  # the last page, which both have begun
    third = second.fork()
    third.trim(PAGE)
    feed(model, third, [7])
    assert pages(model) - before == 5  # a new page, since the first is full
    del first, second, third
    assert pages(model) == before


def test_forks_that_go_their_own_ways_get_what_they_would_alone(model: Model) -> None:
    random = np.random.default_rng(0)
    branches: list[tuple[Any, list[int]]] = [(model.new_cache(), [])]
    before = pages(model)
    for _ in range(200):
        cache, ids = branches[random.integers(len(branches))]
        if len(branches) < 6 and random.random() < 0.3:
            branches.append((cache.fork(), ids.copy()))
        elif ids and random.random() < 0.3:
            length = int(random.integers(len(ids) + 1))
            cache.trim(length)
            del ids[length:]
        elif len(branches) > 2 and random.random() < 0.1:
            branches.pop(0)
        elif len(ids) < 200:
            new = random.integers(3, 60, random.integers(1, 70)).tolist()
            ids += new
            told = feed(model, cache, new)
            np.testing.assert_array_equal(told, whole(model, ids)[-len(new) :])
        assert cache.length == len(ids)
    del branches, cache
    assert pages(model) <= before


def test_thousands_of_forks_and_trims_leave_no_page_behind(model: Model) -> None:
    random = np.random.default_rng(1)
    before = pages(model)
    kept = [model.new_cache()]
    feed(model, kept[0], [5] * 100)
    for _ in range(5000):
        cache = kept[random.integers(len(kept))]
        match random.integers(3):
            case 0:
                kept.append(cache.fork())
            case 1 if len(kept) > 1:
                kept.remove(cache)
            case _:
                cache.trim(int(random.integers(cache.length // 2, cache.length + 1)))
        if cache.length < 60:
            feed(model, cache, [6] * 80)
    assert pages(model) - before <= 4 * len(kept)
    del kept, cache
    assert pages(model) == before


def test_a_pass_without_a_cache_keeps_no_page(model: Model) -> None:
    before = pages(model)
    whole(model, [5] * 300)
    assert pages(model) == before


@pytest.mark.parametrize("length", [-1, 11, 2**31, -(2**31)])
def test_a_length_that_it_never_had_is_refused(model: Model, length: int) -> None:
    cache = model.new_cache()
    feed(model, cache, [5] * 10)
    with pytest.raises((IndexError, TypeError)):
        cache.trim(length)
    assert cache.length == 10


@pytest.mark.parametrize("rows", [-1, 65, 2**31 - 1])
def test_rows_that_were_not_written_cannot_be_counted(model: Model, rows: int) -> None:
    cache = model.new_cache()
    feed(model, cache, [5])
    with pytest.raises(IndexError):
        cache.advance(rows)
    assert cache.length == 1


def test_a_sequence_twice_in_a_pass_is_refused(model: Model) -> None:
    cache = model.new_cache()
    with pytest.raises(RuntimeError, match="used twice"):
        model.forward(Run([Segment([5], cache), Segment([6], cache)]))
    feed(model, cache, [5])  # and is of use again


def test_a_cache_of_another_model_is_refused(model: Model) -> None:
    other = _native.Sequence(model.backend.engine, 1, 1, 16)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="another model"):
        model.forward(Run([Segment([5], other)]))


@pytest.mark.parametrize("ids", [[-1], [10**6], [5, 2**40], [-(2**62)]])
def test_ids_beyond_the_vocabulary_are_refused(model: Model, ids: list[int]) -> None:
    with pytest.raises(IndexError, match="vocabulary"):
        model.forward(Run([Segment(ids)]))


def test_positions_beyond_a_table_are_refused(tiny: Callable[[str], Tiny]) -> None:
    model = tiny("gpt2").open(Native(1))
    with pytest.raises(IndexError, match="table"):
        whole(model, [5] * (model.config.learned_positions + 1))


def test_spans_and_wanted_rows_that_do_not_fit_are_refused(model: Model) -> None:
    plan, cache = model.run.plan, model.new_cache()  # type: ignore[attr-defined]
    three, out = np.arange(3), np.empty((1, plan.width), np.float32)
    for positions, wanted, spans in [
        (three, [3], [(0, 3, cache)]),
        (three, [-1], [(0, 3, cache)]),
        (three, [0], [(0, 2, cache)]),
        (three, [0], [(1, 2, cache)]),
        (three, [0], [(0, 4, cache)]),
        (three, [0], [(0, -1, cache)]),
        (three, [0], [(0, 2**31 - 1, cache)]),
        (three, [0], []),
        (three, [0], [(0, 3, None)]),
        (three[:2], [0], [(0, 3, cache)]),
        (np.array([0, 2, 3]), [0], [(0, 3, cache)]),
        (three - 1, [0], [(0, 3, cache)]),
        (three + 2**31, [0], [(0, 3, cache)]),
    ]:
        with pytest.raises((ValueError, IndexError)):
            plan.execute(three, positions, np.array(wanted), spans, out)
    with pytest.raises(TypeError):  # would be filled as a copy
        plan.execute(three, three, np.array([0]), [(0, 3, cache)], out.astype(np.float64))
    assert cache.pages == 0
