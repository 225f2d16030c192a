"""What may be chosen: tokens and their scores, the whole vocabulary at first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.choose import vocabulary
from pellucid.choose.vocabulary import Ids, Survey
from pellucid.weights.tensor import Floats

REMOVED = np.float32(-np.inf)

_FEW = 4  # when a fourth of the tokens or fewer are left, the others are dropped


class Candidates:
    """Tokens and their scores; nothing here is ever changed in place.

    `ids` rise, and say whose the scores are; None stands for the whole vocabulary, token i at
    place i. A token that was removed has minus infinity, or is not here any more: which of the two
    is a matter of speed alone. At a vocabulary of 262,144 each pass over it costs 20 to 70 us, so
    one `survey` serves all that is asked, what changes a few scores goes on from it, and what works
    on the few that a filter left is nearly free.

    >>> some = Candidates(np.float32([3, 1, 2, 0])).keep(np.array([0, 2]))
    >>> some.dense(4).tolist(), some.probs_of(np.array([0, 1])).round(4).tolist()
    ([3.0, -inf, 2.0, -inf], [0.7311, 0.0])
    """

    def __init__(self, scores: Floats | Survey, ids: Ids | None = None, found: Any = None) -> None:
        self.ids = ids
        self._found = found  # of a survey, if the model's pass has looked at the scores already
        # Whichever is given, the other is made of it when it is asked for.
        self._survey: Survey | None = None
        self._scores: Floats | None = None
        if isinstance(scores, Survey):
            self._survey = scores
        else:
            self._scores = scores

    @property
    def survey(self) -> Survey:
        """What a pass over the scores finds."""
        if self._survey is None:
            assert self._scores is not None
            self._survey = vocabulary.survey(self._scores, self._found)
        return self._survey

    @property
    def scores(self) -> Floats:
        """Those of `ids`. Where a few were changed, the others are copied when this is asked."""
        if self._scores is None:
            self._scores = self.survey.dense()
        return self._scores

    def rescored(self, scores: Floats) -> Candidates:
        """The same tokens with other scores."""
        return Candidates(scores, self.ids)

    def changed(self, places: Ids, scores: Floats) -> Candidates:
        """The same tokens, those at a few places with other scores."""
        return Candidates(self.survey.changed(places, scores), self.ids)

    def divided(self, value: float) -> Candidates:
        """The same tokens, the scores divided by a number above 0."""
        return Candidates(self.survey.divided(value), self.ids)

    def keep(self, places: Ids) -> Candidates:
        """Those at these places, which rise."""
        scores = self.survey.at(places)
        if len(places) * _FEW <= self.survey.size:
            return Candidates(scores, self.tokens(places))
        left = np.full(self.survey.size, REMOVED)
        left[places] = scores
        return self.rescored(left)

    def above(self, edge: float) -> Candidates:
        """Those whose score reaches the edge."""
        places = self.survey.at_least(edge)
        if len(places) * _FEW <= self.survey.size:
            return self.keep(places)
        return self.rescored(vocabulary.keep(self.scores, self.scores, edge))

    def reaching(self, keys: Floats, edge: float) -> Candidates:
        """Those whose key reaches the edge, of keys `[len(scores)]`."""
        places = vocabulary.at_least(keys, edge)
        if len(places) * _FEW <= len(keys):
            return self.keep(places)
        return self.rescored(vocabulary.keep(self.scores, keys, edge))

    def where(self, kept: npt.NDArray[np.bool_]) -> Candidates:
        """Those where `kept` is true."""
        if np.count_nonzero(kept) * _FEW <= len(kept):
            return self.keep(np.flatnonzero(kept))
        return self.rescored(np.where(kept, self.scores, REMOVED))

    def without(self, tokens: Ids) -> Candidates:
        """All but these tokens."""
        places = self.places(tokens)
        return self.changed(places, np.full(len(places), REMOVED))

    def places(self, tokens: Ids) -> Ids:
        """Where these tokens are; those that are not here are left out."""
        return self.find(tokens)[1]

    @property
    def alive(self) -> Ids:
        """The ids of the tokens that are left; rising."""
        if self.ids is not None and self.count == len(self.ids):
            return self.ids
        return self.tokens(np.flatnonzero(self.scores > REMOVED))

    def find(self, tokens: Ids) -> tuple[npt.NDArray[np.bool_], Ids]:
        """Which of these tokens are here, and where these are."""
        if self.ids is None:
            here = tokens < self.survey.size
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

    @property
    def empty(self) -> bool:
        """Whether no token is left."""
        return self.survey.most == REMOVED

    @property
    def logsumexp(self) -> float:
        """What a score is less to be a log-probability."""
        return self.survey.logsumexp()

    @property
    def count(self) -> int:
        """How many tokens are left."""
        return self.survey.left

    def probs(self) -> npt.NDArray[np.float64]:
        """The probability of each of `scores`."""
        return np.exp(self.scores.astype(np.float64) - self.logsumexp)

    def scores_of(self, tokens: Ids) -> Floats:
        """The scores of these tokens; minus infinity for one that is not left."""
        if self.ids is None:
            return self.survey.at(tokens)
        here, places = self.find(tokens)
        scores = np.full(len(tokens), REMOVED)
        scores[here] = self.survey.at(places)
        return scores

    def probs_of(self, tokens: Ids) -> npt.NDArray[np.float64]:
        """The probabilities of these tokens."""
        return np.exp(self.scores_of(tokens).astype(np.float64) - self.logsumexp)

    def prob(self, token: int) -> float:
        """The probability of one token."""
        place = self._place(token)
        return 0.0 if place is None else self.survey.prob(place)

    def rank(self, token: int) -> int:
        """Its place among all, from 1; equals share the better, a removed one has 0."""
        place = self._place(token)
        return 0 if place is None else self.survey.rank(place)

    @property
    def likeliest(self) -> int:
        """The id of the highest score; of equals the lowest."""
        return self.token(self.survey.likeliest())

    def leading(self, count: int) -> Ids:
        """The ids of the highest scores, highest first; among equals the lower id first."""
        return self.tokens(self.survey.leading(count))

    def _place(self, token: int) -> int | None:
        if self.ids is None:
            return token
        place = int(self.ids.searchsorted(token))
        return place if place < len(self.ids) and self.ids[place] == token else None

    def dense(self, vocab_size: int) -> Floats:
        """The scores of the whole vocabulary, `[vocab]`."""
        if self.ids is None:
            return self.scores
        scores = np.full(vocab_size, REMOVED)
        scores[self.ids] = self.scores
        return scores
