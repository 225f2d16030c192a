"""A trace, proved: the run made again, and every number of it compared bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pellucid.choose.ledger import Ledger
from pellucid.engine.generation import Generation
from pellucid.trace.readings import Subject, computed
from pellucid.trace.record import record
from pellucid.trace.trace import Array, Trace


@dataclass(frozen=True)
class Check:
    """One thing of a trace that was made again: what it is, how many numbers it has, how many of
    them are other ones now, and by how much the furthest is off (NaN where that means nothing).

    `why` says what else is different; None where all is the same.
    """

    what: str
    count: int
    different: int
    furthest: float
    why: str | None = None

    @property
    def same(self) -> bool:
        """Whether it came out the same, to the last bit."""
        return not self.different and self.why is None


def replay(trace: Trace, subject: Subject, again: Callable[[], Generation]) -> Iterator[Check]:
    """Make a run again, and compare: its answer, its values, its readings, as they come.

    `again` generates the answer, if there is one.
    """
    if trace.generation is not None:
        yield from _answers(trace.generation, again())
    if trace.values:
        made = record(subject.model, trace.ids, list(trace.values), subject.edits)
        for site, value in trace.values.items():
            yield _compared(site, value, made[site])
    for reading in trace.readings:
        arrays = computed(subject, trace, reading.name, reading.arguments)
        for name, array in reading.arrays.items():
            yield _compared(f"{reading.name}: {name}", array, arrays[name])


def _answers(before: Generation, now: Generation) -> Iterator[Check]:
    both = [before, *before.alternatives], [now, *now.alternatives]
    if len(both[0]) != len(both[1]):
        why = f"{len(both[1])} answers, not {len(both[0])}"
        yield Check("answers", len(both[0]), 0, np.nan, why)
        return
    for number, (one, other) in enumerate(zip(*both, strict=True)):
        name = f"answer {number}" if number else "answer"
        yield _compared(f"{name}: ids", np.array(one.ids), np.array(other.ids), measured=False)
        yield _compared(f"{name}: probabilities", _probs(one), _probs(other))
        yield _ledgers(f"{name}: ledgers", one, other)
    if before.tree is not None:
        same = before.tree == now.tree
        told = None if same else "other branches were considered"
        yield Check("tree", len(before.tree.nodes), 0, np.nan, told)


def _probs(answer: Generation) -> Array:
    return np.array([(t.prob, t.processed_prob) for t in answer.tokens])


def _ledgers(name: str, one: Generation, other: Generation) -> Check:
    pairs = zip(one.tokens, other.tokens, strict=False)
    differ = [place for place, (a, b) in enumerate(pairs) if _unlike(a.ledger, b.ledger)]
    why = f"that of token {differ[0]} is another" if differ else None
    return Check(name, sum(t.ledger is not None for t in one.tokens), len(differ), np.nan, why)


def _unlike(one: Ledger | None, other: Ledger | None) -> bool:
    return one != other


def _compared(name: str, one: Array, other: Array, *, measured: bool = True) -> Check:
    if one.shape != other.shape:
        why = f"{list(other.shape)}, not {list(one.shape)}"
        return Check(name, one.size, 0, np.nan, why)
    equal = (one == other) | (np.isnan(one) & np.isnan(other) if one.dtype.kind == "f" else False)
    different = one.size - int(np.count_nonzero(equal))
    furthest = np.nan
    if different and measured:
        with np.errstate(invalid="ignore"):
            furthest = float(np.nanmax(np.abs(one.astype(np.float64) - other)[~equal]))
    return Check(name, one.size, different, furthest if different else 0.0)
