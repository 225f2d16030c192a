"""What a model expected after a token of a run, and what a temperature and top-p make of it."""

from __future__ import annotations

import math

import numpy as np

from pellucid.look import found
from pellucid.look.figure import Figure, labels
from pellucid.look.next import Candidate, NextView
from pellucid.trace.readings.next import TEMPERATURES
from pellucid.trace.trace import Trace


class ExpectedView(NextView):
    """The likeliest tokens after a position of a run; as a figure, after any.

    The trace has the reading "next" with this `top`; raises ParameterError where it has not.
    """

    def __init__(self, trace: Trace, position: int, top: int) -> None:
        self._told = found.arrays(trace, "next", {"top": top})
        self._trace, self.position = trace, position
        total = float(self._told["totals"][position])
        ids, logprobs = (self._told[name][position] for name in ("top_ids", "top_logprobs"))
        candidates = [
            Candidate(
                token,
                found.text(trace, token),
                logprob + total,
                math.exp(logprob),
                rank,
                trace.bytes_of(token),
            )
            for rank, (token, logprob) in enumerate(
                zip(ids.tolist(), logprobs.tolist(), strict=True), 1
            )
        ]
        super().__init__(candidates, vocab_size=trace.config.vocab_size)

    def figure(self) -> Figure:
        """The table, with a temperature and a top-p to play with."""
        ids = self._told["top_ids"]
        words = np.unique(ids)
        following = np.array([*self._trace.ids[1:], -1])[:, None]
        return Figure(
            "next",
            "What may come next",
            "A low temperature sharpens the choice, a high one evens it out; top-p cuts the tail"
            " off. Watch how many tokens are still in the draw, and what share the others had.",
            {
                "tokens": labels(self._trace.pieces),
                "position": self.position,
                "words": labels(map(self._trace.bytes_of, words.tolist())),
                "top": np.searchsorted(words, ids).astype(np.int32),
                "logprobs": self._told["top_logprobs"],
                "actual": np.where((ids == following).any(1), (ids == following).argmax(1), -1)
                .astype(np.int32),
                "temperatures": list(TEMPERATURES),
                "tempered": self._told["tempered"],
                "vocabulary": self._trace.config.vocab_size,
            },
        )  # fmt: skip
