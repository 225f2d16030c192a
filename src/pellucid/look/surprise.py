"""How the model was surprised by each token of a run, and what it expected instead."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pellucid.look import found
from pellucid.look.figure import Figure, labels
from pellucid.look.numbers import finite
from pellucid.look.score import ScoredToken, ScoreView, bits_of
from pellucid.trace.trace import Trace

_NAMED = 5  # tokens that were expected: in JSON and in the drawing


class SurpriseView(ScoreView):
    """The tokens of a run with their log-probabilities and ranks, and what was likelier.

    The trace has the reading "next" with this `top`; raises ParameterError where it has not.
    """

    more = ("#rank", "expected")

    def __init__(self, trace: Trace, top: int) -> None:
        told = found.arrays(trace, "next", {"top": top})
        self._trace = trace
        self._ids = told["top_ids"][:-1, :_NAMED]  # [tokens - 1, top]: before each but the first
        self._probs = np.exp(told["top_logprobs"][:-1, :_NAMED])
        self._ranks = told["ranks"][:-1]
        self._entropy = told["entropy"][:-1]
        logprobs = [None, *map(float, told["logprobs"][:-1])]
        super().__init__(
            [
                ScoredToken(i, found.text(trace, i), logprob, trace.bytes_of(i))
                for i, logprob in zip(trace.ids, logprobs, strict=True)
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """`tokens[] {id, text, logprob, rank, entropy, expected[] {id, text, prob}}, logprob,
        perplexity`; the entropy is in nats, that of the distribution which the token came from.
        """
        told = super().to_dict()
        first: dict[str, Any] = {"rank": None, "entropy": None, "expected": []}
        more = [first, *map(self._told, range(len(self._ids)))]
        tokens = [one | besides for one, besides in zip(told["tokens"], more, strict=True)]
        return told | {"tokens": tokens}

    def _told(self, before: int) -> dict[str, Any]:
        expected = [
            {"id": token, "text": found.text(self._trace, token), "prob": prob}
            for token, prob in zip(
                self._ids[before].tolist(), self._probs[before].tolist(), strict=True
            )
        ]
        return {
            "rank": int(self._ranks[before]),
            "entropy": finite(float(self._entropy[before])),
            "expected": expected,
        }

    def _more(self, at: int) -> tuple[str | bytes, ...]:
        if not at:
            return "", ""
        likeliest = int(self._ids[at - 1, 0])
        hit = likeliest == self.tokens[at].id
        return str(self._ranks[at - 1]), "" if hit else self._trace.bytes_of(likeliest)

    def figure(self) -> Figure:
        """The text, tinted; what was expected instead of each token."""
        bits = [bits_of(token.logprob) for token in self.tokens]  # of the first none
        words = np.unique(self._ids)
        return Figure(
            "surprise",
            "What surprised the model",
            "The deeper the colour, the less likely the token was. Look at names, new topics and"
            " typing errors; point at a token to see what was expected instead.",
            {
                "tokens": labels(self._trace.pieces),
                "bits": np.array(bits, np.float32),
                "ranks": np.array([0, *self._ranks], np.int32),
                "entropy": np.array([0, *self._entropy / math.log(2)], np.float32),
                "words": labels(map(self._trace.bytes_of, words.tolist())),
                "expected": np.searchsorted(words, self._ids).astype(np.int32),
                "shares": self._probs.astype(np.float32),
                "perplexity": finite(self.perplexity),
            },
        )
