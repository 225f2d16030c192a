"""Contrastive search: of the likeliest tokens, the one that is least like the text so far."""

from __future__ import annotations

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.ledger import Probs
from pellucid.choose.strategies.picker import Picker
from pellucid.choose.strategies.steps import Say, Score, Steps
from pellucid.choose.task import Scored, Task
from pellucid.choose.tree import log
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats

_STATES = "final_norm"
_ROWS = 256  # what the past has room for at first


def contrastive_search(task: Task) -> Steps:
    """Try `top_k` tokens each time, and keep the one with the best contrast.

    Su et al. 2022, arXiv:2202.06417, as transformers 4.55.4 does it. With weight alpha, a
    token's score is (1 - alpha) times its probability after all filters, less alpha times the
    greatest cosine between its final hidden state and one of the text so far. All candidates are
    computed in one pass, which also gives what follows the one that is taken. What a filter removed
    is no candidate, where transformers may fill up with it.
    """
    root = task.root
    root.cache.trim(0)  # the states of all positions are compared, and no cache holds them
    (scored,) = yield Score([root], watch=(_STATES,))
    search = _Search(task, Past(scored.seen[_STATES]))
    while True:
        steps = search.picker.steps(root, scored)
        tokens = steps[-1][1].leading(task.parameters.top_k or 0)
        tried = search.tried(tokens)
        answers = yield Score(tried, watch=(_STATES,))
        best, say = search.compare(steps, tokens, answers)
        if best:
            root.adopt(tried[best])
        if (yield say):
            return
        scored = answers[best]


class Past:
    """The directions of the hidden states of a text, `[positions, width]` float32."""

    def __init__(self, states: Floats) -> None:
        self._count = len(states)
        self._rows = np.empty((self._count + _ROWS, states.shape[1]), np.float32)
        self._rows[: self._count] = _directions(states)

    def append(self, states: Floats) -> None:
        """Add states `[n, width]`."""
        count = self._count + len(states)
        if count > len(self._rows):
            grown = np.empty((2 * count, self._rows.shape[1]), np.float32)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : count] = _directions(states)
        self._count = count

    def likeness(self, states: Floats) -> Floats:
        """The greatest cosine of each state with one of the text: `[n, width]` -> `[n]`.

        >>> Past(np.float32([[2, 0], [0, 3]])).likeness(np.float32([[1, 1], [0, -1]])).round(3)
        array([0.707, 0.   ], dtype=float32)
        """
        cosines = self._rows[: self._count] @ _directions(states).T  # [positions, n]
        greatest: Floats = cosines.max(axis=0)
        return greatest


class _Search:
    """What one search knows: its text's states, and where it is in the tree."""

    def __init__(self, task: Task, past: Past) -> None:
        self.task = task
        self.picker = Picker(task)
        self.past = past
        self.alpha = task.parameters.penalty_alpha or 0.0
        self.node = 0

    def tried(self, tokens: Ids) -> list[Branch]:
        """A branch for each token: the root itself for the first, and forks of it.

        A fork copies the page that it then writes to, so the likeliest has none to copy.
        """
        root = self.task.root
        branches = [root, *(root.fork() for _ in tokens[1:])]
        for branch, token in zip(branches, tokens.tolist(), strict=True):
            branch.append(token)
        return branches

    def compare(
        self, steps: list[tuple[str, Candidates]], tokens: Ids, answers: list[Scored]
    ) -> tuple[int, Say]:
        """The place of the best of the tokens, and what there is to say of it."""
        states = np.concatenate([answer.seen[_STATES] for answer in answers])  # [tokens, width]
        left = steps[-1][1]
        probs = left.probs_of(tokens)
        scores = (1 - self.alpha) * probs - self.alpha * self.past.likeness(states)
        best = int(scores.argmax())
        self.past.append(states[best : best + 1])
        self._record(tokens, steps[0][1].probs_of(tokens), scores, best)
        order = np.argsort(tokens)
        compared = Candidates(scores[order].astype(np.float32), tokens[order])
        token = int(tokens[best])
        say = self.picker.account([*steps, ("penalty_alpha", compared)], token)
        # The scores are no logits: the probability is the one that they were made of.
        return best, say._replace(processed_prob=left.prob(token))

    def _record(self, tokens: Ids, probs: Probs, scores: Probs, best: int) -> None:
        """A node of the tree for each candidate, with what the model itself gives it; the search
        goes on from the best.
        """
        tree, logprobs = self.task.tree, map(log, probs.tolist())
        tried = zip(tokens.tolist(), logprobs, scores.tolist(), strict=True)
        nodes = [tree.grow(self.node, *candidate, "pruned") for candidate in tried]
        self.node = nodes[best]
        tree.end(self.node, "said")


def _directions(states: Floats) -> Floats:
    """States at length 1; one of nothing but zeros is like no other."""
    lengths = np.linalg.norm(states, axis=1, keepdims=True)
    directions: Floats = states / np.maximum(lengths, np.finfo(np.float32).tiny)
    return directions
