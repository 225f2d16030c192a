"""What a filter is, and what it may know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pellucid.choose.branch import Branch, Follower
from pellucid.choose.candidates import Candidates
from pellucid.choose.draw import Draws
from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats


class Context(NamedTuple):
    """What a filter may know of the sequence whose next token is chosen.

    `beside` are the logits of the second stream, where guidance has one. `draws` gives random
    numbers to the filters that need them; None where nothing is drawn. `vocab_size` counts all
    tokens, those that are no candidates any more included.
    """

    ids: Ids  # prompt and answer
    prompt_length: int
    stop_ids: Ids  # tokens that end the answer
    beside: Floats | None = None
    draws: Draws | None = None
    vocab_size: int = 0

    @property
    def prompt(self) -> Ids:
        """The tokens given."""
        return self.ids[: self.prompt_length]

    @property
    def output(self) -> Ids:
        """The tokens chosen since."""
        return self.ids[self.prompt_length :]


@dataclass(frozen=True)
class Filter:
    """A row of the table: a function, and the parameters whose values it takes.

    The first of these switches the filter on when it acts, or any of the `switches` where these are
    given. `apply` gets the candidates, the context, and these values, the neutral one of what is
    not given. A filter that remembers has a `state`: made for each branch from the task and the
    same values, it goes along with the branch as its follower, and `apply` gets it before the
    values. One that compares with a second stream makes it by `beside`, likewise. `prepare` turns
    the values into what all of these get, once for all choices.
    """

    apply: Callable[..., Candidates]
    parameters: tuple[str, ...]
    state: Callable[..., Follower] | None = None
    beside: Callable[..., Branch] | None = None
    prepare: Callable[..., tuple[Any, ...]] | None = None
    switches: tuple[str, ...] = ()

    def switch(self, parameters: GenerationParameters) -> str | None:
        """Which of these parameters switches it on; None where it does not act."""
        return next(filter(parameters.acts, self.switches or self.parameters[:1]), None)

    def values(self, parameters: GenerationParameters) -> tuple[Any, ...]:
        """What `apply` gets for these parameters."""
        given = tuple(map(parameters.value, self.parameters))
        return self.prepare(*given) if self.prepare else given

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.apply.__name__

    @property
    def doc(self) -> str:
        """The first line of what its function says about itself."""
        return (self.apply.__doc__ or "").partition("\n")[0]
