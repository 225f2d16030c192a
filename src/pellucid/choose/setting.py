"""What a request sets once: all that a filter may know when a branch begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.vocabulary import Ids
from pellucid.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Setting:
    """A prompt, and how it is to be continued.

    `root` holds the prompt. The parameters are resolved (see their `resolve`). `new_branch` makes a
    branch of other ids, of the model that answers or (`draft=True`) of the one that drafts.
    """

    root: Branch
    parameters: GenerationParameters
    new_branch: Callable[..., Branch]
    vocabulary: Vocabulary | None

    @cached_property
    def prompt_length(self) -> int:
        """How many ids the prompt has."""
        return len(self.root.ids)

    @cached_property
    def stop_ids(self) -> Ids:
        """The tokens that end the answer."""
        return np.array(self.parameters.stop_token_ids or (), np.int64)
