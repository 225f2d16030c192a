"""The embedding of a whole vocabulary, read in pieces: rows, their mean, and who lies nearest.

Directions are compared (cosine): the norms of embeddings tell mostly how often a token was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pellucid.weights.tensor import Floats, Tensor

Ids = npt.NDArray[np.int64]

_NUMBERS_AT_ONCE = 1 << 22  # unpacked, or cosines: 16 MiB


class Embeddings:
    """The rows `[vocab, hidden]` of an embedding that stays packed.

    >>> near = Embeddings(Tensor.of("embed", np.array([[1, 0], [0, 2], [3, 1]], np.float32)))
    >>> ids, cosines = near.nearest(np.array([[5, 0]], np.float32), 2)
    >>> ids, cosines.round(3)
    (array([[0, 2]]), array([[1.   , 0.949]], dtype=float32))
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def rows(self, ids: Sequence[int] | Ids) -> Floats:
        """The vectors of some tokens, `[n, hidden]`."""
        return self._tensor.take(np.asarray(ids, np.intp)).float32()

    def mean(self) -> Floats:
        """The average token, `[hidden]`."""
        total = sum(rows.sum(0, dtype=np.float64) for _, rows in self._pieces(1))
        return np.asarray(total / self._tensor.shape[0], np.float32)

    def nearest(
        self, vectors: Floats, count: int, besides: Sequence[Sequence[int]] | None = None
    ) -> tuple[Ids, Floats]:
        """The tokens whose vectors point most alike, best first: ids and cosines, `[n, count]`.

        `vectors` are `[n, hidden]`; `besides` names tokens that are left out for each of them.
        """
        wanted = units(vectors)
        best = np.full((len(wanted), count), -2, np.float32)  # below every cosine
        ids = np.full((len(wanted), count), -1, np.int64)
        for start, rows in self._pieces(len(wanted)):
            found = wanted @ units(rows).T  # [n, rows]
            _leave_out(found, start, besides or ())
            ids, best = _merged(ids, best, found, start)
        return ids, best

    def _pieces(self, wanted: int) -> Iterator[tuple[int, Floats]]:
        vocab, hidden = self._tensor.shape
        step = max(1, _NUMBERS_AT_ONCE // max(hidden, wanted))
        for start in range(0, vocab, step):
            yield start, self._tensor.take(slice(start, start + step)).float32()


def units(vectors: Floats) -> Floats:
    """Vectors `[n, hidden]` of length one; one of zeros, as of a token never trained, stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _leave_out(found: Floats, start: int, besides: Sequence[Sequence[int]]) -> None:
    for row, tokens in zip(found, besides, strict=False):
        inside = [t - start for t in tokens if 0 <= t - start < len(row)]
        row[inside] = -2


def _merged(ids: Ids, best: Floats, found: Floats, start: int) -> tuple[Ids, Floats]:
    """The best of those known and those found from `start` on."""
    count = best.shape[1]
    places = np.arange(found.shape[1])[None].repeat(len(found), 0)
    if found.shape[1] > count:
        places = np.argpartition(-found, count - 1, axis=1)[:, :count]
    every = np.concatenate([best, np.take_along_axis(found, places, 1)], axis=1)
    named = np.concatenate([ids, places + start], axis=1)
    order = np.argsort(-every, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(named, order, 1), np.take_along_axis(every, order, 1)
