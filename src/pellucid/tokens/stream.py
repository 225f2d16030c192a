"""Tokens to text as they come: whole characters only."""

from __future__ import annotations

import copy
from codecs import getincrementaldecoder
from typing import Protocol, Self

_CONTEXT = 16  # ids; no decoder of the tokenizers library looks farther back than a run of bytes
_PATIENCE = 16  # ids that may wait for those that make them whole; a character has four bytes


class Decoder(Protocol):
    """Takes one id at a time. All that `push` and `flush` return, joined, is what `decode` makes
    of all the ids; a character that is spread over several tokens comes with its last one.
    """

    def push(self, token_id: int) -> str:
        """The text that this token completes; often empty in the middle of a character."""

    def flush(self) -> str:
        """The rest, at the end: U+FFFD for a character that never became whole."""

    def fork(self) -> Self:
        """A second one at the same place, to go on from by itself."""


class ByteSource(Protocol):
    """What `ByteDecoder` needs of a tokenizer."""

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for."""

    def is_special(self, token_id: int) -> bool:
        """Whether the token steers the model instead of standing for text."""


class TextSource(Protocol):
    """What `TextDecoder` needs of a tokenizer."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """Text of ids."""


class ByteDecoder:
    """For vocabularies whose text is the tokens' bytes in a row."""

    def __init__(self, source: ByteSource, *, skip_special_tokens: bool, drop_space: bool) -> None:
        self._source = source
        self._skip = skip_special_tokens
        self._drop_space = drop_space  # the space that the encoder put before the text
        self._utf8 = getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        data = self._source.token_bytes(token_id)
        if self._skip and self._source.is_special(token_id):
            return ""
        if self._drop_space and data:
            self._drop_space = False
            data = data.removeprefix(b" ")
        return self._utf8.decode(data)

    def flush(self) -> str:
        return self._utf8.decode(b"", final=True)

    def fork(self) -> Self:
        twin = copy.copy(self)
        twin._utf8 = getincrementaldecoder("utf-8")("replace")
        twin._utf8.setstate(self._utf8.getstate())
        return twin


class TextDecoder:
    """For tokenizers whose text is more than that: decodes the last ids again with each token.

    What they make of an id depends on its neighbours, so a few that were given stay before it, from
    a place on where no character was open.
    """

    def __init__(self, source: TextSource, *, skip_special_tokens: bool) -> None:
        self._source = source
        self._skip = skip_special_tokens
        self._ids: list[int] = []
        self._given = ""  # of their text
        self._held = 0  # so many of them have come since no character was open
        self._cut = 0  # such a place, before which they can be forgotten

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        self._held += 1
        if self._held > _PATIENCE:
            return self._give_up()
        text = self._text(self._ids)
        whole = text.rstrip("\N{REPLACEMENT CHARACTER}")
        if not whole.startswith(self._given):
            return ""
        piece, self._given = whole[len(self._given) :], whole
        if whole == text:
            self._held = 0
            self._forget()
        return piece

    def flush(self) -> str:
        piece = self._give_up()
        self._ids, self._given, self._cut = [], "", 0
        return piece

    def _give_up(self) -> str:
        """What is held, whole or not; it is waited for no longer."""
        text = self._text(self._ids)
        known = text.startswith(self._given)
        piece = text[len(self._given) :] if known else self._text(self._ids[-self._held :])
        self._given, self._held = text, 0
        self._forget()
        return piece

    def fork(self) -> Self:
        twin = copy.copy(self)
        twin._ids = self._ids.copy()
        return twin

    def _forget(self) -> None:
        """Drop the ids before the last `_CONTEXT` or more; no character is open."""
        if len(self._ids) - self._cut < _CONTEXT:
            return
        if self._cut:
            del self._ids[: self._cut]
            self._given = self._text(self._ids)
        self._cut = len(self._ids)

    def _text(self, ids: list[int]) -> str:
        return self._source.decode(ids, skip_special_tokens=self._skip)
