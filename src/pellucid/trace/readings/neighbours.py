"""The tokens whose embeddings point most alike: what a model holds for similar before it reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.model.config import ModelConfig
from pellucid.model.matrices import Matrices
from pellucid.trace.form import Form, counts, exactly, floats
from pellucid.trace.readings import Subject
from pellucid.trace.readings.distribution import check_top
from pellucid.trace.trace import Array, Trace


def forms(config: ModelConfig, ids: Sequence[int], top: int = 10) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    check_top(top, config, besides=1)
    own = [*dict.fromkeys(ids)]
    return {
        "ids": exactly(own),
        "neighbour_ids": counts(len(own), top, high=config.vocab_size - 1),
        "cosines": cosines(len(own), top),
    }


def cosines(*shape: int) -> Form:
    """Of the angles between two directions each, and what rounding may add to them."""
    return floats(*shape, low=-1.001, high=1.001)


def read(subject: Subject, trace: Trace, top: int = 10) -> dict[str, Array]:
    """For each distinct token of the text, `ids` `[n]` in the order of the text: its `top` nearest
    by cosine, `neighbour_ids` and `cosines` `[n, top]`, itself left out. The whole vocabulary is
    searched.
    """
    ids = [*dict.fromkeys(trace.ids)]
    near = Matrices(subject.checkpoint, subject.config).embedding()
    neighbours, found = near.nearest(near.rows(ids), top, [[token] for token in ids])
    return {"ids": np.array(ids, np.int64), "neighbour_ids": neighbours, "cosines": found}
