"""Text to tokens and back: one interface, whatever kind of file the vocabulary comes from."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pellucid.errors import TextError, UnsupportedError
from pellucid.tokens.guide import Guide
from pellucid.tokens.library import Encoded, Library, Spans
from pellucid.tokens.merges import Rank, Split
from pellucid.tokens.spelling import Spelling, byte_letters, byte_level
from pellucid.tokens.stream import ByteDecoder, Decoder, TextDecoder
from pellucid.tokens.words import splits_of

# Encoding takes about half a second and 100 MB for each million characters.
MAX_CHARACTERS = 1 << 24


@dataclass(frozen=True)
class Token:
    """A token of a text.

    `start` and `end` are characters of the given text: a token that holds part of a character
    covers that character, and one that was put around the text covers none. `text` shows part
    of a character as U+FFFD; `bytes` is what the token really stands for.
    """

    id: int
    text: str
    bytes: bytes
    start: int
    end: int
    special: bool

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, a contract: `{id, text, bytes: [0 to 255, ...], start, end, special}`.

        >>> Token(262, " the", b" the", 3, 7, False).to_dict()["bytes"]
        [32, 116, 104, 101]
        """
        return {
            "id": self.id,
            "text": self.text,
            "bytes": list(self.bytes),
            "start": self.start,
            "end": self.end,
            "special": self.special,
        }


@dataclass(frozen=True)
class SpecialIds:
    """The tokens with a role, as the model's files say; `eos_ids` are all that end a text."""

    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int | None = None
    unk_id: int | None = None
    eos_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer; `pellucid.tokens.load.load_tokenizer` makes one from a model's files.

    `prefix` and `suffix` are the ids that `add_special_tokens` puts around a text.
    """

    library: Library = field(repr=False)
    spelling: Spelling = field(repr=False)
    special: SpecialIds
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    ranks: Callable[[], Rank] | None = field(default=None, repr=False)

    @property
    def vocab_size(self) -> int:
        """One more than the highest id; the model's output can have more rows."""
        return self.library.vocab_size

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, if there is one."""
        return self.special.bos_id

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text, if there is one."""
        return self.special.eos_id

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every token that ends a text or a turn: generation stops at any of them."""
        return self.special.eos_ids

    @property
    def pad_id(self) -> int | None:
        """The token that fills up batches, if there is one."""
        return self.special.pad_id

    @property
    def unk_id(self) -> int | None:
        """The token for what the vocabulary cannot spell, if there is one."""
        return self.special.unk_id

    @property
    def special_texts(self) -> list[str]:
        """The texts of the tokens that steer the model, such as "<|im_end|>"."""
        return [added.text for added in self.library.added.values() if added.special]

    @property
    def is_bpe(self) -> bool:
        """Whether `split` can show how words were merged."""
        return self.ranks is not None

    def encode(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[int]:
        """The ids of a text.

        Special-token text ("<|im_end|>") is plain text unless `parse_special`; what a person
        typed must not steer the model. A byte that the vocabulary has no piece for is left out,
        as transformers and llama.cpp do: see `missing_bytes`.

        Raises TextError for lone surrogates and for more than `MAX_CHARACTERS`.
        """
        ids = self._encode(text, parse_special=parse_special).ids
        return [*self.prefix, *ids, *self.suffix] if add_special_tokens else ids

    def tokens(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[Token]:
        """The same tokens as `encode` gives, each with its text, bytes and place."""
        found = self._encode(text, parse_special=parse_special)
        placed = list(zip(found.ids, _covered(text, found.offsets), strict=True))
        if add_special_tokens:
            before = [(i, (0, 0)) for i in self.prefix]
            after = [(i, (len(text), len(text))) for i in self.suffix]
            placed = [*before, *placed, *after]
        return [
            Token(i, self.token_text(i), self.token_bytes(i), start, end, self.is_special(i))
            for i, (start, end) in placed
        ]

    def decode(
        self, ids: Sequence[int], *, skip_special_tokens: bool = False, continues: bool = False
    ) -> str:
        """The text of ids; bytes that are not UTF-8 become U+FFFD.

        `continues`: the ids follow others, so a space at their beginning is kept even if the
        encoder puts one before each text (Llama 2).

        Raises TextError for an id that no token has.
        """
        if self.spelling.bytes_of is None:
            for i in ids:
                self._piece(i)
            return self.library.decode(ids, skip_special_tokens=skip_special_tokens)
        stream = self.stream(skip_special_tokens=skip_special_tokens, continues=continues)
        return "".join([*map(stream.push, ids), stream.flush()])

    def stream(self, *, skip_special_tokens: bool = False, continues: bool = True) -> Decoder:
        """A decoder for ids that come one by one, as `decode` with the same arguments; that they
        continue a prompt is the rule here.
        """
        if self.spelling.bytes_of is None:
            return TextDecoder(self, skip_special_tokens=skip_special_tokens)
        drop_space = self.spelling.leading_space and not continues
        return ByteDecoder(self, skip_special_tokens=skip_special_tokens, drop_space=drop_space)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; not always whole characters.

        Raises TextError for an id that no token has.
        """
        piece, bytes_of = self._piece(token_id), self.spelling.bytes_of
        # Byte-level files write added tokens as they are, SentencePiece's like all others.
        is_plain = bytes_of is byte_level and token_id in self.library.added
        return piece.encode() if bytes_of is None or is_plain else bytes_of(piece)

    def token_text(self, token_id: int) -> str:
        """A token's bytes as text, with U+FFFD for part of a character."""
        return self.token_bytes(token_id).decode("utf-8", "replace")

    def is_special(self, token_id: int) -> bool:
        """Whether the token steers the model (BOS, turn marks) instead of standing for text."""
        added = self.library.added.get(token_id)
        return added is not None and added.special

    @cached_property
    def missing_bytes(self) -> frozenset[int]:
        """Bytes that `encode` leaves out, since a byte-level vocabulary has no piece for them.

        SmolLM2 lacks 21 of the 256: 13 that are in no UTF-8 text, and 8 that are in a few
        control characters and in characters from U+40000 on.
        """
        if self.spelling.bytes_of is not byte_level:
            return frozenset()
        letters = byte_letters().items()
        return frozenset(byte for letter, byte in letters if self.library.id_of(letter) is None)

    @cached_property
    def guide(self) -> Guide:
        """What a grammar has to know of the tokens, to tell which of them may follow."""
        return Guide(self)

    def split(self, text: str, *, parse_special: bool = False) -> list[Split]:
        """How each word of the text was split, merge by merge, by our own plain BPE, whose
        pieces have been compared with the tokenizer's.

        Raises UnsupportedError for tokenizers that do not merge (Unigram, WordPiece), TextError
        for a word of more than 1,000 characters, and for more steps than `MAX_PIECES` holds.
        """
        if self._rank is None:
            raise UnsupportedError("this tokenizer does not work by merges, so none can be shown")
        found = self._encode(text, parse_special=parse_special)
        spans = Spans(found.ids, list(_covered(text, found.offsets)), found.word_ids)
        return splits_of(text, spans, self.library, self.spelling, self._rank)

    @cached_property
    def _rank(self) -> Rank | None:
        return self.ranks() if self.ranks else None

    def _encode(self, text: str, *, parse_special: bool) -> Encoded:
        most = MAX_CHARACTERS // self.library.growth
        if len(text) > most:
            raise TextError(
                f"the text has {len(text)} characters, at most {most} are tokenized at once; "
                "split it, for instance at line ends"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            found = f"character {error.start} (U+{ord(text[error.start]):04X})"
            raise TextError(
                f"{found} is half of a surrogate pair, which is no character; read the text as "
                "UTF-8, or replace it"
            ) from None
        return self.library.encode(text, parse_special=parse_special)

    def _piece(self, token_id: int) -> str:
        piece = self.library.piece_of(token_id)
        if piece is None:
            raise TextError(f"no token has id {token_id}: ids are 0 to {self.vocab_size - 1}")
        return piece


def _covered(text: str, spans: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """The spans, with characters that NFC joined to the one before them.

    The library says that the token of a composed "e" + U+0301 covers the "e" alone.
    """
    if unicodedata.is_normalized("NFC", text):
        return spans
    starts = [*(start for start, _ in spans[1:]), len(text)]
    joined = {
        end: start
        for (_, end), start in zip(spans, starts, strict=True)
        if start > end > 0 and _composes(text[end - 1], text[end:start])
    }
    return [(start, joined.get(end, end)) for start, end in spans]


def _composes(first: str, rest: str) -> bool:
    """Whether NFC makes one of a character and those behind it.

    >>> _composes("e", "\N{COMBINING ACUTE ACCENT}"), _composes("e", "x")
    (True, False)
    """
    apart = unicodedata.normalize("NFC", first) + unicodedata.normalize("NFC", rest)
    return unicodedata.normalize("NFC", first + rest) != apart
