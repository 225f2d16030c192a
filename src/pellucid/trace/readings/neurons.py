"""The neurons that push a logit most: their activation times what they write (`direction`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.choose.parameters.values import Integer
from pellucid.choose.vocabulary import leading
from pellucid.errors import UnsupportedError
from pellucid.model.config import ModelConfig
from pellucid.model.matrices import Matrices
from pellucid.model.sites import residual
from pellucid.trace.form import Form, counts, exactly, floats
from pellucid.trace.readings import Subject
from pellucid.trace.readings.direction import Direction, Doubles, gained, of_logit, of_writer
from pellucid.trace.readings.row import Row, checked_targets
from pellucid.trace.trace import Array, Trace
from pellucid.weights.tensor import Floats

_MOST_NEURONS = 1000
_SAID = 5  # tokens that a neuron's write speaks for


def forms(
    config: ModelConfig,
    ids: Sequence[int],
    token: int,
    position: int,
    versus: int | None = None,
    top: int = 20,
) -> dict[str, Form]:
    """As `read` says. Raises ParameterError, and UnsupportedError for a model that is a mixture of
    experts in every layer.
    """
    targets = checked_targets(config, ids, token, position, versus)
    Integer(1, _MOST_NEURONS).check("top", top)
    if not _dense(config):
        raise UnsupportedError("every layer of this model is a mixture: it has no neurons to name")
    last, said = config.vocab_size - 1, min(_SAID, config.vocab_size)
    return {
        "neurons": counts("listed", 2, high=(config.layers - 1, config.intermediate_size - 1)),
        "contributions": floats("listed"),
        "activations": floats("listed"),
        "said_ids": counts("listed", said, high=last),
        "by_layer": Form((config.layers,), missing=True),
        "target_ids": exactly(targets),
    }


def read(
    subject: Subject,
    trace: Trace,
    token: int,
    position: int,
    versus: int | None = None,
    top: int = 20,
) -> dict[str, Array]:
    """The `top` neurons by what they add to a logit, or to the difference of two, either way.

    `neurons` `[top, 2]` (layer, neuron), `contributions` and `activations` `[top]`; `said_ids`
    `[top, 5]`, the tokens whose logits raises most what each wrote; `by_layer` `[layers]`, all
    neurons of a layer together, NaN in a mixture.
    """
    config, matrices = subject.config, Matrices(subject.checkpoint, subject.config)
    last = residual(config.layers)
    watch = [last, *(f"layers.{i}.mlp.act" for i in _dense(config))]
    _, seen = Row(subject, trace, position).seen(watch)
    direction = of_logit(matrices, config, seen[last], token, versus)
    added = np.full((config.layers, config.intermediate_size), np.nan)
    for i in _dense(config):
        added[i] = _added(matrices, direction, i, seen[f"layers.{i}.mlp.act"], config)
    order = np.argsort(-np.abs(added), axis=None, kind="stable")[:top]  # NaN comes last
    order = order[np.isfinite(added.ravel()[order])]  # there may be fewer
    chosen = np.stack(np.unravel_index(order, added.shape), axis=1)  # [top, 2]
    acts = np.array([seen[f"layers.{i}.mlp.act"][n] for i, n in chosen], np.float32)
    return {
        "neurons": chosen.astype(np.int64),
        "contributions": added.ravel()[order].astype(np.float32),
        "activations": acts,
        "said_ids": _said(subject, matrices, chosen, acts),
        "by_layer": added.sum(1).astype(np.float32),
        "target_ids": np.array([token] if versus is None else [token, versus], np.int64),
    }


def _dense(config: ModelConfig) -> list[int]:
    mixture = config.experts.layers if config.experts else [False] * config.layers
    return [i for i in range(config.layers) if not mixture[i]]


def _added(
    matrices: Matrices, direction: Direction, layer: int, acts: Floats, config: ModelConfig
) -> Doubles:
    """What each neuron of a layer adds: `[intermediate]`."""
    norm, down = matrices.norm(f"layers.{layer}.mlp_post_norm"), matrices.mlp_down(layer)
    return acts * of_writer(direction, norm, down, acts, config).vector


def _said(subject: Subject, matrices: Matrices, chosen: Array, acts: Floats) -> Array:
    """The tokens for which what each of these neurons wrote speaks most, `[n, 5]`."""
    config = subject.config
    writes = np.empty((len(chosen), config.hidden_size), np.float32)
    for layer in np.unique(chosen[:, 0]):
        of_layer = chosen[:, 0] == layer
        columns = matrices.mlp_down(layer).weight[:, chosen[of_layer, 1]]  # [hidden, n]
        made = columns.T * acts[of_layer, None]
        writes[of_layer] = gained(matrices.norm(f"layers.{layer}.mlp_post_norm"), made, config)
    read = gained(matrices.norm("final_norm"), writes, config)
    nothing = np.zeros_like(read[:1])  # what the output matrix' bias says anyway
    logits = subject.model.project(np.concatenate([read, nothing]))
    most = min(_SAID, config.vocab_size)
    return np.stack([leading(row - logits[-1], most) for row in logits[:-1]])
