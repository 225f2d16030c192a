"""Filters that hold it against a token that it was used."""

from __future__ import annotations

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter


def repetition_penalty(candidates: Candidates, context: Context, penalty: float) -> Candidates:
    """Divide what speaks for a token that was used, multiply what speaks against it.

    CTRL (Keskar et al. 2019, arXiv:1909.05858), with transformers' sign rule; prompt and answer
    count alike, however often a token stands there.
    """
    penalised = candidates.scores.copy()
    used = candidates.places(context.ids)
    old = penalised[used]
    penalised[used] = np.where(old < 0, old * np.float32(penalty), old / np.float32(penalty))
    return candidates.rescored(penalised)


def frequency_penalty(candidates: Candidates, context: Context, penalty: float) -> Candidates:
    """Subtract the penalty for each time that a token stands in the answer (OpenAI's formula)."""
    used, times = np.unique(context.output, return_counts=True)
    here, places = candidates.find(used)
    penalised = candidates.scores.copy()
    penalised[places] -= times[here].astype(np.float32) * np.float32(penalty)
    return candidates.rescored(penalised)


def presence_penalty(candidates: Candidates, context: Context, penalty: float) -> Candidates:
    """Subtract the penalty once from every token of the answer (OpenAI's formula)."""
    penalised = candidates.scores.copy()
    penalised[candidates.places(np.unique(context.output))] -= np.float32(penalty)
    return candidates.rescored(penalised)


ROWS = (
    Filter(repetition_penalty, ("repetition_penalty",)),
    Filter(frequency_penalty, ("frequency_penalty",)),
    Filter(presence_penalty, ("presence_penalty",)),
)
