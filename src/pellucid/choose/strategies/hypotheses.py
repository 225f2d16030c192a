"""The finished sequences of a search: the best few, by a score that their length enters."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies.steps import Say


@dataclass(frozen=True)
class Said:
    """The last token of a sequence, and those before it, which others may share.

    So the ledgers of a sequence that nobody follows any more are freed.
    """

    say: Say
    before: Said | None = None


@dataclass(frozen=True)
class Hypothesis:
    """A finished sequence: what it is ranked by, where in the tree it ends, and its tokens."""

    score: float
    node: int
    said: Said | None

    @property
    def says(self) -> list[Say]:
        """Its tokens, the first one first."""
        says, last = [], self.said
        while last:
            says.append(last.say)
            last = last.before
        return says[::-1]


class Hypotheses:
    """The best `room` finished sequences of one group of beams.

    A score is the sum of log-probabilities divided by the number of new tokens, the stop token
    included, to the power of `length_penalty`: as in transformers' BeamHypotheses.
    """

    def __init__(self, parameters: GenerationParameters, room: int) -> None:
        assert parameters.max_new_tokens
        self.room = room
        self.kept: list[Hypothesis] = []
        given = parameters.length_penalty
        self._power = 1.0 if given is None else given
        self._early = parameters.early_stopping or False
        self._longest = parameters.max_new_tokens

    def add(self, total: float, tokens: int, node: int, said: Said | None) -> None:
        """Keep a sequence if it is among the best; of equals, those that came first."""
        new = Hypothesis(self._score(total, tokens), node, said)
        if len(self.kept) == self.room:
            worst = min(self.kept, key=_score_of)
            if new.score <= worst.score:
                return
            self.kept.remove(worst)
        self.kept.append(new)

    def settled(self, total: float, tokens: int) -> bool:
        """Whether the search may stop, when the best that still grows has come to this sum.

        `early_stopping` True: as soon as enough are finished. False: when that best one would not
        be better if it ended now. "never": when it would not be better at the greatest length.
        """
        if len(self.kept) < self.room:
            return False
        if self._early is True:
            return True
        if self._early == "never" and self._power > 0:
            tokens = self._longest
        return min(map(_score_of, self.kept)) >= self._score(total, tokens)

    def _score(self, total: float, tokens: int) -> float:
        return float(total / tokens**self._power)


def _score_of(hypothesis: Hypothesis) -> float:
    return hypothesis.score
