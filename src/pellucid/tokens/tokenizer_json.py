"""tokenizer.json, the file of the tokenizers library: checked, then left to the library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from pellucid.errors import FormatError, UnsupportedError
from pellucid.tokens.library import Added, Library, add_tokens, guarded
from pellucid.tokens.merges import Rank, rank_in
from pellucid.tokens.pipeline import check_part, spelling_of
from pellucid.tokens.spelling import Spelling

if TYPE_CHECKING:
    import tokenizers


class _AddedToken(msgspec.Struct):
    id: int
    content: str
    special: bool = False


class _File(msgspec.Struct):
    model: msgspec.Raw  # up to 30 MB, which only the library needs to read
    normalizer: Any = None
    pre_tokenizer: Any = None
    decoder: Any = None
    added_tokens: list[_AddedToken] | None = None


class _Merges(msgspec.Struct):
    merges: list[str | tuple[str, str]] = []


class Read(NamedTuple):
    """What a tokenizer.json gives: the library's tokenizer, how its pieces spell bytes, what its
    post-processor puts around a text, and the ranks of merges, if it has merges.
    """

    library: Library
    spelling: Spelling
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    ranks: Callable[[], Rank] | None


def read_tokenizer_json(data: bytes, path: str | Path, extra: Sequence[Added] = ()) -> Read:
    """Read a tokenizer.json; `extra` are added tokens that other files of the model name.

    Truncation, padding and dropout that the file asks for are left out: a prompt is taken as it
    is. Raises FormatError where the file is damaged or contradicts itself, UnsupportedError where
    it could take for ever.
    """
    file = _decoded(data, _File, path, "")
    growth = check_part(file.normalizer, path, "normalizer")
    check_part(file.pre_tokenizer, path, "pre_tokenizer")
    check_part(file.decoder, path, "decoder")
    added = [Added(token.id, token.content, token.special) for token in file.added_tokens or []]
    held = {token.text for token in added}
    added += [token for token in extra if token.text not in held]

    with guarded(lambda reason: FormatError(path, "tokenizer", reason)):
        tokenizer = _open(data, [token for token in added if token.text not in held])
        prefix, suffix = _without_post_processor(tokenizer, path)
        pieces = _count(tokenizer, path)
    library = Library(path, tokenizer, pieces, growth)
    library.check_added(added)
    ranks = _ranks(file.model, tokenizer.model, path)
    return Read(library, spelling_of(file.decoder), prefix, suffix, ranks)


def _open(data: bytes, extra: Sequence[Added]) -> tokenizers.Tokenizer:
    import tokenizers  # noqa: PLC0415  # lazy: 30 ms

    tokenizer = tokenizers.Tokenizer.from_buffer(data)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None) is not None:
        tokenizer.model.dropout = None
    add_tokens(tokenizer, extra)
    return tokenizer


def _count(tokenizer: tokenizers.Tokenizer, path: str | Path) -> int:
    """One more than the highest id of the model's own pieces; each id must be one piece's."""
    vocab: dict[str, int] = tokenizer.get_vocab(with_added_tokens=False)
    if not vocab:
        raise FormatError(path, "vocabulary", "is empty")
    if len(set(vocab.values())) < len(vocab):
        first: dict[int, str] = {}
        for piece, i in vocab.items():
            if (before := first.setdefault(i, piece)) != piece:
                raise FormatError(path, "vocabulary", f"id {i} is both {before!r} and {piece!r}")
    return max(vocab.values()) + 1


def _without_post_processor(
    tokenizer: tokenizers.Tokenizer, path: str | Path
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Take the post-processor off, which also trims spaces from offsets; return the ids that it
    puts before and behind a text. They are found by trying: they are marked as special.
    """
    probe = tokenizer.encode("a", add_special_tokens=True)
    tokenizer.post_processor = None
    alone = tokenizer.encode("a", add_special_tokens=False).ids
    marks = probe.special_tokens_mask
    before = next((i for i, mark in enumerate(marks) if not mark), len(marks))
    behind = before + len(alone)
    prefix, suffix = probe.ids[:before], probe.ids[behind:]
    if [*prefix, *alone, *suffix] != probe.ids or not all(marks[behind:]):
        reason = "puts more than special tokens before and behind a text"
        raise UnsupportedError(f"{path}: post_processor: {reason}, which is not supported")
    return tuple(prefix), tuple(suffix)


def _ranks(raw: msgspec.Raw, model: Any, path: str | Path) -> Callable[[], Rank] | None:
    marks = (model.continuing_subword_prefix, model.end_of_word_suffix) if _is_bpe(model) else ()
    if not _is_bpe(model) or any(marks):
        return None

    def ranks() -> Rank:
        merges = _decoded(raw, _Merges, path, "model").merges
        return rank_in([_pair(m.split(" ", 1)) if isinstance(m, str) else m for m in merges])

    return ranks


def _is_bpe(model: object) -> bool:
    return type(model).__name__ == "BPE"


def _pair(pieces: list[str]) -> tuple[str, str]:
    return pieces[0], pieces[-1]


_T = TypeVar("_T", _File, _Merges)


def _decoded(data: bytes | msgspec.Raw, kind: type[_T], path: str | Path, place: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise FormatError(path, place, "not valid JSON: nested too deeply") from None
    except msgspec.DecodeError as error:
        raise FormatError(path, place, f"not valid: {error}") from None
