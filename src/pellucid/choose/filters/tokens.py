"""Filters that name single tokens: wanted, unwanted, or the only ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats


def logit_bias(candidates: Candidates, context: Context, tokens: Ids, biases: Floats) -> Candidates:
    """Add to the scores of some tokens (OpenAI's formula)."""
    return candidates.changed(tokens, candidates.scores_of(tokens) + biases)


def allowed_token_ids(candidates: Candidates, context: Context, tokens: Ids) -> Candidates:
    """Remove all but these tokens (vLLM's); an end that is not named is removed too."""
    return candidates.keep(tokens)


def suppress_tokens(candidates: Candidates, context: Context, tokens: Ids) -> Candidates:
    """Remove these tokens."""
    return candidates.without(tokens)


def begin_suppress_tokens(
    candidates: Candidates, context: Context, tokens: Ids, forced: int | None
) -> Candidates:
    """Remove these tokens from the first choice, or from the second if the first is forced."""
    first = 0 if forced is None else 1
    return candidates.without(tokens) if len(context.output) == first else candidates


def forced_bos_token_id(candidates: Candidates, context: Context, token: int) -> Candidates:
    """Begin the answer with this token.

    transformers forces the token behind a text of one token, which is an encoder-decoder's prompt;
    here it is the answer's first, whatever the prompt.
    """
    return candidates if len(context.output) else _forced(np.array([token]))


def forced_eos_token_id(
    candidates: Candidates, context: Context, tokens: Ids, most: int
) -> Candidates:
    """End an answer of full length with this token, or one of these."""
    return _forced(tokens) if len(context.output) == most - 1 else candidates


def _forced(tokens: Ids) -> Candidates:
    return Candidates(np.zeros(len(tokens), np.float32), tokens)


def _ids(tokens: Sequence[int], *others: int | None) -> tuple[Ids | int | None, ...]:
    return np.unique(np.array(tokens, np.int64)), *others


def _biases(pairs: Sequence[tuple[int, float]]) -> tuple[Ids, Floats]:
    tokens, biases = zip(*pairs, strict=True)
    return np.array(tokens, np.int64), np.array(biases, np.float32)


ROWS = (
    Filter(logit_bias, ("logit_bias",), prepare=_biases),
    Filter(allowed_token_ids, ("allowed_token_ids",), prepare=_ids),
    Filter(suppress_tokens, ("suppress_tokens",), prepare=_ids),
    Filter(begin_suppress_tokens, ("begin_suppress_tokens", "forced_bos_token_id"), prepare=_ids),
    Filter(forced_bos_token_id, ("forced_bos_token_id",)),
    Filter(forced_eos_token_id, ("forced_eos_token_id", "max_new_tokens"), prepare=_ids),
)
