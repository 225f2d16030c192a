"""Vocabularies whose pieces have scores, as SentencePiece makes them: BPE and Unigram.

Kudo and Richardson 2018, "SentencePiece", arXiv:1808.06226. They come from a `.model` file or
from the fields of a GGUF file, which hold the same things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pellucid.errors import FormatError
from pellucid.tokens.library import Added, Library
from pellucid.tokens.pipeline import longest_replacement
from pellucid.tokens.spelling import SPACE

if TYPE_CHECKING:
    from pellucid.tokens.merges import Rank

# Kinds of pieces, numbered alike in sentencepiece_model.proto and in GGUF's token_type.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


@dataclass(frozen=True)
class Scored:
    """Pieces by id. User-defined ones hold spaces as spaces, the others as SPACE.

    `space_prefix`: a space is put before the text. `trims_spaces`: runs of spaces become one, and
    those at the ends go. `charsmap`: SentencePiece's compiled normalisation table, or nothing.
    """

    method: Literal["bpe", "unigram"]
    texts: list[str]
    scores: npt.NDArray[np.float32]
    types: npt.NDArray[np.integer[Any]]
    unk_id: int | None
    space_prefix: bool
    trims_spaces: bool = False
    charsmap: bytes = field(default=b"", repr=False)
    strips_right: frozenset[str] = frozenset()  # tokens that take the whitespace behind them away

    def added(self) -> list[Added]:
        """The pieces that are matched as a whole."""
        tokens = added_tokens(self.texts, self.types)
        return [replace(t, strips_right=t.text in self.strips_right) for t in tokens]


def library_of(path: str | Path, vocabulary: Scored, extra: Sequence[Added] = ()) -> Library:
    """The tokenizer for a vocabulary; `extra` are added tokens that other files of the model name,
    beyond the vocabulary or within it.

    Raises FormatError for a vocabulary that contradicts itself.
    """
    _check(path, vocabulary)
    growth = longest_replacement(vocabulary.charsmap, path, "normalizer")
    return Library.build(
        path,
        partial(_MODELS[vocabulary.method], vocabulary),
        len(vocabulary.texts),
        list({token.text: token for token in [*vocabulary.added(), *extra]}.values()),
        normalizers=lambda: _normalizers(vocabulary),
        growth=growth,
    )


def added_tokens(texts: Sequence[str], types: npt.NDArray[np.integer[Any]]) -> list[Added]:
    """The pieces that are matched as a whole: control and unknown ones are special."""
    ids = np.flatnonzero(np.isin(types, (UNKNOWN, CONTROL, USER_DEFINED)))
    return [Added(i, texts[i], special=bool(types[i] != USER_DEFINED)) for i in ids.tolist()]


def rank_of(vocabulary: Scored, library: Library) -> Rank:
    """Ranks of merges: SentencePiece joins the pair whose joined piece has the highest score."""
    mergeable = vocabulary.types == NORMAL

    def rank(left: str, right: str) -> tuple[float, int, int] | None:
        joined = library.id_of(left + right)
        if joined is None or joined >= len(mergeable) or not mergeable[joined]:
            return None
        return -float(vocabulary.scores[joined]), joined, len(left)  # as `merges_by_score` sorts

    return rank


def merges_by_score(texts: Sequence[str], scores: npt.NDArray[np.float32]) -> list[tuple[str, str]]:
    """Every way to join two pieces into a third, best score of the third first.

    The library wants merges, SentencePiece has scores only. Trying each cut of each piece in
    Python takes 1.1 s for Gemma's 255,474 pieces; here each part of a piece gets a 64-bit hash
    from the sums of a polynomial over its characters (Karp and Rabin 1987), all in one go, which
    takes 0.4 s. A wrong pair needs two strings with one hash: odds of 2e-8 for Gemma.

    >>> merges_by_score(["a", "b", "ab", "abb"], np.array([0, 0, -1, -2], np.float32))
    [('a', 'b'), ('ab', 'b')]
    """
    if not len(texts):
        return []
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    owner = np.repeat(np.arange(len(texts)), lengths)  # [characters] the piece each belongs to
    start = np.cumsum(lengths) - lengths
    place = np.arange(len(owner)) - start[owner]
    sums, unshift = _prefix_sums("".join(texts), place)
    whole = sums[start + lengths] - sums[start]
    order = np.argsort(whole)

    cuts = np.flatnonzero(place)  # before every character but a piece's first
    left, cuts = _find(whole, order, sums[cuts] - sums[start[owner[cuts]]], cuts)
    ends = (start + lengths)[owner[cuts]]
    hashes = (sums[ends] - sums[cuts]) * unshift[place[cuts]]
    right, kept = _find(whole, order, hashes, np.arange(len(cuts)))
    left, joined = left[kept], owner[cuts[kept]]

    best_first = np.argsort(-scores, kind="stable")
    position = np.empty(len(texts), np.int64)
    position[best_first] = np.arange(len(texts))
    by_score = np.argsort(position[joined], kind="stable")
    sides = (map(texts.__getitem__, side[by_score].tolist()) for side in (left, right))
    return list(zip(*sides, strict=True))


_Hashes = npt.NDArray[np.uint64]
_Ids = npt.NDArray[np.int64]


def _prefix_sums(text: str, place: _Ids) -> tuple[_Hashes, _Hashes]:
    """Sums of mixed characters times powers of an odd base, modulo 2^64, and the powers of the
    base's inverse, which move the hash of a part to where the hash of a whole piece stands.
    """
    base = 0x9E3779B97F4A7C15
    powers, inverse = (
        np.cumprod(np.array([1, *[b] * int(place.max(initial=0))], np.uint64), dtype=np.uint64)
        for b in (base, pow(base, -1, 1 << 64))
    )
    code = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    mixed = (code + np.uint64(1)) * np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    sums = np.zeros(len(code) + 1, np.uint64)
    np.cumsum(mixed * powers[place], dtype=np.uint64, out=sums[1:])
    return sums, inverse


def _find(whole: _Hashes, order: _Ids, hashes: _Hashes, tags: _Ids) -> tuple[_Ids, _Ids]:
    """For those of `hashes` that are some piece's: which piece, and the tag."""
    # Most are no piece's: a table of 2^22 marks drops them before the slow search.
    shift = np.uint64(42)
    marks = np.zeros(1 << 22, bool)
    marks[whole >> shift] = True
    maybe = marks[hashes >> shift]
    hashes, tags = hashes[maybe], tags[maybe]
    sorted_ = np.argsort(hashes)  # neighbours then look at the same memory: three times as fast
    hashes, tags = hashes[sorted_], tags[sorted_]
    keys = whole[order]
    at = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
    found = keys[at] == hashes
    back = np.argsort(tags[found])
    return order[at[found]][back], tags[found][back]


def _bpe(vocabulary: Scored) -> Any:
    from tokenizers import models  # noqa: PLC0415  # lazy: 30 ms

    texts, types = vocabulary.texts, vocabulary.types
    normal = np.flatnonzero(types == NORMAL)
    merges = merges_by_score([texts[i] for i in normal.tolist()], vocabulary.scores[normal])
    return models.BPE(
        vocab=dict(zip(texts, range(len(texts)), strict=True)),
        merges=merges,
        unk_token=None if vocabulary.unk_id is None else texts[vocabulary.unk_id],
        fuse_unk=True,
        byte_fallback=bool((types == BYTE).any()),
    )


def _unigram(vocabulary: Scored) -> Any:
    from tokenizers import models  # noqa: PLC0415  # lazy: 30 ms

    return models.Unigram(
        list(zip(vocabulary.texts, vocabulary.scores.tolist(), strict=True)),
        unk_id=vocabulary.unk_id,
        byte_fallback=bool((vocabulary.types == BYTE).any()),
    )


_MODELS = {"bpe": _bpe, "unigram": _unigram}


def _normalizers(vocabulary: Scored) -> list[Any]:
    """SentencePiece's own steps, in its order (normalizer.cc)."""
    from tokenizers import Regex, normalizers  # noqa: PLC0415  # lazy: 30 ms

    steps: list[Any] = []
    if vocabulary.charsmap:
        steps.append(normalizers.Precompiled(vocabulary.charsmap))
    if vocabulary.trims_spaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex("^ | $"), "")]
    if vocabulary.space_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return [*steps, normalizers.Replace(" ", SPACE)]


def _check(path: str | Path, vocabulary: Scored) -> None:
    texts = vocabulary.texts
    for name, values in (("scores", vocabulary.scores), ("types", vocabulary.types)):
        if len(values) != len(texts):
            raise FormatError(path, name, f"{len(values)} of them for {len(texts)} tokens")
    if not np.isfinite(vocabulary.scores).all():
        first = int(np.flatnonzero(~np.isfinite(vocabulary.scores))[0])
        raise FormatError(path, "scores", f"token {first} has {vocabulary.scores[first]}")
    check_distinct(path, texts)
    if vocabulary.unk_id is not None and not 0 <= vocabulary.unk_id < len(texts):
        reason = f"id {vocabulary.unk_id} is not among the {len(texts)} tokens"
        raise FormatError(path, "unknown token", reason)


def check_distinct(path: str | Path, texts: Sequence[str]) -> None:
    """Raise FormatError where two ids have the same text, or there is no token at all."""
    if not texts:
        raise FormatError(path, "tokens", "the vocabulary is empty")
    if len(set(texts)) == len(texts):
        return
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        if (before := first.setdefault(text, i)) != i:
            raise FormatError(path, "tokens", f"{text!r} has both id {before} and id {i}")
