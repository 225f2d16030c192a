"""Plans that are watched: variants beside the plain one, made when asked for and kept in bounds."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.backends import _native
from pellucid.backends.native import _VARIANTS, Native
from pellucid.model import sites
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment

from ...model.tiny import Tiny, whole


@pytest.fixture
def model(tiny: Callable[[str], Tiny]) -> Model:
    return tiny("llama").open(Native(2))


def watch(model: Model, ids: list[int], site: str) -> Any:
    run = Run([Segment(ids, None, "all", watch=[site])])
    return model.forward(run), run.seen[0][site]


def test_the_plan_that_nobody_watches_stays_as_it_is(model: Model) -> None:
    plain: Any = model.run
    before = plain.plan.describe()
    watch(model, [5, 6], "layers.1.resid_post")
    model.forward(Run([Segment([5], edits=[Edit("layers.1.attn.q", lambda rows, _: rows)])]))
    assert plain.plan.describe() == before
    kinds = [step["kind"] for step in before]
    assert "scale" not in kinds  # which is what a stop would begin with


def test_few_variants_are_kept_however_many_are_asked_for(model: Model) -> None:
    runner: Any = model.run
    for site in sites.names(model.config)[:20]:
        watch(model, [5, 6], site)
        model.unembed(np.zeros((2, 64), np.float32))
    assert len(runner._variants) == _VARIANTS


def test_what_a_watched_pass_keeps_is_given_back(model: Model) -> None:
    engine: Any = model.backend.engine  # type: ignore[attr-defined]
    before = engine.pages
    for _ in range(5):
        watch(model, [5] * 300, "layers.1.attn.pattern")
    gc.collect()
    assert engine.pages == before


def test_threads_of_python_may_watch_the_same_site(
    tiny: Callable[[str], Tiny], model: Model
) -> None:
    site = "layers.2.mlp.act"
    truths = [watch(model, ids, site) for ids in tiny("llama").sequences]
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(30):
            n = (number + turn) % len(truths)
            found = watch(model, tiny("llama").sequences[n], site)
            if not all(map(np.array_equal, found, truths[n])):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_watched_sequence_is_the_same_in_company_and_in_pieces(
    tiny: Callable[[str], Tiny], threads: int
) -> None:
    model, sequences = tiny("gemma2").open(Native(threads)), tiny("gemma2").sequences
    names = sites.names(model.config)
    edit = Edit("layers.1.attn_out", lambda rows, positions: rows * 2)

    def seen(segments: list[Segment], place: int) -> dict[str, Any]:
        run = Run(segments)
        model.forward(run)
        return run.seen[place]

    alone = seen([Segment(sequences[1], None, "all", names, [edit])], 0)
    others = [Segment(sequences[0], watch=["embed"]), Segment(sequences[2], None, "all")]
    together = seen([others[0], Segment(sequences[1], None, "all", names, [edit]), others[1]], 1)
    cache = model.new_cache()
    pieces = (sequences[1][:3], sequences[1][3:4], sequences[1][4:])
    parts = [seen([Segment(piece, cache, "all", names, [edit])], 0) for piece in pieces]
    for name in names:
        np.testing.assert_array_equal(together[name], alone[name], name)
        if not name.endswith(("scores", "pattern")):  # NumPy's sums, of fewer columns
            np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), alone[name])


@pytest.mark.parametrize("full", [True, False])
def test_keys_and_values_are_read_as_they_were_written(
    tiny: Callable[[str], Tiny], full: bool
) -> None:
    model = tiny("llama, heads wider than the residual").open(
        Native(1, cache_dtype="float32" if full else "float16")
    )
    ids, cache = [5, 6, 7] * 50, model.new_cache()
    run = Run([Segment(ids, cache, watch=["layers.3.attn.[kv]"])])
    model.forward(run)
    for read, name in zip(cache.read(3, len(ids)), ("k", "v"), strict=True):
        written = run.seen[0][f"layers.3.attn.{name}"]
        np.testing.assert_array_equal(read, written if full else written.astype(np.float16))


@pytest.mark.parametrize(("layer", "stop"), [(-1, 1), (4, 1), (0, -1), (0, 65), (0, 2**31 - 1)])
def test_keys_that_there_are_none_of_cannot_be_read(model: Model, layer: int, stop: int) -> None:
    cache = model.new_cache()
    model.forward(Run([Segment([5], cache)]))
    with pytest.raises(IndexError):
        cache.read(layer, stop)


def test_buffers_are_read_and_written_within_their_bounds() -> None:
    plan = _native.Plan(_native.Engine(1, ""), 1, 1, 16)
    buffer = plan.buffer(8, True)
    rows = np.arange(24, dtype=np.float32).reshape(3, 8)
    plan.write(buffer, rows)
    out = np.empty((2, 8), np.float32)
    plan.read(buffer, out)
    np.testing.assert_array_equal(out, rows[:2])
    for wrong in (
        lambda: plan.read(buffer, np.empty((4, 8), np.float32)),
        lambda: plan.read(buffer, np.empty((2, 7), np.float32)),
        lambda: plan.read(1, out),
        lambda: plan.read(-1, out),
        lambda: plan.write(buffer, np.zeros((2, 9), np.float32)),
        lambda: plan.write(7, rows),
        lambda: plan.read(buffer, np.empty((2, 8), np.float64)),
    ):
        with pytest.raises((ValueError, IndexError, TypeError)):
            wrong()


def test_a_plan_has_the_parts_that_its_stops_make(model: Model) -> None:
    plan: Any = model.run.plan  # type: ignore[attr-defined]
    cache, three = model.new_cache(), np.arange(3)
    for part in (-1, 1):
        with pytest.raises(IndexError, match="part"):
            plan.execute(three, three, np.array([2]), [(0, 3, cache)],
                         np.empty((1, plan.width), np.float32), part)  # fmt: skip
    assert np.isfinite(whole(model, [5, 6, 7])).all()


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_the_last_residual_unembeds_to_the_very_logits_whatever_stands_beside_it(
    tiny: Callable[[str], Tiny], name: str
) -> None:
    model, ids = tiny(name).open(Native(2)), tiny(name).sequences[0]
    logits, last = watch(model, ids, f"layers.{model.config.layers - 1}.resid_post")
    np.testing.assert_array_equal(model.unembed(last), logits)
    np.testing.assert_array_equal(model.unembed(last[3:4]), logits[3:4])
