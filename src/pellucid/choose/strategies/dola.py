"""DoLa: what the last layer says more than an early one does."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from pellucid.choose import vocabulary
from pellucid.choose.candidates import Candidates
from pellucid.choose.strategies.picker import Picker
from pellucid.choose.strategies.sampling import side_by_side
from pellucid.choose.strategies.steps import Score, Steps
from pellucid.choose.task import Scored, Task
from pellucid.weights.tensor import Floats

_BLOCK = 1 << 14  # tokens at a time, which stay in the cache: a fifth of the time of all at once
_RELATIVE_TOP = math.log(0.1)  # tokens less probable than this part of the likeliest are removed


def dola(task: Task) -> Steps:
    """Greedy or drawn as `sample` does, from a contrast between layers.

    Chuang et al. 2023, arXiv:2309.03883, as transformers 4.55.4 does it: the logits of an early
    layer are the output matrix's of its residual as it is, neither normed nor capped.
    """
    layers = task.parameters.dola_layers
    assert isinstance(layers, tuple)
    answers = task.parameters.num_return_sequences or 1
    return side_by_side(task, answers, _Contrasting, partial(Score, exits=layers))


class _Contrasting(Picker):
    """Chooses from the contrast instead of the model's own distribution."""

    def contrasted(self, own: Candidates, scored: Scored) -> list[tuple[str, Candidates]]:
        """The contrast with that early layer which differs most from the last."""
        early = scored.exits  # [exits, vocab]
        assert early is not None
        differs = [divergence(own.scores, one) for one in early] if len(early) > 1 else [0.0]
        return [("dola_layers", contrast(own, early[int(np.argmax(differs))]))]


def contrast(own: Candidates, early: Floats) -> Candidates:
    """How much more log-probability each token has than in early logits `[vocab]`.

    Tokens of less than a tenth of the greatest probability are removed.
    """
    near = own.above(own.most + _RELATIVE_TOP)
    before = early if near.ids is None else early[near.ids]
    gain = vocabulary.logsumexp(early) - own.logsumexp
    return near.rescored(near.scores - before + np.float32(gain))


def divergence(one: Floats, other: Floats) -> float:
    """The Jensen-Shannon divergence as DoLa measures it, in nats: of M from P and Q, halved.

    M is the mean of P and Q, the softmax of the two `[vocab]`. The divergences of M from each are
    meant, KL(M||P) and KL(M||Q), where the textbook has KL(P||M) and KL(Q||M).

    >>> p, q = np.log(np.float32([0.5, 0.5])), np.log(np.float32([0.9, 0.1]))
    >>> round(divergence(p, q), 4)
    0.118
    """
    shifts = [np.float32(vocabulary.logsumexp(logits)) for logits in (one, other)]
    starts = range(0, len(one), _BLOCK)
    blocks = ((logits[at : at + _BLOCK] for logits in (one, other)) for at in starts)
    return math.fsum(_divergence(*map(np.subtract, block, shifts)) for block in blocks)


def _divergence(p: Floats, q: Floats) -> float:
    """What some tokens add to it, by their log-probabilities in both."""
    # With d the difference of log-probabilities, log M - (log P + log Q) / 2 = log cosh(d / 2),
    # and M the greater of both times (1 + exp(-|d|)) / 2: two exponentials and a logarithm.
    apart = np.abs(p - q)
    half = (1 + np.exp(-apart)) / 2
    middle = np.exp(np.maximum(p, q)) * half
    return float(np.dot(middle, apart / 2 + np.log(half)))
