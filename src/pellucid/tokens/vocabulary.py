"""What others may ask of a tokenizer, whichever it is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from pellucid.tokens.guide import Guide


class Vocabulary(Protocol):
    """The tokens that a model chooses from, as choosing may know them."""

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
