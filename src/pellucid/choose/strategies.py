"""Strategies: how an answer grows. They ask for scores and say tokens; they never touch the model.

A strategy is a generator. It yields `Score` to be sent the logits of some branches, and `Say` to
emit a token. The engine gathers what all running strategies ask into one pass, ends an answer at
a stop or at its length by closing the generator, and computes only ids that a branch's cache does
not hold yet; so forking and trimming branches costs no second computation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.draw import drawer, likeliest, standing
from pellucid.choose.filters import Chain, Context
from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats


@dataclass(frozen=True)
class Score:
    """Asks for the logits that follow each branch; each must have unfed ids.

    The answer has one float32 array `[rows, vocab]` a branch: the last is what follows the whole
    branch, those before it what followed its last ids (so that drafted tokens can be verified).
    """

    branches: Sequence[Branch]
    rows: int = 1


@dataclass(frozen=True)
class Say:
    """Emits a token of the answer.

    `prob` is the token's probability under the model's own distribution: the softmax of the
    logits before any filter or temperature. `rank` is its place there, 1 for the likeliest; equal
    logits share the better rank.
    """

    token: int
    prob: float
    rank: int


Steps = Generator[Score | Say, list[Floats], None]
Strategy = Callable[[Branch, GenerationParameters], Steps]


def sample(root: Branch, parameters: GenerationParameters) -> Steps:
    """One token after the other: the likeliest, or a draw if the parameters ask for sampling.

    `root` holds the prompt, and grows; the parameters are resolved (see their `resolve`).
    """
    choose = drawer(parameters.seed) if parameters.sampling else likeliest
    chain = Chain(parameters)
    prompt = _ids(root.ids)
    stop_ids = _ids(parameters.stop_token_ids or ())
    while True:
        (rows,) = yield Score([root])
        logits = rows[-1]
        context = Context(prompt, _ids(root.ids[len(prompt) :]), stop_ids)
        token = choose(chain(logits, context))
        root.append(token)
        yield Say(token, *standing(logits, token))


def _ids(ids: Sequence[int]) -> Ids:
    return np.array(ids, dtype=np.int64)
