"""Every family's logits are transformers', however a sequence is cut, cached and packed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, cycle

import numpy as np
import pytest

from pellucid.model.families import FAMILIES
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment

from .tiny import BOUNDS, Floats, Tiny, relative_error, whole
from .variants import VARIANTS

Sequences = list[list[int]]


def _whole(model: Model, sequences: Sequences) -> list[Floats]:
    return [whole(model, ids) for ids in sequences]


def _whole_together(model: Model, sequences: Sequences) -> list[Floats]:
    logits = model.forward(Run([Segment(ids, None, "all") for ids in sequences]))
    return np.split(logits, np.cumsum([len(ids) for ids in sequences])[:-1])


def _token_by_token(model: Model, sequences: Sequences) -> list[Floats]:
    ids = sequences[0]
    cache = model.new_cache()
    first = model.forward(Run([Segment(ids[:5], cache, "all")]))
    return [np.concatenate([first, *(model.forward(Run([Segment([i], cache)])) for i in ids[5:])])]


def _in_chunks_packed(model: Model, sequences: Sequences) -> list[Floats]:
    """Each sequence in pieces of its own sizes, in passes that the others share."""
    caches = [model.new_cache() for _ in sequences]
    sizes = [chain([n], cycle([1, 7, 2, 13, 3])) for n, _ in enumerate(sequences, 2)]
    parts: list[list[Floats]] = [[] for _ in sequences]
    while left := [n for n, ids in enumerate(sequences) if caches[n].length < len(ids)]:
        segments = []
        for n in left:
            start = caches[n].length
            ids = sequences[n][start : start + next(sizes[n])]
            segments.append(Segment(ids, caches[n], "all"))
        logits = model.forward(Run(segments))
        edges = np.cumsum([len(segment.ids) for segment in segments])[:-1]
        for n, part in zip(left, np.split(logits, edges), strict=True):
            parts[n].append(part)
    return [np.concatenate(each) for each in parts]


READINGS = [_whole, _whole_together, _token_by_token, _in_chunks_packed]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("backend", BOUNDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_those_of_transformers(
    tiny: Callable[[str], Tiny], name: str, backend: str, reading: Callable[..., list[Floats]]
) -> None:
    model = tiny(name)
    ours = reading(model.open(backend), model.sequences)
    for logits, truth in zip(ours, model.logits, strict=False):
        assert relative_error(logits, truth) <= BOUNDS[backend]


def test_only_the_wanted_rows_are_given(tiny: Callable[[str], Tiny]) -> None:
    model, (first, second, _) = tiny("llama").open("reference"), tiny("llama").sequences
    logits = model.forward(Run([Segment(first), Segment(second, None, "all"), Segment(first[:3])]))
    rows = [whole(model, first)[-1:], whole(model, second), whole(model, first[:3])[-1:]]
    np.testing.assert_allclose(logits, np.concatenate(rows), rtol=1e-4, atol=1e-5)


def test_every_family_has_a_variant(tiny: Callable[[str], Tiny]) -> None:
    tried = {tiny(name).open("reference").config.family for name in VARIANTS}
    assert tried == set(FAMILIES)
