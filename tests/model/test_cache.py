"""A cache that is forked, trimmed and written gives what the whole sequence would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pellucid.backends import backend
from pellucid.backends.reference import Reference
from pellucid.model.cache import Cache
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment

from .tiny import BOUNDS, Tiny, relative_error, whole
from .variants import VOCAB_SIZE

# One step of a tree: which of the living caches, what to do, and how much.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from(["append", "fork", "trim"]), st.integers(1, 70)
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@pytest.mark.parametrize("backend_name", BOUNDS)
@pytest.mark.parametrize("name", ["llama", "mistral"])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow],
          derandomize=True)  # fmt: skip
@given(steps=STEPS)
@example(steps=[(0, "append", 10), (0, "fork", 1), (0, "trim", 5), (0, "append", 5)])
@example(steps=[(0, "append", 10), (0, "fork", 1), (1, "trim", 5), (1, "append", 5)])
def test_any_tree_of_forks_and_trims_gives_what_each_whole_sequence_would(
    tiny: Callable[[str], Tiny], name: str, backend_name: str, steps: list[tuple[int, str, int]]
) -> None:
    model = tiny(name).open(backend_name)
    random = np.random.default_rng(0)
    living: list[tuple[Cache, list[int]]] = [(model.new_cache(), [])]
    for which, what, much in steps:
        cache, ids = living[which % len(living)]
        if what == "fork":
            living.append((cache.fork(), list(ids)))
        elif what == "trim":
            del ids[max(0, len(ids) - much) :]
            cache.trim(len(ids))
        else:
            new = random.integers(0, VOCAB_SIZE, min(much, 128 - len(ids))).tolist()
            _append(model, cache, ids, new, BOUNDS[backend_name])
    for cache, ids in living:  # and nobody has disturbed anybody
        _append(model, cache, ids, [7], BOUNDS[backend_name])


def _append(model: Model, cache: Cache, ids: list[int], new: list[int], bound: float) -> None:
    if not new or len(ids) == 128:
        return
    logits = model.forward(Run([Segment(new, cache, "all")]))
    ids.extend(new)
    assert cache.length == len(ids)
    assert relative_error(logits, whole(model, ids)[-len(new) :]) <= bound


@pytest.fixture
def cache() -> Cache:
    return Cache(2, 1, 4, Reference().allocate)


def _rows(*numbers: float) -> Any:
    return np.full((len(numbers), 1, 4), np.array(numbers)[:, None, None], np.float32)


def _write(cache: Cache, *numbers: float) -> list[float]:
    """Write rows of these numbers into every layer, and say what the last one holds."""
    for layer in range(2):
        keys, values = cache.write(layer, _rows(*numbers), -_rows(*numbers))
        np.testing.assert_array_equal(keys, -values)
    cache.advance(len(numbers))
    held: list[float] = keys[:, 0, 0].tolist()
    return held


def test_forks_share_their_memory_until_one_is_written(cache: Cache) -> None:
    _write(cache, 1, 2, 3)
    fork = cache.fork()
    before = [keys for keys, _ in cache._layers]  # type: ignore[misc]
    assert all(mine is theirs[0] for mine, theirs in zip(before, fork._layers, strict=True))  # type: ignore[index]
    assert _write(fork, 4) == [1, 2, 3, 4]
    assert _write(cache, 5, 6) == [1, 2, 3, 5, 6]
    assert _write(fork, 7) == [1, 2, 3, 4, 7]
    assert fork._layers[0][0] is not cache._layers[0][0]  # type: ignore[index]


def test_a_trimmed_fork_leaves_the_other_its_rows(cache: Cache) -> None:
    _write(cache, 1, 2, 3)
    fork = cache.fork()
    fork.trim(1)
    assert _write(fork, 9) == [1, 9]
    assert _write(cache, 4) == [1, 2, 3, 4]
    cache.trim(0)
    assert _write(cache, 8) == [8]
    assert _write(fork, 7) == [1, 9, 7]


def test_a_trimmed_parent_leaves_its_fork_the_rows(cache: Cache) -> None:
    _write(cache, 1, 2, 3)
    fork = cache.fork()
    cache.trim(1)
    assert _write(cache, 9, 9) == [1, 9, 9]
    assert _write(fork, 4) == [1, 2, 3, 4]


def test_a_fork_of_a_fork_and_its_dead_parent(cache: Cache) -> None:
    _write(cache, *range(70))
    grandchild = cache.fork().fork()
    del cache
    assert _write(grandchild, 70) == list(range(71))


def test_writing_one_row_at_a_time_copies_each_row_a_few_times_at_most() -> None:
    asked: list[int] = []

    def allocate(shape: tuple[int, ...]) -> Any:
        asked.append(shape[0])
        return np.empty(shape, np.float32)

    counting = Cache(2, 1, 4, allocate)
    for number in range(1000):
        _write(counting, number)
    assert sum(asked) < 4 * 2 * 2 * 1024  # two layers, keys and values, and a sum of doublings


class _Failing(Reference):
    """Breaks off in the attention of one layer, as Ctrl-C would."""

    fails_at: int | None = None

    def attend(self, q: Any, k: Any, v: Any, run: Run, layer: int, **options: Any) -> Any:
        mixed = super().attend(q, k, v, run, layer, **options)
        if layer == self.fails_at:
            raise KeyboardInterrupt
        return mixed


@pytest.mark.parametrize("layer", range(4))
@pytest.mark.parametrize("forked", [False, True])
def test_a_pass_that_is_interrupted_leaves_the_cache_as_it_was(
    tiny: Callable[[str], Tiny], layer: int, forked: bool
) -> None:
    ops = _Failing()
    model, ids = tiny("llama").open(ops), tiny("llama").sequences[0]
    cache = model.new_cache()
    model.forward(Run([Segment(ids[:10], cache)]))
    other = cache.fork() if forked else model.new_cache()
    ops.fails_at = layer
    with pytest.raises(KeyboardInterrupt):
        model.forward(Run([Segment([3, 1, 4] * 25, cache), Segment([5] * 3, other)]))
    assert (cache.length, other.length) == (10, 10 if forked else 0)
    ops.fails_at = None
    for each in (cache, other):
        rest = model.forward(Run([Segment(ids[each.length :], each, "all")]))
        truth = tiny("llama").logits[0][-len(rest) :]
        assert relative_error(rest, truth) <= BOUNDS["reference"]


@pytest.mark.parametrize("name", ["llama", "qwen3 experts", "gemma3", "gpt2"])
def test_a_sequence_gets_the_same_alone_and_among_others(
    tiny: Callable[[str], Tiny], name: str
) -> None:
    model = tiny(name).open(backend("reference"))
    first, second, third = tiny(name).sequences
    together = model.forward(Run([Segment(third), Segment(first), Segment(second)]))
    alone = [model.forward(Run([Segment(ids)])) for ids in (third, first, second)]
    assert relative_error(together, np.concatenate(alone)) <= 1e-5
