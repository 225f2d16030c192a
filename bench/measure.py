"""How things are measured: in turns, several times, and told with their spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from pellucid.weights.tensor import Floats

OURS = "pellucid"
LIMIT = "memory limit"
_SETTLE_SECONDS = 0.05  # the threads of whoever was before may still spin for a few milliseconds


@dataclass(frozen=True)
class Spread:
    """The median of some values, the least and the most.

    >>> Spread.of([3.0, 1.0, 2.0])
    Spread(median=2.0, least=1.0, most=3.0)
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))

    def to_dict(self) -> dict[str, float]:
        return {"median": self.median, "min": self.least, "max": self.most}


@dataclass
class Result:
    """What a scenario gave for a file: for each contestant a value of each turn.

    `skipped` says of the others why they have none. With `more` the larger value is the better.
    """

    file: str
    scenario: str
    unit: str
    more: bool
    values: dict[str, list[float]]
    skipped: dict[str, str] = field(default_factory=dict)

    def ratio(self, other: str) -> Spread | None:
        """How many times as good as `other` Pellucid was in each turn, whatever the unit.

        Values of one turn are divided by each other, since what else the machine does changes
        from turn to turn. None where one of the two has no values, or a value is 0.

        >>> Result("f", "s", "tokens/s", True, {"pellucid": [9, 4], "x": [3, 2]}).ratio("x")
        Spread(median=2.5, least=2.0, most=3.0)
        >>> Result("f", "s", "s", False, {"pellucid": [1.0], "x": [4.0]}).ratio("x")
        Spread(median=4.0, least=4.0, most=4.0)
        """
        ours, theirs = self.values.get(OURS), self.values.get(other)
        if not ours or not theirs:
            return None
        above, below = (ours, theirs) if self.more else (theirs, ours)
        if not all(below):
            return None
        return Spread.of([a / b for a, b in zip(above, below, strict=True)])

    def to_dict(self) -> dict[str, Any]:
        """The values of all turns, their spreads, and Pellucid's ratios to the others."""
        ratios = {name: self.ratio(name) for name in self.values if name != OURS}
        return {
            "file": self.file,
            "scenario": self.scenario,
            "unit": self.unit,
            "better": "more" if self.more else "less",
            "contestants": {
                name: {"values": values, **Spread.of(values).to_dict()}
                for name, values in self.values.items()
            },
            "ratios": {name: ratio.to_dict() for name, ratio in ratios.items() if ratio},
            "skipped": self.skipped,
        }


def in_turns(
    runs: Mapping[str, Callable[[], float]], repeats: int, settle: float = _SETTLE_SECONDS
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Run A B C A B C ...: the values of each, and of those that failed the reason.

    >>> in_turns({"a": lambda: 1.0, "b": lambda: 1 / 0}, repeats=2, settle=0)
    ({'a': [1.0, 1.0]}, {'b': 'failed: ZeroDivisionError: division by zero'})
    """
    values: dict[str, list[float]] = {name: [] for name in runs}
    failed: dict[str, str] = {}
    for _ in range(repeats):
        for name in list(values):
            time.sleep(settle)
            try:
                values[name].append(runs[name]())
            except Exception as error:  # a peer may raise anything; the others go on
                failed[name] = reason(error)
                del values[name]
    return values, failed


def reason(error: Exception) -> str:
    """Why somebody drops out, in one line."""
    first_line = (str(error).splitlines() or [""])[0]
    return f"failed: {type(error).__name__}: {first_line[:200]}"


def seconds(run: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def divergence(reference: Floats, other: Floats) -> Floats:
    """KL(reference || other) of next-token distributions, in nats: `[rows, vocab]` -> `[rows]`.

    A model may have more rows of logits than another; those that only one has are left out.

    >>> same = np.log(np.array([[0.5, 0.25, 0.25]], np.float32))
    >>> float(divergence(same, same + 3)[0])
    0.0
    >>> flat = np.zeros((1, 3), np.float32)
    >>> round(float(divergence(same, flat)[0]), 4)  # log 3 - 1.5 log 2
    0.0589
    """
    vocab = min(reference.shape[1], other.shape[1])
    rows = zip(reference[:, :vocab], other[:, :vocab], strict=True)
    return np.array([_divergence(p, q) for p, q in rows])


def _divergence(reference: Floats, other: Floats) -> float:
    p, q = _log_softmax(reference), _log_softmax(other)
    return max(0.0, float(np.sum(np.exp(p) * (p - q))))  # rounding can make it -1e-17


def _log_softmax(logits: Floats) -> Any:
    """float64: the divergences we look for are below float32's own rounding."""
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
