"""Tokens as a person names them: by id, or by the text that they stand for."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from pellucid.choose.parameters.values import shown, whole
from pellucid.errors import ParameterError, TextError


class Tokens(Protocol):
    """What is asked of a tokenizer; `pellucid.tokens.tokenizer.Tokenizer` is one."""

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """A text's ids."""

    def token_bytes(self, token_id: int) -> bytes:
        """What a token stands for; TextError for an id that no token has."""


class Lexicon:
    """Tokens to bytes, and texts in the middle of an answer to tokens."""

    def __init__(self, tokenizer: Tokens) -> None:
        self._tokenizer = tokenizer

    def bytes_of(self, token: int) -> bytes:
        """A token's bytes; none for a row of a model's output that no token has."""
        with suppress(TextError):
            return self._tokenizer.token_bytes(token)
        return b""

    def ids(self, token: object) -> list[int]:
        """The token that has this text or id; of a text that no token has, the tokens.

        Raises ParameterError for what is neither, and for a text that no tokens make.
        """
        if isinstance(token, str):
            return self._spelled(token)
        number = whole(token)
        if number is None:
            raise ParameterError("token", f"must be a text or a token id, not {shown(token)}")
        return [number]

    def _spelled(self, text: str) -> list[int]:
        if not text:
            raise ParameterError("token", "is an empty text")
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise ParameterError("token", "has a lone surrogate, which no token has") from None
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        if b"".join(map(self.bytes_of, ids)) == data:
            return ids
        # Llama 2's tokenizer puts a space before each text, which one in the middle must not have
        for one in range(self._tokenizer.vocab_size):
            if self.bytes_of(one) == data:
                return [one]
        raise ParameterError("token", f"no tokens make just the text {shown(text)}")
