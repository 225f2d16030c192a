"""One answer by hand: each token is picked or drawn, any can be taken back, all can be changed."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import count
from typing import Any

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.draw import Draws
from pellucid.choose.ledger import Ledger, account
from pellucid.choose.parameters import GenerationParameters, parameters
from pellucid.choose.parameters.values import Integer
from pellucid.choose.strategies import STRATEGIES, Say, Score, sample, strategy
from pellucid.choose.strategies.picker import Picker
from pellucid.choose.task import Scored, Task
from pellucid.engine.answer import Answer
from pellucid.engine.engine import Engine, Request, checked_ids
from pellucid.errors import ParameterError
from pellucid.model.probe import Edit

_KEPT = 64  # places whose logits are held: 1 MiB each at a vocabulary of 262,144


class Stepper:
    """An answer that grows as it is told, by the filters and draws of a generation.

    One that only samples says what a generation of the same parameters and seed says. `says` are
    the tokens so far, the last of which may be one that ends the answer. Nothing is computed twice:
    a token that is taken back is cut off the cache, and the logits of the last 64 places are held.
    `edits` change what the model computes of it.
    """

    def __init__(
        self,
        engine: Engine,
        prompt_ids: Sequence[int],
        *,
        edits: Sequence[Edit] = (),
        **given: Any,
    ) -> None:
        self.engine = engine
        self.prompt_ids = tuple(prompt_ids)
        self._edits = edits
        self.says: list[Say] = []
        self._lines = count(1)  # of draws, which all forks share
        self._line = 0
        self._seed: int | None = None
        self._draws: Draws | None = None
        self._given: dict[str, Any] = {}
        self._branch = engine.new_branch(edits=edits)
        self._scored: dict[int, Scored] = {}  # by the number of tokens before
        self._steps: list[tuple[str, Candidates]] | None = None
        self._take(given)

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens so far."""
        return tuple(say.token for say in self.says)

    @property
    def parameters(self) -> GenerationParameters:
        """The parameters, resolved."""
        return self._task.parameters

    @property
    def filtered(self) -> bool:
        """Whether there are filters between the model and the choice."""
        return bool(self._task.chain.filters)

    @property
    def over(self) -> bool:
        """Whether the answer has ended."""
        ending = self._task.ending()
        return any(ending.push(say.token) for say in self.says)

    def answer(self) -> Answer:
        """What is written so far."""
        written = self.engine.answer(self.parameters)
        for say in self.says:
            written.take(say)
        return written

    def candidates(self, size: int) -> Ledger:
        """The `size` leading candidates of the next token, through all filters, with the likeliest
        that is left as the token. Raises NothingLeftError where they leave none.
        """
        steps = self._next()
        return account(steps, steps[-1][1].likeliest, None, size)

    def sample(self) -> Say:
        """Choose the next token as a generation would: draw it, or take the likeliest."""
        self._check_open()
        return self._grow(self._picker.choose(self._next()))

    def pick(self, token: int) -> Say:
        """Say a token, whatever the filters would leave of it; a form alone is binding.

        Raises ParameterError for one that the form of the answer (`json_schema` ...) excludes.
        """
        self._check_open()
        (token,) = checked_ids("token", [token], self.engine.model.config.vocab_size)
        steps = self._next()
        form = dict(steps).get("constraint")
        if form and not form.prob(token):
            name = self.parameters.constraint or "token"
            raise ParameterError(name, f"does not allow token {token} here; unset it to pick that")
        say = self._picker.account(steps, token)
        ledger = say.ledger and replace(say.ledger, by_hand=True)
        return self._grow(say._replace(ledger=ledger))

    def back(self, steps: int = 1) -> None:
        """Take back the last tokens. Draws go on: what is drawn again may differ."""
        if not self.says:
            raise ParameterError("back", "there is no token to take back")
        steps = Integer(1, len(self.says)).check("back", steps)
        del self.says[-steps:]
        self._branch.drop(steps)
        self._scored = {at: kept for at, kept in self._scored.items() if at <= len(self.says)}
        self._steps = None

    def set(self, **given: Any) -> None:
        """Change parameters from here on; None takes one back.

        What a filter remembers of how earlier tokens were chosen begins anew. Raises
        ParameterError for what cannot be, and leaves all as it was.
        """
        self._take(self._given | given)

    def fork(self) -> Stepper:
        """A second one with the same past; it draws from a stream of its own, as the further
        answers of `num_return_sequences` do.
        """
        twin = copy(self)
        twin.says, twin._scored, twin._steps = self.says.copy(), self._scored.copy(), None
        twin._branch = self._branch.fork()
        twin._line = next(self._lines)
        twin._picker = Picker(self._task, twin._line)
        twin._draws = twin._picker.draws
        return twin

    def _take(self, given: dict[str, Any]) -> None:
        """Go on with these parameters from where it is."""
        asked = parameters(**given)
        seed = None if "seed" in given and given["seed"] is None else self._seed
        _check_single(asked)
        if asked.sampling and asked.seed is None:
            asked = replace(asked, seed=seed)
        # the seed is kept apart: it waits while nothing is drawn
        given = {name: value for name, value in asked.given().items() if name != "seed"}
        task = self.engine.task(Request(self.prompt_ids, asked, edits=self._edits))
        self._check_still_open(task, given)
        branch = self._rebuilt(task)
        if branch.beside or self._branch.beside:
            self._scored = {}  # the second stream is asked too, or another one
        picker = Picker(task, self._line)
        if self._draws and picker.draws and self._seed == task.parameters.seed:
            picker.draws = self._draws
        self._given, self._task, self._branch, self._picker = given, task, branch, picker
        self._draws = picker.draws or self._draws
        self._seed = task.parameters.seed if picker.draws else self._seed
        self._steps = None

    def _rebuilt(self, task: Task) -> Branch:
        """The branch as it is, with what the filters of this task make of it."""
        root, length = task.root, task.prompt_length  # which the task counts when first asked
        assert length == len(self.prompt_ids)
        for say in self.says:
            root.append(say.token)
        root.cache = self._branch.cache
        return root

    def _check_still_open(self, task: Task, given: dict[str, Any]) -> None:
        """Refuse parameters by which the answer would have ended before its last token."""
        ending = task.ending()
        if any(ending.push(say.token) for say in self.says[:-1]):
            changed = ", ".join(name for name in given if given[name] != self._given.get(name))
            raise ParameterError(changed, "the answer would have ended before here; go back first")

    def _check_open(self) -> None:
        if self.over:
            reason = "the answer has ended; go back, or change what ended it"
            raise ParameterError("token", reason)

    def _grow(self, say: Say) -> Say:
        self._branch.append(say.token)
        self.says.append(say)
        self._steps = None
        return say

    def _next(self) -> list[tuple[str, Candidates]]:
        """The model's own candidates of the next token, then what each filter leaves of them."""
        if self._steps is None:
            self._steps = self._picker.steps(self._branch, self._scores())
        return self._steps

    def _scores(self) -> Scored:
        """What the model says here; held if it was asked before."""
        place = len(self.says)
        if place not in self._scored:
            self._branch.settle()  # the last token is fed again, where the logits are not held
            (self._scored[place],) = self.engine.score(Score([self._branch]))
            for farthest in list(self._scored)[:-_KEPT]:
                del self._scored[farthest]
        return self._scored[place]


def _check_single(given: GenerationParameters) -> None:
    """Refuse what looks farther than one token, or asks for several answers."""
    if (given.num_return_sequences or 1) > 1:
        raise ParameterError("num_return_sequences", "has no effect step by step; fork instead")
    if strategy(given) is not sample:
        name = next(name for name in STRATEGIES if given.acts(name))
        raise ParameterError(name, "has no effect step by step, where one token follows another")
