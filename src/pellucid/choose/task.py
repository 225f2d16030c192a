"""What a strategy is given: the prompt's branch, the parameters, and what they make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.chain import Chain
from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.tree import Tree
from pellucid.choose.vocabulary import Ids
from pellucid.tokens.guide import Guide
from pellucid.weights.tensor import Floats


class Vocabulary(Protocol):
    """What choosing may know of a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""

    @property
    def eos_ids(self) -> Collection[int]:
        """The tokens that end an answer."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """A text's ids."""

    def token_bytes(self, token_id: int) -> bytes:
        """What a token stands for."""

    @property
    def guide(self) -> Guide:
        """What a constraint has to know of the tokens; made once."""


@dataclass
class Drafts:
    """How many tokens were guessed for a line, and how many of these were said."""

    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class Task:
    """A prompt to be continued, and all that a strategy may use for it.

    `root` holds the prompt. The parameters are resolved (see their `resolve`). `ended` says
    whether an answer of these ids is over: at a stop token, a stop text, or its length; only for
    what a strategy keeps to itself, since the engine ends what is said. `new_branch` makes a
    branch of other ids, of the model that answers or (`draft=True`) of the one that drafts, whose
    context has `draft_context` tokens; None where there is none. `drafts` count guesses, by line.
    """

    root: Branch
    parameters: GenerationParameters
    ended: Callable[[Sequence[int]], bool]
    new_branch: Callable[..., Branch]
    vocabulary: Vocabulary | None = None
    tree: Tree = field(default_factory=Tree)
    draft_context: int | None = None
    drafts: dict[int, Drafts] = field(default_factory=dict)

    @cached_property
    def chain(self) -> Chain:
        """The filters that the parameters switch on."""
        return Chain(self.parameters)

    @cached_property
    def prompt_length(self) -> int:
        """How many ids the prompt has."""
        return len(self.root.ids)

    @cached_property
    def stop_ids(self) -> Ids:
        """The tokens that end the answer."""
        return np.array(self.parameters.stop_token_ids or (), np.int64)


@dataclass(frozen=True)
class Scored:
    """What the model says of a branch: the logits after its last ids, `[rows, vocab]` float32.

    The last row is what follows the whole branch. `beside` is the same of the branch's second
    stream, where guidance gave it one. `seen` are the rows of what was watched, by site: one for
    each id of the branch that was fed; `exits` the logits of early residuals, `[exits, vocab]`, of
    the last id.
    """

    logits: Floats
    beside: Floats | None = None
    seen: Mapping[str, Floats] = field(default_factory=dict)
    exits: Floats | None = None

    @property
    def streams(self) -> list[Floats]:
        """The logits of all streams, and of all exits."""
        return [rows for rows in (self.logits, self.beside, self.exits) if rows is not None]
