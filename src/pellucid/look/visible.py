r"""Text by strangers, shown so that nothing is hidden and nothing is obeyed.

A vocabulary and a model's answer can hold anything: escape sequences that repaint a terminal,
marks that reverse the reading order, characters that have no shape, halves of characters. What
cannot be shown itself is written as in Python: `\xe2` for a byte, `\u202e` for a character.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_LONGEST_PIECE = 64  # characters; longer tokens are runs of one character, or hostile

_SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "\\r"}

# Characters without a shape of their own: other, and separators. Marks join the letter before.
_SHAPELESS = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
_MARKS = frozenset({"Mc", "Me", "Mn"})

# Default_Ignorable_Code_Point (Unicode 15, DerivedCoreProperties.txt) in other categories, and the
# braille pattern without dots.
_SELECTORS = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_FILLERS = (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0)
_IGNORABLE = frozenset([*_SELECTORS, *_FILLERS, 0x2800])
# In running text these belong to the spelling of words and emoji.
_JOINERS = frozenset([0x200C, 0x200D, *_SELECTORS])


class Glyph(NamedTuple):
    """What to show, and whether it stands for something that cannot be shown itself."""

    text: str
    stands_in: bool


LINE_END = Glyph("↵", True)


def glyphs(piece: str | bytes) -> Iterator[Glyph]:
    r"""A token's text character by character; a byte that is no whole character is one by itself.

    >>> [glyph.text for glyph in glyphs(b" a\x1b\xe2")]
    ['␣', 'a', '\\x1b', '\\xe2']
    """
    text = piece.decode("utf-8", "surrogateescape") if isinstance(piece, bytes) else piece
    joins = False  # whether a combining mark would find a letter to join
    for i, character in enumerate(text):
        if i == _LONGEST_PIECE:
            yield Glyph(f"…+{len(text) - i:,}", True)
            return
        shown = _stand_in(character, isinstance(piece, bytes))
        if shown is None and not joins and unicodedata.category(character) in _MARKS:
            shown = f"◌{character}"
        yield Glyph(shown or character, shown is not None)
        joins = shown is None or shown[0] == "◌"


def visible(piece: str | bytes) -> str:
    r"""A token's text in which spaces, line ends and what has no shape can be seen.

    >>> visible(" caf\u0301e\n"), visible("\u202eabc"), visible("é".encode()[:1])
    ('␣caf́e↵', '\\u202eabc', '\\xc3')
    """
    return "".join(glyph.text for glyph in glyphs(piece))


def harmless(text: str) -> str:
    r"""Running text with its spaces and lines, in which all that a terminal would obey is shown.

    >>> harmless("a b\r\n\x1b[31m")
    'a b\n\\x1b[31m'
    """
    return "".join(
        character
        if character in " \n\t" or ord(character) in _JOINERS
        else _stand_in(character, False) or character
        for character in text.replace("\r\n", "\n")
    )


def _stand_in(character: str, from_bytes: bool) -> str | None:
    """What to show for a character without a shape; None where it has one."""
    if character in _SIGNS:
        return _SIGNS[character]
    code = ord(character)
    if from_bytes and 0xDC80 <= code <= 0xDCFF:  # surrogateescape's name for a lone byte
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) in _SHAPELESS or code in _IGNORABLE:
        return _escape(code)
    return None


def _escape(code: int) -> str:
    if code < 0x80:
        return f"\\x{code:02x}"  # from U+0080 on, that would look like a lone byte
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
