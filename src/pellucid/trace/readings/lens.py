"""The logit lens (nostalgebraist 2020): what the model would say if it stopped after each layer.

The residual after so many layers goes through the final norm and the output matrix, as the last
one does. Earlier layers were not trained to be read so: what is absent may be there all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.model.config import ModelConfig
from pellucid.model.sites import residual
from pellucid.trace.form import Form, counts
from pellucid.trace.readings import Subject, distribution
from pellucid.trace.readings.distribution import joined, summary
from pellucid.trace.record import Part, passes
from pellucid.trace.trace import Array, Trace


def forms(config: ModelConfig, ids: Sequence[int], top: int = 5) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    return {
        **distribution.forms(config, top, config.layers + 1, len(ids)),
        "target_ids": counts(len(ids), high=config.vocab_size - 1),
    }


def read(subject: Subject, trace: Trace, top: int = 5) -> dict[str, Array]:
    """`distribution.summary` after 0 to all layers: `[layers + 1, rows, ...]`.

    `target_ids` `[rows]`: the token that follows, and after the last row the model's own choice.
    """
    config, model = trace.config, subject.model
    stages = [residual(layers) for layers in range(config.layers + 1)]
    parts, targets = [], []
    for part in passes(model, trace.ids, stages, subject.edits):
        targets.append(_targets(trace, part))
        each = [summary(model.unembed(part.seen[s]), top, targets[-1]) for s in stages]
        parts.append({name: np.stack([one[name] for one in each]) for name in each[0]})
    return {**joined(parts, axis=1), "target_ids": np.concatenate(targets)}


def _targets(trace: Trace, part: Part) -> Array:
    following = trace.ids[part.start + 1 : part.start + part.rows + 1]
    own = [int(part.logits[-1].argmax())] if len(following) < part.rows else []
    return np.array([*following, *own], np.int64)
