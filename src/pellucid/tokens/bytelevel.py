"""Byte-level BPE from a vocabulary and its merges: GGUF's "gpt2" kind, vocab.json + merges.txt.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid.errors import FormatError
from pellucid.tokens.library import Added, Library
from pellucid.tokens.pretokenizers import Pre

Pair = tuple[str, str]


def library_of(
    path: str | Path,
    vocab: Mapping[str, int],
    merges: Sequence[Pair],
    added: Sequence[Added],
    pre: Pre,
) -> Library:
    """The tokenizer for ids by piece and merges, best first.

    Raises FormatError for merges whose parts or whole are not in the vocabulary.
    """

    def model() -> Any:
        from tokenizers import models  # noqa: PLC0415  # lazy: 30 ms

        return models.BPE(vocab=dict(vocab), merges=merges, ignore_merges=pre.whole_words)

    return Library.build(
        path,
        model,
        max(vocab.values(), default=-1) + 1,
        added,
        normalizers=pre.normalizers,
        pre_tokenizers=pre.pre_tokenizers,
    )


def pairs_of(lines: Iterable[str], path: str | Path) -> list[Pair]:
    """Merges as files write them, two pieces with a space between.

    >>> pairs_of(["Ġ t", "h e"], "")
    [('Ġ', 't'), ('h', 'e')]
    """
    pairs: list[Any] = [tuple(line.split(" ")) for line in lines]
    for number, pair in enumerate(pairs):
        if len(pair) != 2 or not all(pair):
            line = " ".join(pair)
            raise FormatError(path, f"merge {number}", f"is not two pieces: {line[:80]!r}")
    return pairs


def vocab_of(value: Mapping[str, Any], path: str | Path) -> dict[str, int]:
    """The object of a vocab.json, whose ids must be whole numbers that come once each."""
    if not value:
        raise FormatError(path, "vocabulary", "is empty")
    owner: dict[int, str] = {}
    for piece, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 31:
            raise FormatError(path, f"{piece!r:.60}", f"{number!r:.40} is no token id")
        if (before := owner.setdefault(number, piece)) != piece:
            raise FormatError(path, "vocabulary", f"id {number} is both {before!r} and {piece!r}")
    return dict(value)


def merges_of(data: bytes, path: str | Path) -> list[Pair]:
    """The lines of a merges.txt, best first; the first line can name a version."""
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"byte {error.start}", "not UTF-8") from None
    first = 1 if lines[0].startswith("#version") else 0
    return pairs_of((line.rstrip("\r") for line in lines[first:] if line.rstrip("\r")), path)
