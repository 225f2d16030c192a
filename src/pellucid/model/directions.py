"""A direction inside a model that tells two kinds of texts apart: how their values differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from pellucid.errors import ParameterError
from pellucid.model import sites
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.weights.tensor import Floats

Tokens = Literal["last", "all"]


def direction(
    model: Model,
    positive: Sequence[Sequence[int]],
    negative: Sequence[Sequence[int]],
    address: str,
    tokens: Tokens = "last",
    edits: Sequence[Edit] = (),
) -> Floats:
    """The mean of a site over some texts less that over others: `[hidden_size]` of a residual.

    The value of a text is that of its last token, as in contrastive activation addition
    (Panickssery et al. 2023, arXiv:2312.06681), or the mean of all its tokens. `address` names one
    place (see `model.sites`). Raises ParameterError where it names several, or attention's pairs.
    """
    if tokens not in get_args(Tokens):
        raise ParameterError("tokens", f"must be last or all, not {tokens!r:.60}")
    place = _single(model, address)
    means = [
        np.mean([_value(model, ids, place, tokens, edits) for ids in texts], axis=0)
        for texts in (positive, negative)
    ]
    difference: Floats = (means[0] - means[1]).astype(np.float32)
    return difference


def _single(model: Model, address: str) -> sites.Place:
    found = sites.find(address, model.config, "site")
    if len(found) > 1:
        raise ParameterError("site", f"{address!r:.80} names {len(found)} sites; give one")
    if 0 in sites.shape(found[0].site, model.config):
        raise ParameterError("site", f"{address!r:.80} is of pairs of tokens, not of each token")
    return found[0]


def _value(
    model: Model, ids: Sequence[int], place: sites.Place, tokens: Tokens, edits: Sequence[Edit]
) -> Floats:
    run = Run([Segment(ids, watch=(place.site,), edits=edits)])
    model.forward(run)
    rows = run.seen[0][place.site][place.key].astype(np.float64)
    value: Floats = rows[-1] if tokens == "last" else rows.mean(axis=0)
    return value
