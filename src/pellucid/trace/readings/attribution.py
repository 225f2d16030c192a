"""What each token of the text brings to what the model says after it, by gradients.

Gradient x input takes the slope where the text is; integrated gradients (`path`) all of the line
from a text that says nothing. Both are claims about the model: `occlusion` tests them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.choose.parameters.values import Integer
from pellucid.errors import ParameterError
from pellucid.model.config import ModelConfig
from pellucid.model.matrices import Matrices
from pellucid.trace.form import Form, counts, exactly, floats
from pellucid.trace.readings import Subject
from pellucid.trace.readings.path import FEWEST, integrate
from pellucid.trace.readings.row import checked_targets
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats

OF = ("logprob", "logit")
BASELINES = ("mean", "zero")
_MOST_ROWS = 1024  # of which autograd keeps all that a forward computes: 2 MB each for SmolLM2
_MOST_STEPS = 4096


def forms(
    config: ModelConfig,
    ids: Sequence[int],
    token: int,
    position: int,
    of: str = "logprob",
    baseline: str = "mean",
    hold: int = 1,
    steps: int = 96,
) -> dict[str, Form]:
    """As `read` says. Raises ParameterError."""
    targets = checked_targets(config, ids, token, position)
    Integer(0, _MOST_ROWS - 1).check("position", position)
    Integer(0, position).check("hold", hold)
    Integer(FEWEST, _MOST_STEPS).check("steps", steps)
    for name, value, allowed in (("of", of, OF), ("baseline", baseline, BASELINES)):
        if value not in allowed:
            raise ParameterError(name, f"must be one of {', '.join(allowed)}, not {value!r:.40}")
    return {
        "gradient": floats(position + 1),
        "integrated": floats(position + 1),
        "scores": floats(2),
        "gap": floats(1),
        "gradients": counts(1, high=_MOST_STEPS),
        "target_ids": exactly(targets),
    }


def read(
    subject: Subject,
    trace: Trace,
    token: int,
    position: int,
    of: str = "logprob",
    baseline: str = "mean",
    hold: int = 1,
    steps: int = 96,
) -> dict[str, Array]:
    """What the tokens up to `position` bring to the log-probability (or logit) of `token` after it:
    `gradient` and `integrated`, `[position + 1]` float32 each.

    Both are against a `baseline`: each embedding replaced by the average of all, or by zero, which
    is classical, but at which the norm of many families is so steep that no number of steps
    suffices. The first `hold` tokens stay on the line of the integrated gradients, and get 0: all
    attention that is not needed rests on the first (Xiao et al. 2023, arXiv:2309.17453), and where
    that begins, the line is steeper than anywhere. `steps` is the most gradients that are taken.

    `scores` `[2]` are those at the baseline and of the text, `gap` `[1]` by how much `integrated`
    misses their difference (completeness), `gradients` `[1]` how many were taken. Computed by torch
    in float32, whichever backend ran. Raises ParameterError for a run that was changed: a change is
    a function without a gradient; BackendError where torch is not installed.
    """
    if subject.edits:
        reason = "a changed run has no gradients: a change is any function; use occlusion"
        raise ParameterError("edits", reason)
    from pellucid.backends.gradients import Differentiable  # noqa: PLC0415  (torch takes 1.5 s)

    ids = trace.ids[: position + 1]
    score = Differentiable(
        subject.differentiable, ids, token, "logit" if of == "logit" else "logprob"
    )
    text = score.embedded()
    way = said_of(subject, ids, baseline)
    moved = way.copy()
    moved[:hold] = 0
    integral = integrate(score, text - moved, text, steps)
    return {
        "gradient": (integral.slope * way).sum(-1),
        "integrated": integral.rows.astype(np.float32),
        "scores": np.array([integral.start, integral.end], np.float32),
        "gap": np.array([integral.gap], np.float32),
        "gradients": np.array([integral.gradients], np.int64),
        "target_ids": np.array([token], np.int64),
    }


def said_of(subject: Subject, ids: Sequence[int], instead: str | int) -> Floats:
    """What these tokens' first residual has, and would not with others `instead`: the average of
    all ("mean"), none ("zero"), or a token; `[rows, hidden]`.
    """
    near = Matrices(subject.checkpoint, subject.config).embedding()
    rows = near.rows(ids)
    if instead == "mean":
        rows = rows - near.mean()
    elif isinstance(instead, int):
        rows = rows - near.rows([instead])
    scaled: Floats = rows * np.float32(subject.config.embedding_scale)
    return scaled
