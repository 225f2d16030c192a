"""A group of beams: sequences that grow side by side, of which each step keeps the best few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import NothingLeftError
from pellucid.choose.draw import Draws, draw
from pellucid.choose.strategies.hypotheses import Hypotheses, Said
from pellucid.choose.strategies.picker import Picker
from pellucid.choose.strategies.steps import Begin, Say, Score, Steps
from pellucid.choose.task import Ending, Scored, Task
from pellucid.choose.tree import Fate, log

Weighed = list[tuple[str, Candidates]]


@dataclass(eq=False)
class Beam:
    """A sequence that is followed; `said` are its tokens, as they were chosen.

    `total` is the sum of its log-probabilities after all filters, `logprob` that of its last token.
    The branch is its parent's until `grow` gives it one of its own with that token, and so is the
    ending until `Search.stops` asks for the token's.
    """

    branch: Branch
    ending: Ending
    said: Said | None = None
    total: float = 0.0
    node: int = 0
    token: int = -1
    logprob: float = 0.0
    parent: Beam | None = None


class Search:
    """What all beams of a task share: its filters and draws, its tree, what is said of a token."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.picker = Picker(task)
        self.width = task.parameters.num_beams or 1
        self.nothing_left: NothingLeftError | None = None
        ends = len(task.stop_ids)
        self.choices = max(2, 1 + ends)  # for each beam: enough are left if all ends are among them

    def weigh(self, beam: Beam, scored: Scored) -> Weighed | None:
        """The log-probabilities after a beam, then what each filter leaves of them.

        None, and the beam is forbidden, if that is nothing. The filters of a search work on
        log-probabilities and nothing makes their sum 1 again, as in transformers.
        """
        own = scored.logits[-1] - np.float32(scored.own[-1].logsumexp)
        try:
            return self.picker.steps(beam.branch, Scored(own[np.newaxis], scored.beside))
        except NothingLeftError as error:
            self.nothing_left = error
            self.task.tree.end(beam.node, "forbidden")
            return None

    def children(self, left: Mapping[Beam, Candidates], count: int) -> list[Beam]:
        """The `count` best continuations of all beams, best first; or as many draws, in order."""
        if self.picker.draws:
            return drawn(left, count, self.picker.draws)
        return best(left, count)

    def record(
        self, children: Iterable[Beam], weighed: Mapping[Beam, Weighed], fate: Fate | None
    ) -> None:
        """Give each a node of the tree, with what the model itself gives its token."""
        for child in children:
            assert child.parent
            own = weighed[child.parent][0][1]
            logprob = log(own.prob(child.token))
            child.node = self.task.tree.grow(
                child.parent.node, child.token, logprob, child.total, fate
            )

    def stops(self, child: Beam) -> bool:
        """Whether a child ends its sequence by itself, not by its length."""
        child.ending = child.ending.fork()
        return child.ending.push(child.token) == "stop"

    def say(self, found: Sequence[Hypotheses]) -> Iterator[Begin | Say]:
        """Say the best of what all groups found, best first, of equals the last."""
        kept = [one for hypotheses in found for one in hypotheses.kept]
        if not kept and self.nothing_left:
            raise self.nothing_left
        ranked = sorted(kept, key=lambda one: one.score)[::-1]
        for line, one in enumerate(ranked[: self.task.parameters.num_return_sequences or 1]):
            yield Begin(line, one.score)
            for node in self.task.tree.way(one.node):
                self.task.tree.end(node, "said")
            for say in one.says:
                yield say._replace(line=line)


class Group:
    """Beams that compete with each other, and what they have finished.

    A step as in transformers' BeamSearchScorer: of the best continuations, ends among the first
    `width` are finished; the best `width` others grow on.
    """

    def __init__(self, search: Search, width: int) -> None:
        self.search = search
        self.width = width
        self.beams = [Beam(search.task.root, search.task.ending())]
        self.finished = Hypotheses(search.task.parameters, width)
        self.length = 0

    @property
    def full(self) -> bool:
        """Whether the greatest length is reached."""
        return self.length == self.search.task.parameters.max_new_tokens

    def advance(self, answers: Mapping[Branch, Scored]) -> None:
        """One token more; none of the beams is left when the group is over."""
        if not self.beams:
            return
        search = self.search
        steps = {beam: search.weigh(beam, answers[beam.branch]) for beam in self.beams}
        weighed = {beam: of_beam for beam, of_beam in steps.items() if of_beam}
        left = {beam: of_beam[-1][1] for beam, of_beam in weighed.items()}
        children = search.children(left, search.choices * self.width)
        self.length += 1
        stopping = {child for child in children if self.stops(child)}
        ended = [child for child in children[: self.width] if child in stopping]
        ended = [child for child in ended if self.may_end(child)]
        others = sorted((c for c in children if c not in stopping), key=lambda c: -c.total)
        running, pruned = self.select(others, left)
        pruned += [child for child in children if child in stopping and child not in ended]
        search.record(ended, weighed, "finished")
        search.record(running, weighed, None)
        search.record(pruned, weighed, "pruned")
        for child in (*ended, *running):
            assert child.parent
            say = search.picker.account(weighed[child.parent], child.token)
            child.said = Said(say, child.said)
        for child in ended:
            self.finished.add(child.total, self.length, child.node, child.said)
        self._leave({child.parent for child in (*ended, *running)}, left)
        self.beams = running
        self._close(children)

    def stops(self, child: Beam) -> bool:
        """Whether a child can only finish."""
        return self.search.stops(child)

    def may_end(self, child: Beam) -> bool:
        """Whether what ends here may be returned."""
        return True

    def select(
        self, others: list[Beam], left: Mapping[Beam, Candidates]
    ) -> tuple[list[Beam], list[Beam]]:
        """Of the continuations that do not end, best first: which grow on, and which do not."""
        return others[: self.width], others[self.width :]

    def hope(self, children: Sequence[Beam]) -> float:
        """The sum of what may still become better than what is finished."""
        return children[0].total

    def at_length(self) -> None:
        """Finish what grows when the greatest length is reached."""
        for beam in self.beams:
            self.finish(beam)

    def finish(self, beam: Beam) -> None:
        """Finish one of the beams as it is."""
        self.search.task.tree.end(beam.node, "finished")
        self.finished.add(beam.total, self.length, beam.node, beam.said)

    def _leave(self, kept: set[Beam | None], left: Mapping[Beam, Candidates]) -> None:
        """Say of the beams that nothing follows that they were pruned."""
        for beam in left:
            if beam not in kept:
                self.search.task.tree.end(beam.node, "pruned")

    def _close(self, children: Sequence[Beam]) -> None:
        """End if nothing better can come, or nothing more."""
        if self.beams and self.finished.settled(self.hope(children), self.length):
            for beam in self.beams:
                self.search.task.tree.end(beam.node, "pruned")
        elif self.full:
            self.at_length()
        else:
            return
        self.beams = []


def search_groups(search: Search, groups: Sequence[Group]) -> Steps:
    """Advance all groups together until all are over; then say the best."""
    while beams := [beam for group in groups for beam in group.beams]:
        branches = list(dict.fromkeys(beam.branch for beam in beams))  # all begin with the root
        answers = yield Score(branches)
        scored = dict(zip(branches, answers, strict=True))
        for group in groups:
            group.advance(scored)
        grow(beam for group in groups for beam in group.beams)
    yield from search.say([group.finished for group in groups])


def grow(children: Iterable[Beam]) -> None:
    """Give each child a branch with its token: the first of a parent's has the parent's own.

    A fork copies the page that it then writes to, so a beam with one child must not fork.
    """
    heirs: dict[Branch, list[Beam]] = {}
    for child in children:
        heirs.setdefault(child.branch, []).append(child)
    for branch, of_branch in heirs.items():
        for child in of_branch[1:]:
            child.branch = branch.fork()
        for child in of_branch:
            child.branch.append(child.token)
            child.parent = None


def best(left: Mapping[Beam, Candidates], count: int) -> list[Beam]:
    """The continuations with the highest sums, highest first; of equals an earlier beam's."""
    beams = list(left)
    tokens = [of_beam.leading(count) for of_beam in left.values()]
    logprobs = [c.scores_of(ids) for c, ids in zip(left.values(), tokens, strict=True)]
    owners = np.repeat(np.arange(len(beams)), [len(ids) for ids in tokens])
    if not len(owners):
        return []
    every_token, every_logprob = np.concatenate(tokens), np.concatenate(logprobs)
    totals = every_logprob + np.array([beam.total for beam in beams])[owners]
    order = np.argsort(-totals, kind="stable")[:count]
    return [
        continued(beams[owners[i]], int(every_token[i]), float(every_logprob[i])) for i in order
    ]


def drawn(left: Mapping[Beam, Candidates], count: int, draws: Draws) -> list[Beam]:
    """Continuations drawn one after the other, none twice, each by the exponential of its sum.

    First whose, then which: equal to transformers' draws from the softmax over all beams' tokens.
    """
    beams, remaining = list(left), list(left.values())
    children: list[Beam] = []
    while len(children) < count:
        masses = [
            -np.inf if c.empty else beam.total + c.logsumexp
            for beam, c in zip(beams, remaining, strict=True)
        ]
        if max(masses, default=-np.inf) == -np.inf:
            break
        place = draw(Candidates(np.array(masses, np.float32)), draws.uniform())
        token = draw(remaining[place], draws.uniform())
        one = np.array([token])
        logprob = float(remaining[place].scores_of(one)[0])
        children.append(continued(beams[place], token, logprob))
        remaining[place] = remaining[place].without(one)
    return children


def continued(beam: Beam, token: int, logprob: float) -> Beam:
    """A beam with a token more, which has no node and no branch of its own yet."""
    return Beam(beam.branch, beam.ending, beam.said, beam.total + logprob, -1, token, logprob, beam)
