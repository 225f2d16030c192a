"""Constrained beam search: phrases that must stand in the answer.

As transformers 4.55.4 does it, after Anderson et al. 2017 (arXiv:1612.00576) and the banks of Post
and Vilar 2018 (arXiv:1804.06609).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pellucid.choose.candidates import REMOVED, Candidates
from pellucid.choose.parameters.forced import Phrase, clash
from pellucid.choose.strategies.group import Beam, Group, Search, continued, search_groups
from pellucid.choose.strategies.phrases import Progress
from pellucid.choose.strategies.steps import Steps
from pellucid.choose.task import Task
from pellucid.errors import ParameterError


def constrained_beam_search(task: Task) -> Steps:
    """Beams that are led to the phrases: each step also tries the tokens that bring one on.

    The survivors are the best of each bank (so much of the phrases has come), then the second of
    each. What the prompt holds has come. Where fewer beams than are returned have all phrases when
    the length is reached, those that lack some may be returned too, by score.
    """
    search = Search(task)
    return search_groups(search, [_Led(search, search.width, forced_phrases(task))])


class _Led(Group):
    """One group whose beams know how far they have come."""

    def __init__(self, search: Search, width: int, phrases: Sequence[Phrase]) -> None:
        super().__init__(search, width)
        start = Progress(phrases)
        for token in search.task.root.ids:
            start.add(token)
        self.come = dict.fromkeys(self.beams, start)

    def may_end(self, child: Beam) -> bool:
        return self._after(child).complete

    def select(
        self, others: list[Beam], left: Mapping[Beam, Candidates]
    ) -> tuple[list[Beam], list[Beam]]:
        """The best `width`, and all that bring a phrase on, ranked within their banks."""
        plain = {child: self._after(child) for child in others[: self.width]}
        led = self._led({(child.parent, child.token) for child in plain}, left)
        ranked = _by_banks(plain | led) if led else list(plain)
        known = {(child.parent, child.token) for child in led}
        unled = [c for c in others[self.width :] if (c.parent, c.token) not in known]
        running = ranked[: self.width]
        self.come = {child: self._after(child) for child in running}
        return running, ranked[self.width :] + unled

    def at_length(self) -> None:
        ready = [beam for beam in self.beams if self.come[beam].complete]
        wanted = self.search.task.parameters.num_return_sequences or 1
        for beam in self.beams:
            if beam in ready or len(ready) < wanted:
                self.finish(beam)
            else:
                self.search.task.tree.end(beam.node, "pruned")

    def _after(self, child: Beam) -> Progress:
        assert child.parent
        come = self.come[child.parent].twin()
        come.add(child.token)
        return come

    def _led(
        self, known: set[tuple[Beam | None, int]], left: Mapping[Beam, Candidates]
    ) -> dict[Beam, Progress]:
        """The continuations that bring a phrase on, other than the known ones.

        Not those that a filter forbids: transformers keeps places for them.
        """
        led = {}
        for beam, candidates in left.items():
            start = self.come[beam].twin()
            for token in start.next_tokens:
                come = start.sharing()
                come.add(token)
                logprob = float(candidates.scores_of(np.array([token]))[0])
                child = continued(beam, token, logprob)
                if (beam, token) in known or logprob == REMOVED or self.stops(child):
                    continue
                known.add((beam, token))
                led[child] = come
        return led


def _by_banks(come: Mapping[Beam, Progress]) -> list[Beam]:
    """The best of each bank, the fullest bank first; then the second of each, and so on.

    Ranks count along runs of one bank in the order of 100 * bank + sum. Below -100 sums mix the
    banks; a run then ends early, as in transformers.
    """
    order = sorted(come, key=lambda child: -(100 * come[child].bank + child.total))
    ranks: dict[Beam, int] = {}
    before: Beam | None = None
    for child in order:
        same = before is not None and come[child].bank == come[before].bank
        ranks[child] = ranks[before] + 1 if before is not None and same else 0
        before = child
    return sorted(order, key=ranks.__getitem__)


def forced_phrases(task: Task) -> list[Phrase]:
    """What must stand in the answer, as tokens. Raises ParameterError."""
    parameters = task.parameters
    texts = [_spelled(task, text) for text in parameters.force_words or ()]
    phrases = [*(parameters.force_words_ids or ()), *texts]
    for token in (token for phrase in phrases for ids in phrase for token in ids):
        if token in task.stop_ids:
            raise ParameterError("force_words_ids", f"{token} ends the answer; leave it out")
    return phrases


def _spelled(task: Task, text: str) -> Phrase:
    """A text as it stands, or after a space: most tokenizers write a word with the space before.

    Only the shorter where one begins with the other.
    """
    if not task.vocabulary:
        raise ParameterError("force_words", "needs a tokenizer, and this engine has none")
    spellings = (text, f" {text}")
    ids = [task.vocabulary.encode(one, add_special_tokens=False) for one in spellings]
    phrase = tuple(dict.fromkeys(map(tuple, ids)))
    return (min(phrase, key=len),) if clash(phrase) else phrase
