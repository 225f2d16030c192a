"""Feeding ids and keeping what is inside: the same as when the text was made, bit for bit,
since what a row becomes does not depend on how a sequence is cut into passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.errors import BackendError, ParameterError
from pellucid.model import sites
from pellucid.model.config import ModelConfig
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.weights.tensor import Floats

MOST_BYTES = 4 << 30  # that one recording holds; more than this is asked for by mistake
_ROWS_AT_ONCE = 256  # of logits: at a vocabulary of 262,144, 256 MiB


def record(
    model: Model,
    ids: Sequence[int],
    watch: Sequence[str],
    edits: Sequence[Edit] = (),
) -> dict[str, Floats]:
    """What these sites (patterns of them) are while ids are fed, `[rows, ...]` by site.

    Raises ParameterError for a site that there is none of, and where it would be more than
    `MOST_BYTES`; BackendError where the model computes what is no number.
    """
    chosen = sites.select(watch, model.config, "watch")
    if not chosen:
        return {}
    check_room(chosen, model.config, len(ids))
    kept = {
        name: np.zeros((len(ids), *sites.shape(name, model.config, len(ids))), np.float32)
        for name in chosen
    }
    for part in passes(model, ids, chosen, edits, logits="logits" in chosen):
        for name, rows in part.seen.items():
            target = kept[name][part.start : part.start + len(rows)]
            target[..., : rows.shape[-1]] = rows  # later positions are hidden from a pattern's rows
            if name.endswith("attn.scores"):
                target[..., rows.shape[-1] :] = -np.inf
    for name, rows in kept.items():
        if not name.endswith("attn.scores") and not np.isfinite(rows).all():
            raise BackendError(f"{name} is not finite: the model computes what is no number")
    return kept


@dataclass(frozen=True)
class Part:
    """Some rows of a recording: their logits, where wanted, and what was seen."""

    start: int
    rows: int
    logits: Floats
    seen: dict[str, Floats]


def passes(
    model: Model,
    ids: Sequence[int],
    watch: Sequence[str] = (),
    edits: Sequence[Edit] = (),
    *,
    logits: bool = True,
) -> Iterator[Part]:
    """Feed ids piece by piece, so that logits of a long text never lie in memory together."""
    cache = model.new_cache()
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        fed = ids[start : start + _ROWS_AT_ONCE]
        run = Run([Segment(fed, cache, "all" if logits else "last", watch, edits)])
        yield Part(start, len(fed), model.forward(run), run.seen[0])


def check_room(names: Sequence[str], config: ModelConfig, rows: int) -> None:
    """Refuse to keep more than memory is for. Raises ParameterError."""
    need = sum(4 * rows * int(np.prod(sites.shape(name, config, rows))) for name in names)
    if need > MOST_BYTES:
        reason = f"{len(names)} sites of {rows} tokens take {need / 2**30:.1f} GiB"
        raise ParameterError(
            "watch", f"{reason}, and at most {MOST_BYTES >> 30} are kept; watch fewer"
        )
