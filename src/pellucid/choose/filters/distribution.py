"""Filters of the whole distribution: a second one that it is compared with, and its sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.filters.filter import Context, Filter

if TYPE_CHECKING:
    from pellucid.choose.setting import Setting


def guidance_scale(
    candidates: Candidates, context: Context, scale: float, negative: tuple[int, ...] | None
) -> Candidates:
    """Move away from what the model says after a negative prompt, `scale` times as far.

    Classifier-free guidance (Sanchez et al. 2023, arXiv:2306.17806), on log-probabilities: 0 is
    what the second stream says, 1 the first.
    """
    assert context.beside is not None, "the branch has no second stream"
    other = Candidates(context.beside)
    scores = candidates.scores - np.float32(candidates.logsumexp)
    beside = other.scores if candidates.ids is None else other.scores[candidates.ids]
    beside = beside - np.float32(other.logsumexp)
    with np.errstate(invalid="ignore"):  # minus infinity in both is NaN
        scores -= beside
        scores *= np.float32(scale)
        scores += beside
    return candidates.rescored(np.fmax(scores, REMOVED, out=scores))  # instead of NaN


def second_stream(setting: Setting, scale: float, negative: tuple[int, ...] | None) -> Branch:
    """The branch of the negative prompt: as in transformers the prompt's last token if none is."""
    return setting.new_branch(negative or setting.root.ids[-1:])


def renormalize_logits(candidates: Candidates, context: Context, asked: bool) -> Candidates:
    """Make the scores log-probabilities: no choice of one token changes, sums over several do."""
    return candidates.rescored(candidates.scores - np.float32(candidates.logsumexp))


ROWS = (
    Filter(guidance_scale, ("guidance_scale", "negative_prompt_ids"), beside=second_stream),
    Filter(renormalize_logits, ("renormalize_logits",)),
)
