"""Who guesses the next tokens: the text so far, or a model that costs less than the verifier."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, Self

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.draw import draw
from pellucid.choose.parameters.search import MOST_SEQUENCES
from pellucid.choose.parameters.speculation import DEFAULT_DRAFTED, DEFAULT_NGRAM
from pellucid.choose.strategies.picker import Picker
from pellucid.choose.strategies.steps import Score
from pellucid.choose.task import Scored, Task
from pellucid.choose.vocabulary import Ids
from pellucid.errors import ParameterError


@dataclass(frozen=True)
class Guess:
    """A drafted token, and the candidates it was drawn from; None where it was certain."""

    token: int
    candidates: Candidates | None = None

    @property
    def prob(self) -> float:
        """With which probability it was drafted."""
        return self.candidates.prob(self.token) if self.candidates else 1.0


Guesses = Generator[Score, list[Scored], list[Guess]]


class Drafter(Protocol):
    """Guesses for one line of an answer."""

    @property
    def branches(self) -> list[Branch]:
        """What it wants to be scored together with the prompt."""

    def fork(self, line: int) -> Self:
        """The same for another line that begins at the prompt."""

    def guess(self, branch: Branch, most: int) -> Guesses:
        """Ask for scores, and return at most `most` guesses of what follows a branch."""


def drafter(task: Task) -> Drafter:
    """The drafter that a task asks for."""
    return Lookup(task) if task.draft_context is None else ModelDrafter(task)


class Lookup:
    """Guesses that the text goes on as it did before (prompt lookup, Saxena 2023)."""

    def __init__(self, task: Task) -> None:
        parameters = task.parameters
        self._count = parameters.prompt_lookup_num_tokens or 0
        self._longest = parameters.max_matching_ngram_size or DEFAULT_NGRAM
        self._ends = set(parameters.stop_token_ids or ())

    @property
    def branches(self) -> list[Branch]:
        """None: a text is no model."""
        return []

    def fork(self, line: int) -> Self:
        """Itself, since it remembers nothing."""
        return self

    def guess(self, branch: Branch, most: int) -> Guesses:
        """What followed the last ids where they stood before."""
        yield from ()  # no score is needed
        guesses = []
        for token in looked_up(branch.array, self._longest, min(self._count, most)):
            guesses.append(Guess(token))
            if token in self._ends:
                break
        return guesses


def looked_up(ids: Ids, longest: int, count: int) -> list[int]:
    """`count` tokens that followed the last ids where they, or the end of them, stood before.

    The place is the latest of those where most of the last ids match, `longest` at most. Where it
    is so near the end that fewer tokens follow, the text is taken to repeat from there on. Empty if
    the last id is new.

    >>> ids = np.array([7, 1, 2, 5, 0, 1, 2, 8, 9, 7, 1, 2])
    >>> looked_up(ids, 2, 3), looked_up(ids, 3, 3)
    ([8, 9, 7], [5, 0, 1])
    """
    ends = np.flatnonzero(ids[:-1] == ids[-1])  # where the last id stood
    for back in range(1, min(longest, len(ids))):
        longer = ends[ends >= back]
        longer = longer[ids[longer - back] == ids[-1 - back]]
        if not len(longer):
            break
        ends = longer
    if not len(ends):
        return []
    found: list[int] = ids[ends[-1] + 1 :].tolist()
    return [found[place % len(found)] for place in range(count)]


class ModelDrafter:
    """Guesses with a model that costs less, through the same filters.

    The draws are a stream of their own: a guess must not depend on the number that judges it.
    """

    def __init__(self, task: Task) -> None:
        branch = task.new_branch(task.root.ids, draft=True)
        branch.followers = {name: one.fork() for name, one in task.root.followers.items()}
        task.chain.compare(branch, replace(task, new_branch=partial(task.new_branch, draft=True)))
        self._task = task
        self._begin(branch, 0)

    def _begin(self, branch: Branch, line: int) -> None:
        self._branch = branch
        self._picker = Picker(self._task, MOST_SEQUENCES + line)
        self._said = len(branch.ids)  # so many ids are the answer's, not guesses

    @property
    def branches(self) -> list[Branch]:
        """The drafting model's own."""
        return [self._branch]

    def fork(self, line: int) -> Self:
        """The same past, and other draws."""
        twin = type(self).__new__(type(self))
        twin._task = self._task
        twin._begin(self._branch.fork(), line)
        return twin

    def guess(self, branch: Branch, most: int) -> Guesses:
        """What the model takes or draws, until it is unsure or its context is full."""
        parameters, room = self._task.parameters, (self._task.draft_context or 0) + 1
        held = max(len(ids) for ids in _streams(branch))
        most = min(most, parameters.num_assistant_tokens or DEFAULT_DRAFTED, room - held)
        self._catch_up(branch.ids)
        guesses: list[Guess] = []
        while len(guesses) < most:
            (scored,) = yield Score([self._branch])
            guess = self._choose(scored)
            if guess is None:
                break
            guesses.append(guess)
            self._branch.append(guess.token)
            if guess.token in self._task.stop_ids:
                break
        return guesses

    def _choose(self, scored: Scored) -> Guess | None:
        """The next guess, or None where none is worth to be checked.

        That is decided before a token is drawn: to drop a token for what it is would change the
        distribution of those that stay.
        """
        try:
            candidates = self._picker.steps(self._branch, scored)[-1][1]
        except ParameterError:  # nothing is left here; whether to complain is up to the verifier
            return None
        confidence = 1 / candidates.total  # the softmax of the highest score
        if confidence < (self._task.parameters.assistant_confidence_threshold or 0):
            return None
        draws = self._picker.draws
        token = draw(candidates, draws.uniform()) if draws else candidates.likeliest
        return Guess(token, candidates)

    def _catch_up(self, ids: list[int]) -> None:
        """Let the own branch have these ids: what was rejected goes, what was said comes."""
        own, place = self._branch.ids, self._said
        while place < min(len(own), len(ids) - 1) and own[place] == ids[place]:
            place += 1
        self._branch.drop(len(own) - place)
        for token in ids[place:]:
            self._branch.append(token)
        self._said = len(ids)


def _streams(branch: Branch) -> list[list[int]]:
    """The ids of a branch, and of the second stream beside it."""
    return [branch.ids, *([branch.beside.ids] if branch.beside else [])]
