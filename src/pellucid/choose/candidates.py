"""What may be chosen: tokens and their scores, the whole vocabulary at first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pellucid.choose import vocabulary
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats

REMOVED = np.float32(-np.inf)

_FEW = 4  # when a fourth of the tokens or fewer are left, the others are dropped


@dataclass(frozen=True)
class Candidates:
    """Tokens and their scores; nothing here is ever changed in place.

    `ids` rise, and say whose the scores are; None stands for the whole vocabulary, token i at
    place i. A token that was removed has minus infinity, or is not here any more: which of the two
    is a matter of speed alone. At a vocabulary of 262,144 each pass over it costs 30 to 100 us, so
    what works on the few that a filter left is nearly free.

    >>> some = Candidates(np.float32([3, 1, 2, 0])).keep(np.array([0, 2]))
    >>> some.dense(4).tolist(), some.probs_of(np.array([0, 1])).round(4).tolist()
    ([3.0, -inf, 2.0, -inf], [0.7311, 0.0])
    """

    scores: Floats
    ids: Ids | None = None

    def rescored(self, scores: Floats) -> Candidates:
        """The same tokens with other scores."""
        return Candidates(scores, self.ids)

    def keep(self, places: Ids) -> Candidates:
        """Those at these places, which rise."""
        if len(places) * _FEW <= len(self.scores):
            ids = places if self.ids is None else self.ids[places]
            return Candidates(self.scores[places], ids)
        left = np.full_like(self.scores, REMOVED)
        left[places] = self.scores[places]
        return self.rescored(left)

    def reaching(self, keys: Floats, edge: float) -> Candidates:
        """Those whose key reaches the edge, of keys `[len(scores)]`."""
        places = vocabulary.at_least(keys, edge)
        if len(places) * _FEW <= len(self.scores):
            return self.keep(places)
        return self.rescored(vocabulary.keep(self.scores, keys, edge))

    def where(self, kept: npt.NDArray[np.bool_]) -> Candidates:
        """Those where `kept` is true."""
        if np.count_nonzero(kept) * _FEW <= len(kept):
            return self.keep(np.flatnonzero(kept))
        return self.rescored(np.where(kept, self.scores, REMOVED))

    def without(self, tokens: Ids) -> Candidates:
        """All but these tokens."""
        left = self.scores.copy()
        left[self.places(tokens)] = REMOVED
        return self.rescored(left)

    def only(self, tokens: Ids) -> Candidates:
        """None but these tokens."""
        return self.keep(np.unique(self.places(tokens)))

    def places(self, tokens: Ids) -> Ids:
        """Where these tokens are; those that are not here are left out."""
        return self.find(tokens)[1]

    def find(self, tokens: Ids) -> tuple[npt.NDArray[np.bool_], Ids]:
        """Which of these tokens are here, and where these are."""
        if self.ids is None:
            here = tokens < len(self.scores)
            return here, tokens[here]
        near = np.minimum(np.searchsorted(self.ids, tokens), len(self.ids) - 1)
        here = self.ids[near] == tokens
        return here, near[here]

    def token(self, place: int) -> int:
        """The id of the token at a place."""
        return place if self.ids is None else int(self.ids[place])

    def tokens(self, places: Ids) -> Ids:
        """The ids of the tokens at some places."""
        return places if self.ids is None else self.ids[places]

    @cached_property
    def weight(self) -> tuple[float, float]:
        """The highest score, and the sum of exp(score - highest)."""
        return vocabulary.weigh(self.scores)

    @property
    def empty(self) -> bool:
        """Whether no token is left."""
        return not len(self.scores) or self.weight[0] == REMOVED

    @property
    def logsumexp(self) -> float:
        """What a score is less to be a log-probability."""
        most, total = self.weight
        return most + math.log(total)

    @property
    def count(self) -> int:
        """How many tokens are left."""
        return int(np.count_nonzero(self.scores > REMOVED))

    def probs(self) -> npt.NDArray[np.float64]:
        """The probability of each of `scores`."""
        return np.exp(self.scores.astype(np.float64) - self.logsumexp)

    def scores_of(self, tokens: Ids) -> Floats:
        """The scores of these tokens; minus infinity for one that is not left."""
        here, places = self.find(tokens)
        scores = np.full(len(tokens), REMOVED)
        scores[here] = self.scores[places]
        return scores

    def probs_of(self, tokens: Ids) -> npt.NDArray[np.float64]:
        """The probabilities of these tokens."""
        return np.exp(self.scores_of(tokens).astype(np.float64) - self.logsumexp)

    def prob(self, token: int) -> float:
        """The probability of one token."""
        score = self._score(token)
        return math.exp(score - self.logsumexp) if score > REMOVED else 0.0

    def rank(self, token: int) -> int:
        """Its place among all, as in `vocabulary.ranks`."""
        score = self._score(token)
        return 1 + int(np.count_nonzero(self.scores > score)) if score > REMOVED else 0

    @property
    def likeliest(self) -> int:
        """The id of the highest score; of equals the lowest."""
        return self.token(int(self.scores.argmax()))

    def leading(self, count: int) -> Ids:
        """The ids of the highest scores, highest first; among equals the lower id first."""
        return self.tokens(vocabulary.leading(self.scores, count))

    def _score(self, token: int) -> float:
        if self.ids is None:
            return float(self.scores[token])
        place = int(self.ids.searchsorted(token))
        here = place < len(self.ids) and self.ids[place] == token
        return float(self.scores[place]) if here else float(REMOVED)

    def dense(self, vocab_size: int) -> Floats:
        """The scores of the whole vocabulary, `[vocab]`."""
        if self.ids is None:
            return self.scores
        scores = np.full(vocab_size, REMOVED)
        scores[self.ids] = self.scores
        return scores
