"""Answers whose ledgers are known: choices from a few random logits, drawn or the likeliest."""

from __future__ import annotations

from typing import Any

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import Chain
from pellucid.choose.draw import draw
from pellucid.choose.filters import Context
from pellucid.choose.ledger import account
from pellucid.choose.parameters import parameters
from pellucid.engine.generation import GeneratedToken, Generation

PROBS = np.array([0.02, 0.5, 0.2, 0.1, 0.08, 0.06, 0.04], np.float32)


def chosen(
    uniform: float | None = None,
    probs: Any = PROBS,
    token: int | None = None,
    size: int = 50,
    **given: Any,
) -> GeneratedToken:
    """A token chosen from these probabilities; `token` to have it whatever leads."""
    own = Candidates(np.log(np.asarray(probs, np.float32)))
    context = Context(np.array([2, 1]), 1, np.array([0]), vocab_size=len(probs))
    steps = [("model", own), *Chain(parameters(**given))(own, context)]
    last = steps[-1][1]
    if token is None:
        token = last.likeliest if uniform is None else draw(last, uniform)
    ledger = account(steps, token, uniform, size)
    return GeneratedToken(
        token, name(token).decode(), own.prob(token), own.rank(token), last.prob(token), ledger
    )


def name(token: int) -> bytes:
    """A text for each token."""
    return b" t%d" % token


def answer(*tokens: GeneratedToken, **more: Any) -> Generation:
    """An answer of these."""
    ids = tuple(token.id for token in tokens)
    text = "".join(token.text for token in tokens)
    return Generation(text, ids, (2, 1), "length", tokens, **more)
