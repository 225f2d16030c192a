"""How pieces of a vocabulary spell bytes: by GPT-2's letters, SentencePiece's marks, or plainly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece writes a space as this

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def byte_letters() -> dict[str, int]:
    """GPT-2's letter for each byte: itself where it can be seen, else one from U+0100 onwards.

    Source: bytes_to_unicode in OpenAI's gpt-2, encoder.py (2019); every byte-level BPE since
    writes its vocabulary with these.

    >>> letters = byte_letters()
    >>> len(letters), letters["A"], letters["Ġ"], letters["Ċ"]
    (256, 65, 32, 10)
    """
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in seen}
    hidden = (byte for byte in range(0x100) if chr(byte) not in letters)
    return letters | {chr(0x100 + i): byte for i, byte in enumerate(hidden)}


def byte_level(piece: str) -> bytes:
    r"""The bytes of a piece of a byte-level vocabulary.

    A piece with other letters can only have been added by hand, and means itself.

    >>> byte_level("Ġcaf"), byte_level("Ã©")
    (b' caf', b'\xc3\xa9')
    """
    letters = byte_letters()
    try:
        return bytes([letters[letter] for letter in piece])
    except KeyError:
        return piece.encode()


def sentencepiece(piece: str) -> bytes:
    r"""The bytes of a piece of a SentencePiece vocabulary.

    >>> sentencepiece("▁the"), sentencepiece("<0x0A>")
    (b' the', b'\n')
    """
    byte = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode()


def shown(data: bytes) -> str:
    r"""Bytes as text that hides nothing: what is not a whole character is written as `\xe2`.

    >>> shown("é".encode()), shown("é".encode()[:1])
    ('é', '\\xc3')
    """
    return data.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Spelling:
    """How pieces become text. `bytes_of` is None where text is more than the pieces' bytes in a
    row (WordPiece puts spaces between words): then the tokenizers library decodes.

    `leading_space`: the encoder puts a space before the text, so decoding takes one away.
    """

    bytes_of: Callable[[str], bytes] | None
    leading_space: bool = False


BYTE_LEVEL = Spelling(byte_level)
