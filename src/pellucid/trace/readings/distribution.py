"""What readings keep of a distribution over the vocabulary, which is too much to keep whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from pellucid.choose.candidates import Candidates
from pellucid.choose.parameters.values import Integer
from pellucid.choose.vocabulary import entropy
from pellucid.engine.running import check_finite
from pellucid.model.config import ModelConfig
from pellucid.trace.form import Form, counts, floats, logprobs
from pellucid.trace.trace import Array
from pellucid.weights.tensor import Floats

_MOST = 1000

Ids = npt.NDArray[np.int64]


def summary(logits: Floats, top: int, targets: Ids) -> dict[str, Array]:
    """Of each row `[n, vocab]`: what is likely, how open it is, and how likely a target is.

    `top_ids` and `top_logprobs` `[n, top]`, likeliest first; `entropy` `[n]` in nats; `logprobs`
    and `ranks` `[n]` of `targets`, rank 1 being the likeliest. A target of -1 is none: NaN and 0.
    Raises BackendError for logits that are no numbers.
    """
    check_finite([logits])
    made: dict[str, Array] = {
        "top_ids": np.full((len(logits), top), -1, np.int64),
        "top_logprobs": np.full((len(logits), top), -np.inf, np.float32),
        "entropy": np.empty(len(logits), np.float32),
        "logprobs": np.full(len(logits), np.nan, np.float32),
        "ranks": np.zeros(len(logits), np.int64),
    }
    for i, (row, target) in enumerate(zip(logits, targets, strict=True)):
        surveyed = Candidates(row)
        first, total = surveyed.leading(top), surveyed.logsumexp
        made["top_ids"][i, : len(first)] = first
        made["top_logprobs"][i, : len(first)] = row[first] - np.float32(total)
        made["entropy"][i] = max(0.0, entropy(row))
        if target >= 0:
            made["logprobs"][i] = row[target] - np.float32(total)
            made["ranks"][i] = surveyed.rank(target)
    return made


def forms(config: ModelConfig, top: int, *rows: int) -> dict[str, Form]:
    """What `summary` gives of rows, of one or several stages. Raises ParameterError for `top`."""
    check_top(top, config)
    return {
        "top_ids": counts(*rows, top, low=-1, high=config.vocab_size - 1),
        "top_logprobs": logprobs(*rows, top, missing=True),
        "entropy": floats(*rows, low=0),
        "logprobs": logprobs(*rows, missing=True),
        "ranks": counts(*rows, high=config.vocab_size),
    }


def joined(parts: Iterable[Mapping[str, Array]], axis: int = 0) -> dict[str, Array]:
    """Arrays of several parts one behind the other, by name."""
    every = list(parts)
    return {name: np.concatenate([part[name] for part in every], axis) for name in every[0]}


def check_top(top: int, config: ModelConfig, besides: int = 0) -> None:
    """Refuse, with ParameterError, to keep more tokens of a vocabulary than there are, of which
    `besides` are left out.
    """
    Integer(1, min(_MOST, config.vocab_size - besides)).check("top", top)
