"""What a strategy is given, and what the model says to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, Self

from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import Chain
from pellucid.choose.setting import Setting
from pellucid.choose.tree import Tree
from pellucid.weights.tensor import Floats


class Ending(Protocol):
    """Follows an answer token by token."""

    def push(self, token: int) -> Literal["stop", "length"] | None:
        """Go on by a token: why the answer is over with it, if it is.

        "stop" is a stop token or a stop text.
        """

    def fork(self) -> Self:
        """A second one at the same place, to go on from by itself."""


@dataclass
class Drafts:
    """How many tokens were guessed for a line, and how many of these were said."""

    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class Task(Setting):
    """A setting, and what a strategy makes of it.

    `ending` makes what says whether an answer is over, at its start; only for what a strategy
    keeps to itself, since the engine ends what is said. The
    context of the model that drafts has `draft_context` tokens; None where there is none. `drafts`
    count guesses, by line.
    """

    ending: Callable[[], Ending]
    tree: Tree = field(default_factory=Tree)
    draft_context: int | None = None
    drafts: dict[int, Drafts] = field(default_factory=dict)

    @cached_property
    def chain(self) -> Chain:
        """The filters that the parameters switch on."""
        return Chain(self.parameters)


@dataclass
class Scored:
    """What the model says of a branch: the logits after its last ids, `[rows, vocab]` float32.

    The last row is what follows the whole branch. `beside` is the same of the branch's second
    stream, where guidance gave it one. `seen` are the rows of what was watched, by site: one for
    each id of the branch that was fed; `exits` the logits of early residuals, `[exits, vocab]`, of
    the last id. `own` are the model's candidates, of each row; made of the logits where the pass
    has not made them.
    """

    logits: Floats
    beside: Floats | None = None
    seen: Mapping[str, Floats] = field(default_factory=dict)
    exits: Floats | None = None
    own: Sequence[Candidates] = ()

    def __post_init__(self) -> None:
        self.own = self.own or list(map(Candidates, self.logits))

    @property
    def highest(self) -> list[float]:
        """The highest logit of each row of all streams, and of all exits; NaN where one is."""
        highest = [one.most for one in self.own]
        for rows in (self.beside, self.exits):
            if rows is not None:
                highest += rows.max(axis=-1).tolist()
        return highest
