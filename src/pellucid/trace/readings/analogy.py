"""What is to c as a is to b: the tokens nearest to a - b + c (Mikolov et al. 2013, NAACL)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.choose.parameters.values import Integer
from pellucid.model.config import ModelConfig
from pellucid.model.embeddings import units
from pellucid.model.matrices import Matrices
from pellucid.trace.form import Form, counts, exactly
from pellucid.trace.readings import Subject
from pellucid.trace.readings.distribution import check_top
from pellucid.trace.readings.neighbours import cosines
from pellucid.trace.trace import Array, Trace


def forms(
    config: ModelConfig, ids: Sequence[int], a: int, b: int, c: int, top: int = 10
) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    for name, token in (("a", a), ("b", b), ("c", c)):
        Integer(0, config.vocab_size - 1).check(name, token)
    check_top(top, config, besides=3)
    return {
        "given_ids": exactly([a, b, c]),
        "answer_ids": counts(top, high=config.vocab_size - 1),
        "cosines": cosines(top),
        "given_cosines": cosines(3),
    }


def read(subject: Subject, trace: Trace, a: int, b: int, c: int, top: int = 10) -> dict[str, Array]:
    """`answer_ids` and `cosines` `[top]` of the tokens nearest to a - b + c, each at length one;
    the three are left out, since one of them is nearly always the nearest; `given_cosines` `[3]` is
    what they would have had.
    """
    near = Matrices(subject.checkpoint, subject.config).embedding()
    first, second, third = units(near.rows([a, b, c]))
    sought = units((first - second + third)[None])
    ids, found = near.nearest(sought, top, [[a, b, c]])
    return {
        "given_ids": np.array([a, b, c], np.int64),
        "answer_ids": ids[0],
        "cosines": found[0],
        "given_cosines": np.stack([first, second, third]) @ sought[0],
    }
