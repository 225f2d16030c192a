"""Tokens to text as they come: whole characters only."""

from __future__ import annotations

import copy
from codecs import getincrementaldecoder
from typing import Protocol, Self


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
    """For tokenizers whose text is more than that: decodes all the ids again with each token."""

    def __init__(self, source: TextSource, *, skip_special_tokens: bool) -> None:
        self._source = source
        self._skip = skip_special_tokens
        self._ids: list[int] = []
        self._given = ""

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        text = self._text()
        whole = text.rstrip("\N{REPLACEMENT CHARACTER}")
        if len(whole) <= len(self._given) or not whole.startswith(self._given):
            return ""
        return self._give(whole)

    def flush(self) -> str:
        return self._give(self._text())

    def fork(self) -> Self:
        twin = copy.copy(self)
        twin._ids = self._ids.copy()
        return twin

    def _text(self) -> str:
        return self._source.decode(self._ids, skip_special_tokens=self._skip)

    def _give(self, text: str) -> str:
        piece, self._given = text[len(self._given) :], text
        return piece
