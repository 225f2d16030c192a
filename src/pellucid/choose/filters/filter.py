"""What a filter is, and what it may know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pellucid.choose.branch import Follower
from pellucid.choose.candidates import Candidates
from pellucid.choose.draw import Draws
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats


@dataclass(frozen=True)
class Context:
    """What a filter may know of the sequence whose next token is chosen.

    `beside` are the logits of the second stream, where guidance has one. `draws` gives random
    numbers to the filters that need them; None where nothing is drawn.
    """

    ids: Ids  # prompt and answer
    prompt_length: int
    stop_ids: Ids  # tokens that end the answer
    beside: Floats | None = None
    draws: Draws | None = None

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

    The first of these switches the filter on, when it acts. `apply` gets the candidates, the
    context, and these values. A filter that remembers has a `state`: made for each branch from the
    task and the same values, it goes along with the branch as its follower, and `apply` gets it
    before the values.
    """

    apply: Callable[..., Candidates]
    parameters: tuple[str, ...]
    state: Callable[..., Follower] | None = None

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.apply.__name__

    @property
    def doc(self) -> str:
        """The first line of what its function says about itself."""
        return (self.apply.__doc__ or "").partition("\n")[0]
