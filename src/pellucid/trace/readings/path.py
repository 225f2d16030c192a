"""Integrated gradients: what each input row brings to a score, adding up to all of it.

Sundararajan, Taly and Yan 2017 (arXiv:1703.01365): the gradient's mean along the straight line from
a baseline to the input, times their difference. A language model is steep in few places of that
line, where a fixed grid finds anything; so the line is cut where it is. Over every piece of it the
gradients must sum to what the score rises there, and the pieces that miss it most are halved.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pellucid.weights.tensor import Floats

Doubles = npt.NDArray[np.float64]

TOLERANCE = 0.005  # of the whole rise: that the pieces may miss together
_PIECES_AT_FIRST = 8
_HALVED_AT_ONCE = 4
_NODES, _WEIGHTS = (  # Gauss-Legendre of four points, between 0 and 1
    np.polynomial.legendre.leggauss(4)[0] / 2 + 0.5,
    np.polynomial.legendre.leggauss(4)[1] / 2,
)


class Score(Protocol):
    """A number of an input, and its gradient."""

    def scores(self, inputs: Floats) -> Floats:
        """`[n, rows, width]` -> `[n]`."""

    def gradients(self, inputs: Floats) -> Floats:
        """`[n, rows, width]` -> the same."""


@dataclass(frozen=True)
class Integral:
    """What each row brings `[rows]`, the score at the `start` and at the `end` of the line, and how
    many `gradients` were taken.
    """

    rows: Doubles
    start: float
    end: float
    gradients: int

    @property
    def gap(self) -> float:
        """By how much the rows miss the rise: with all of the line seen, they would not."""
        return float(self.rows.sum()) - (self.end - self.start)


@dataclass(frozen=True)
class _Piece:
    low: float
    high: float
    rise: float
    rows: Doubles

    @property
    def gap(self) -> float:
        return abs(float(self.rows.sum()) - self.rise)


def integrate(score: Score, start: Floats, end: Floats, most: int) -> Integral:
    """Along the line between two inputs `[rows, width]`, with `most` gradients, or fewer where the
    pieces miss no more than `TOLERANCE` of the rise.
    """
    line = _Line(score, start, end)
    count = max(1, min(_PIECES_AT_FIRST, most // len(_NODES)))
    pieces = line.pieces([*pairwise(np.linspace(0, 1, count + 1).tolist())])
    first, last = line.at(0.0), line.at(1.0)
    while sum(piece.gap for piece in pieces) > TOLERANCE * abs(last - first):
        room = (most - line.gradients) // (2 * len(_NODES))
        if not room:
            break
        pieces.sort(key=lambda piece: piece.gap)
        worst = pieces[-min(_HALVED_AT_ONCE, room) :]
        halves = [half for piece in worst for half in _halves(piece)]
        pieces[-len(worst) :] = line.pieces(halves)
    rows = np.sum([piece.rows for piece in pieces], axis=0)
    return Integral(rows, first, last, line.gradients)


def _halves(piece: _Piece) -> list[tuple[float, float]]:
    middle = (piece.low + piece.high) / 2
    return [(piece.low, middle), (middle, piece.high)]


class _Line:
    """Scores and gradients along a line; no score is taken twice."""

    def __init__(self, score: Score, start: Floats, end: Floats) -> None:
        self._score = score
        self._start = start
        self._way = end - start
        self._known: dict[float, float] = {}
        self.gradients = 0

    def at(self, place: float) -> float:
        """The score at a place in [0, 1]."""
        return self._known[place]

    def pieces(self, bounds: list[tuple[float, float]]) -> list[_Piece]:
        """The pieces between these bounds."""
        new = [p for p in dict.fromkeys(p for pair in bounds for p in pair) if p not in self._known]
        self._known |= zip(
            new, self._score.scores(self._points(np.array(new))).tolist(), strict=True
        )
        low, high = np.array(bounds).T
        places = low[:, None] + (high - low)[:, None] * _NODES  # [pieces, nodes]
        gradients = self._score.gradients(self._points(places.ravel()))
        self.gradients += len(gradients)
        brought = np.einsum("nrw,rw->nr", gradients.astype(np.float64), self._way)
        means = np.einsum("pnr,n->pr", brought.reshape(*places.shape, -1), _WEIGHTS)
        return [
            _Piece(a, b, self.at(b) - self.at(a), (b - a) * rows)
            for (a, b), rows in zip(bounds, means, strict=True)
        ]

    def _points(self, places: Doubles) -> Floats:
        found: Floats = self._start + places[:, None, None].astype(np.float32) * self._way
        return found
