"""A text's tokens, gathered into words, with the merges that made each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pellucid.errors import TextError, UnsupportedError
from pellucid.tokens.library import Encoded, Library
from pellucid.tokens.merges import Merge, Rank, Split, merge_steps, merged
from pellucid.tokens.spelling import SPACE, Spelling, shown

# Plain BPE looks at each pair of neighbours for each merge, and a trace holds all it saw.
MAX_WORD = 1_000
# Of all words and their steps together: some 280,000 characters of English, 3 s and 150 MB.
MAX_PIECES = 1 << 20


def splits_of(
    text: str, found: Encoded, library: Library, spelling: Spelling, rank: Rank
) -> list[Split]:
    """A `Split` for each word that `found`, the encoding of `text`, consists of."""
    splits: list[Split] = []
    pieces = 0
    for word in _words(found, library):
        split = _split(text, found, word, library, spelling, rank)
        pieces += len(split.pieces) + sum(len(step.pieces) for step in split.steps)
        if pieces > MAX_PIECES:
            raise TextError(
                f"the merges of a text of {len(text):,} characters are too many to be shown: they "
                f"go beyond {MAX_PIECES:,} pieces at character {split.start:,}; show a shorter "
                "text, or leave the merges out"
            )
        splits.append(split)
    return splits


def _words(found: Encoded, library: Library) -> Iterator[slice]:
    """Runs of tokens that can be told apart.

    Cutting at any boundary between tokens is safe: no merge went across it, so each side alone
    goes through the merges it went through in the whole. SentencePiece cuts no words, hence the
    cut before each SPACE.
    """
    start = 0
    for i in range(1, len(found.ids) + 1):
        if i == len(found.ids) or _begins_word(found, library, i):
            yield slice(start, i)
            start = i


def _begins_word(found: Encoded, library: Library, i: int) -> bool:
    before, here = found.ids[i - 1], found.ids[i]
    return (
        found.word_ids[i - 1] != found.word_ids[i]
        or before in library.added
        or here in library.added
        or (library.piece_of(here) or "").startswith(SPACE)
    )


def _split(
    text: str, found: Encoded, word: slice, library: Library, spelling: Spelling, rank: Rank
) -> Split:
    ids = tuple(found.ids[word])
    start, end = found.offsets[word.start][0], found.offsets[word.stop - 1][1]
    pieces = tuple(library.piece_of(i) or "" for i in ids)

    def show(pieces: Sequence[str]) -> tuple[str, ...]:
        if ids[0] in library.added or spelling.bytes_of is None:
            return tuple(pieces)
        return tuple(shown(spelling.bytes_of(piece)) for piece in pieces)

    steps = [] if ids[0] in library.added else _steps(pieces, library, spelling, rank)
    seen = tuple(Merge(show(step.pieces), step.at, step.rank) for step in steps)
    return Split(text[start:end], start, end, seen, show(pieces), ids)


def _steps(pieces: Sequence[str], library: Library, spelling: Spelling, rank: Rank) -> list[Merge]:
    """The merges from single characters to `pieces`; none if the word was looked up whole."""
    letters = [letter for piece in pieces for letter in _letters(piece, library, spelling)]
    if len(letters) > MAX_WORD:
        raise TextError(f"a word of {len(letters)} characters, at most {MAX_WORD} can be shown")
    steps = list(merge_steps(letters, rank))
    result = merged(steps[-1]) if steps else tuple(letters)
    if result == tuple(pieces):
        return steps
    if len(pieces) == 1:
        return []
    raise UnsupportedError(
        f"the tokenizer splits {''.join(pieces)!r} differently from its own merges, so they "
        "cannot be shown"
    )


def _letters(piece: str, library: Library, spelling: Spelling) -> list[str]:
    """What merging starts from: characters, or one byte of a character that has no piece."""
    is_byte = spelling.bytes_of is not None and len(spelling.bytes_of(piece)) == 1
    if is_byte and library.id_of(piece) is not None:
        return [piece]
    return list(piece)
