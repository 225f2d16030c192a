"""The tokens of a text and their neighbours on a plane: the two directions that part them most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.errors import ParameterError
from pellucid.model.config import ModelConfig
from pellucid.model.embeddings import units
from pellucid.model.matrices import Matrices
from pellucid.trace.form import Form, counts, exactly, floats
from pellucid.trace.readings import Subject
from pellucid.trace.readings.distribution import check_top
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats

_MOST = 2000  # points: more cannot be told apart, and an exact decomposition takes seconds


def forms(config: ModelConfig, ids: Sequence[int], top: int = 5) -> dict[str, Form]:
    """As `read` says. Raises ParameterError where there would be too many points."""
    check_top(top, config, besides=1)
    own = [*dict.fromkeys(ids)]
    if len(own) * (top + 1) > _MOST:
        reason = f"{len(own)} different tokens with {top} neighbours each are over {_MOST:,} points"
        raise ParameterError("top", f"{reason}; give fewer, or a shorter text")
    return {
        "ids": exactly(own),
        "xy": floats(len(own), 2),
        "neighbour_ids": counts("neighbours", high=config.vocab_size - 1),
        "neighbour_xy": floats("neighbours", 2),
        "owners": counts("neighbours", high=len(own) - 1),
        "explained": floats(2, low=0, high=1.001),
    }


def read(subject: Subject, trace: Trace, top: int = 5) -> dict[str, Array]:
    """`ids` `[n]`: the distinct tokens of the text, and `xy` `[n, 2]` where each lies on the plane;
    `neighbour_ids` `[m]`, their `top` nearest neighbours that are not of it, `neighbour_xy`
    `[m, 2]`, and `owners` `[m]`, the place in `ids` of the token that each is nearest to;
    `explained` `[2]` the share of all squared distances from their centre that each axis shows.

    Principal components of the unit vectors, by exact singular value decomposition.
    """
    own = [*dict.fromkeys(trace.ids)]
    near = Matrices(subject.checkpoint, subject.config).embedding()
    found, cosines = near.nearest(near.rows(own), top, [[token] for token in own])
    owner: dict[int, int] = {}  # of a neighbour
    for place in np.argsort(-cosines, axis=None, kind="stable").tolist():  # the nearest own it
        if (token := int(found.flat[place])) not in own:
            owner.setdefault(token, place // top)
    xy, explained = principal(units(near.rows([*own, *owner])))
    return {
        "ids": np.array(own, np.int64),
        "xy": xy[: len(own)],
        "neighbour_ids": np.array([*owner], np.int64),
        "neighbour_xy": xy[len(own) :],
        "owners": np.array([*owner.values()], np.int64),
        "explained": explained,
    }


def principal(rows: Floats) -> tuple[Floats, Floats]:
    """Where rows `[n, width]` lie along their first two principal axes `[n, 2]`, and the share of
    their variance on each `[2]`.

    The sign of an axis means nothing: the farthest row is put on its positive side.

    >>> xy, explained = principal(np.array([[0, 0], [2, 0], [4, 0]], np.float32))
    >>> abs(xy[:, 0]).round(3), explained.round(3)
    (array([2., 0., 2.], dtype=float32), array([1., 0.], dtype=float32))
    """
    centred = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    width = min(2, len(s))
    xy = np.zeros((len(rows), 2))
    xy[:, :width] = u[:, :width] * s[:width]
    farthest = np.take_along_axis(xy, np.abs(xy).argmax(0)[None], 0)[0]
    xy *= np.where(farthest < 0, -1, 1)
    explained = np.zeros(2)
    whole = float((s**2).sum())
    explained[:width] = s[:width] ** 2 / whole if whole > 0 else 0
    return xy.astype(np.float32), explained.astype(np.float32)
