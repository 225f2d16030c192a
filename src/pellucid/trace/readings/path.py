"""Integrated gradients: what each input row brings to a score, adding up to all of it.

Sundararajan, Taly and Yan 2017 (arXiv:1703.01365): the gradient's mean along the straight line from
a baseline to the input, times their difference. A language model is steep in few places of that
line, where a fixed grid finds anything; so the line is cut where it is. Over every piece of it the
gradients must sum to what the score rises there, and the pieces that miss it most are halved.

A piece is weighed by Boole's rule, whose five places its halves go on with. Of eleven tokens of
SmolLM2, 93 gradients miss 0.3 % of the rise, where 128 by Gauss-Legendre, all of whose places are
others in a half, missed 0.6 %.
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
FEWEST = 5  # gradients: those of one piece
_PIECES_AT_FIRST = 4  # or fewer; a power of two, so that places are the same from either side
_HALVED_AT_ONCE = 4
_NARROWEST = 2.0**-20  # of the line: the places of its halves are 2 of float32's steps apart
_WEIGHTS = np.array([7, 32, 12, 32, 7]) / 90  # Boole's, of places that are evenly apart


class Score(Protocol):
    """A number of an input, and its gradient."""

    def gradients(self, inputs: Floats) -> tuple[Floats, Floats]:
        """Of each of some inputs `[n, rows, width]`: the score `[n]`, and its gradient there."""


@dataclass(frozen=True)
class Integral:
    """What each row brings `[rows]`, the score at the `start` and at the `end` of the line, the
    gradient at the end `[rows, width]`, and how many `gradients` were taken.
    """

    rows: Doubles
    start: float
    end: float
    slope: Floats
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
    def missed(self) -> float:
        """What halves may find: by how much the rows miss the rise, if there is room for halves."""
        if self.high - self.low <= _NARROWEST:
            return 0.0
        return abs(float(self.rows.sum()) - self.rise)


def integrate(score: Score, start: Floats, end: Floats, most: int) -> Integral:
    """Along the line between two inputs `[rows, width]`, with `most` gradients, or fewer where the
    pieces that can be halved miss no more than `TOLERANCE` of the rise.

    A score that jumps, as behind a mixture's router, is seen no closer than `_NARROWEST`: what it
    jumps by is no gradient's, and stays in the gap.
    """
    line = _Line(score, start, end)
    count = _PIECES_AT_FIRST
    while count > 1 and 4 * count + 1 > most:
        count //= 2
    pieces = line.pieces([*pairwise(np.linspace(0, 1, count + 1).tolist())])
    first, last = line.scores[0.0], line.scores[1.0]
    while room := (most - len(line.scores)) // 4:  # of two halves, five of nine places are known
        pieces.sort(key=lambda piece: piece.missed)
        if sum(piece.missed for piece in pieces) <= TOLERANCE * abs(last - first):
            break
        worst = [piece for piece in pieces[-min(_HALVED_AT_ONCE, room) :] if piece.missed]
        halves = [half for piece in worst for half in _halves(piece)]
        pieces[-len(worst) :] = line.pieces(halves)
    rows = np.sum([piece.rows for piece in pieces], axis=0)
    return Integral(rows, first, last, line.slope, len(line.scores))


def _halves(piece: _Piece) -> list[tuple[float, float]]:
    middle = (piece.low + piece.high) / 2
    return [(piece.low, middle), (middle, piece.high)]


class _Line:
    """Scores and gradients along a line; none is taken twice."""

    def __init__(self, score: Score, start: Floats, end: Floats) -> None:
        self._score = score
        self._start = start
        self._way = end - start
        self.scores: dict[float, float] = {}  # at places in [0, 1]
        self._brought: dict[float, Doubles] = {}  # gradient times way, `[rows]`
        self.slope = np.zeros_like(end)  # at the end, once it is known

    def pieces(self, bounds: list[tuple[float, float]]) -> list[_Piece]:
        """The pieces between these bounds."""
        places = [np.linspace(low, high, len(_WEIGHTS)).tolist() for low, high in bounds]
        every = dict.fromkeys(place for of_piece in places for place in of_piece)
        self._see([place for place in every if place not in self.scores])
        return [
            _Piece(
                low,
                high,
                self.scores[high] - self.scores[low],
                (high - low) * (_WEIGHTS @ [self._brought[place] for place in of_piece]),
            )
            for (low, high), of_piece in zip(bounds, places, strict=True)
        ]

    def _see(self, places: list[float]) -> None:
        along = np.array(places, np.float32)[:, None, None]
        scores, gradients = self._score.gradients(self._start + along * self._way)
        self.scores |= zip(places, scores.tolist(), strict=True)
        brought = np.einsum("nrw,rw->nr", gradients.astype(np.float64), self._way)
        self._brought |= zip(places, brought, strict=True)
        if 1.0 in places:
            self.slope = gradients[places.index(1.0)].copy()  # a view would keep all of them
