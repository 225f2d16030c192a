"""The door to the `tokenizers` library, which does the encoding; its failures become our errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from pellucid.errors import FormatError, PellucidError, TextError

if TYPE_CHECKING:
    import tokenizers

# Far above what exists (262,144 pieces), far below what would exhaust memory as rows of logits.
_MAX_VOCAB = 1 << 24


@contextmanager
def guarded(error: Callable[[str], PellucidError]) -> Iterator[None]:
    """Turn what the library raises into `error(reason)`; its panics too, which derive from
    BaseException, so that no `except Exception` catches them.
    """
    try:
        yield
    except PellucidError:
        raise
    except BaseException as fault:
        if not isinstance(fault, Exception) and type(fault).__name__ != "PanicException":
            raise
        reason = " ".join(str(fault).split())[:300] or type(fault).__name__
        raise error(reason) from None


@dataclass(frozen=True)
class Added:
    """A token that is matched in the text as a whole, before anything is split.

    Only `special` ones are left alone in text that a person typed. `strips_left` and
    `strips_right` take the whitespace beside it away too.
    """

    id: int
    text: str
    special: bool
    strips_left: bool = False
    strips_right: bool = False
    single_word: bool = False
    normalized: bool = False


class Encoded(Protocol):
    """What the library's Encoding and our `Spans` have in common."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def offsets(self) -> list[tuple[int, int]]: ...
    @property
    def word_ids(self) -> list[int | None]: ...


@dataclass
class Spans:
    """Ids with the characters they cover, and the number of the word each belongs to."""

    ids: list[int] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)
    word_ids: list[int | None] = field(default_factory=list)


class Library:
    """A tokenizer of the library, without its post-processor, truncation and padding.

    Made by `Library.build` from parts, or from a whole one read from tokenizer.json.
    """

    def __init__(
        self, path: str | Path, tokenizer: tokenizers.Tokenizer, pieces: int, growth: int = 1
    ) -> None:
        """`pieces`: one more than the highest id in the model's own vocabulary. `growth`: how
        many characters the normalizer can make of one.
        """
        self.growth = growth
        self._path = path
        self._tokenizer = tokenizer
        self._lock = Lock()
        with guarded(self._format_error):
            found = tokenizer.get_added_tokens_decoder()
        self.added = {i: Added(i, token.content, token.special) for i, token in found.items()}
        self._special = {i for i, token in self.added.items() if token.special}
        self.vocab_size = max([pieces, *(i + 1 for i in self.added)])
        if self.vocab_size > _MAX_VOCAB:
            reason = f"token id {self.vocab_size - 1}, but at most {_MAX_VOCAB} tokens are read"
            raise FormatError(path, "vocabulary", reason)

    @classmethod
    def build(
        cls,
        path: str | Path,
        model: Callable[[], Any],
        pieces: int,
        added: Sequence[Added],
        *,
        normalizers: Callable[[], list[Any]] = list,
        pre_tokenizers: Callable[[], list[Any]] = list,
        growth: int = 1,
    ) -> Library:
        """Put a tokenizer together from parts, which are made under guard: the library checks
        merges, patterns and tables when it makes them.
        """
        import tokenizers  # noqa: PLC0415  # lazy: 30 ms

        with guarded(lambda reason: FormatError(path, "vocabulary", reason)):
            tokenizer = tokenizers.Tokenizer(model())
            tokenizer.normalizer = tokenizers.normalizers.Sequence(normalizers())
            tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(pre_tokenizers())
            add_tokens(tokenizer, added)
        library = cls(path, tokenizer, pieces, growth)
        library.check_added(added)
        return library

    def check_added(self, added: Sequence[Added]) -> None:
        """Raise FormatError unless the added tokens have the ids that the file gives them.

        The library hands ids out by itself, in order, and says nothing where they differ.
        """
        for token in added:
            held = self.added.get(token.id)
            if held is None or held.text != token.text:
                got = self._tokenizer.token_to_id(token.text)
                reason = f"{token.text!r} cannot have id {token.id} in this vocabulary, but {got}"
                raise FormatError(self._path, "added tokens", reason)

    @property
    def model(self) -> Any:
        """The library's model: BPE, Unigram, WordPiece or WordLevel."""
        return self._tokenizer.model

    def id_of(self, piece: str) -> int | None:
        """The id of a piece or added token, as the vocabulary writes it."""
        found: int | None = self._tokenizer.token_to_id(piece)
        return found

    def piece_of(self, token_id: int) -> str | None:
        """A piece or added token as the vocabulary writes it; None where no token has this id."""
        if not 0 <= token_id < self.vocab_size:
            return None
        found: str | None = self._tokenizer.id_to_token(token_id)
        return found

    def encode(self, text: str, *, parse_special: bool) -> Encoded:
        """Ids and offsets of text that is known to be valid and short enough."""
        with self._lock, guarded(self._text_error):
            # The flag belongs to the tokenizer, not to the call: hence the lock.
            self._tokenizer.encode_special_tokens = not parse_special
            found: Encoded = self._tokenizer.encode(text, add_special_tokens=False)
            if parse_special or self._special.isdisjoint(found.ids):
                return found
            return self._without_special(text, found)

    def _without_special(self, text: str, found: Encoded) -> Encoded:
        """Write special tokens that the model itself found in plain text character by character.

        Unigram and WordLevel look up whatever the vocabulary holds, "<s>" too.
        """
        result = Spans()
        for i, (start, end), word in zip(found.ids, found.offsets, found.word_ids, strict=True):
            typed = i in self._special and self.added[i].text in text[start:end]
            ids = self._spelled(self.added[i].text) if typed else [i]
            result.ids += ids
            result.offsets += [(start, end)] * len(ids)
            result.word_ids += [word] * len(ids)
        return result

    def _spelled(self, text: str) -> list[int]:
        if len(text) == 1:
            raise TextError(f"{self._path}: {text!r} can only be written as a special token")
        return [token.id for letter in text for token in self.model.tokenize(letter)]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Text of ids by the file's own decoder."""
        with self._lock, guarded(self._text_error):
            text: str = self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
            return text

    def _format_error(self, reason: str) -> FormatError:
        return FormatError(self._path, "tokenizer", reason)

    def _text_error(self, reason: str) -> FormatError:
        return self._format_error(f"it failed on this text: {reason}")


def add_tokens(tokenizer: tokenizers.Tokenizer, added: Sequence[Added]) -> None:
    """Add in order of id, since the library gives new tokens the next free one."""
    import tokenizers  # noqa: PLC0415  # lazy: 30 ms

    ordered = sorted(added, key=lambda token: token.id)
    for special, group in _runs(ordered):
        tokens = [
            tokenizers.AddedToken(
                token.text,
                lstrip=token.strips_left,
                rstrip=token.strips_right,
                single_word=token.single_word,
                normalized=token.normalized,
            )
            for token in group
        ]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(tokens)


def _runs(added: Sequence[Added]) -> Iterator[tuple[bool, list[Added]]]:
    for special, group in groupby(added, key=lambda token: token.special):
        yield special, list(group)
