"""The tokenizer that a GGUF file's `tokenizer.ggml.*` fields describe.

The fields are described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; defaults
are llama.cpp's (src/llama-vocab.cpp).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import FormatError, UnsupportedError
from pellucid.tokens import bytelevel, scored
from pellucid.tokens.library import Library
from pellucid.tokens.merges import Rank, rank_in
from pellucid.tokens.pretokenizers import pre_named
from pellucid.tokens.spelling import BYTE_LEVEL, Spelling, sentencepiece
from pellucid.tokens.tokenizer import SpecialIds, Tokenizer

Integers = npt.NDArray[np.integer[Any]]

# What ends a turn in the common chat formats, for files that do not name an end-of-turn token.
_TURN_ENDS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>")


def tokenizer(metadata: Mapping[str, Any], path: Path) -> Tokenizer:
    """The tokenizer of a GGUF file.

    Raises FormatError where fields are missing or contradict each other, UnsupportedError for
    kinds of tokenizer, and ways to cut words, that are not known.
    """
    fields = _Fields(metadata, path)
    kind = fields.text("model")
    if kind == "gpt2":
        return _byte_level(fields)
    if kind in ("llama", "t5"):
        return _scored(fields, "bpe" if kind == "llama" else "unigram")
    raise UnsupportedError(
        f"{path}: tokenizer.ggml.model: tokenizers of kind {kind[:60]!r} are not supported"
    )


def _byte_level(fields: _Fields) -> Tokenizer:
    pre = pre_named(fields.text("pre", "default"), fields.path)
    texts, types = fields.texts(), fields.types()
    scored.check_distinct(fields.path, texts)
    lines = fields.strings("merges")

    def merges() -> list[bytelevel.Pair]:
        return bytelevel.pairs_of(lines, fields.path)

    library = bytelevel.library_of(
        fields.path,
        dict(zip(texts, range(len(texts)), strict=True)),
        merges(),
        scored.added_tokens(texts, types),
        pre,
    )
    special = _special(fields, library, SpecialIds())
    prefix, suffix = fields.around(special, bos=pre.bos)
    return Tokenizer(library, BYTE_LEVEL, special, prefix, suffix, ranks=lambda: rank_in(merges()))


def _scored(fields: _Fields, method: Any) -> Tokenizer:
    texts, is_bpe = fields.texts(), method == "bpe"
    defaults = SpecialIds(1, 2, None, 0) if is_bpe else SpecialIds(None, 1, 0, 2)
    unk_id = fields.token("unknown_token_id", len(texts), defaults.unk_id)
    space_prefix = fields.flag("add_space_prefix", default=True)
    vocabulary = scored.Scored(
        method=method,
        texts=texts,
        scores=fields.scores(len(texts)),
        types=fields.types(),
        unk_id=unk_id,
        space_prefix=space_prefix,
        trims_spaces=fields.flag("remove_extra_whitespaces", default=False),
        charsmap=fields.charsmap(),
        strips_right=fields.stripping(texts),
    )
    library = scored.library_of(fields.path, vocabulary)

    def ranks() -> Rank:
        return scored.rank_of(vocabulary, library)

    special = _special(fields, library, defaults)
    prefix, suffix = fields.around(special, bos=is_bpe, eos=not is_bpe)
    spelling = Spelling(sentencepiece, leading_space=space_prefix)
    return Tokenizer(library, spelling, special, prefix, suffix, ranks=ranks if is_bpe else None)


def _special(fields: _Fields, library: Library, defaults: SpecialIds) -> SpecialIds:
    size = library.vocab_size
    eos = fields.token("eos_token_id", size, defaults.eos_id)
    ends = [eos, *(fields.token(f"{name}_token_id", size) for name in ("eot", "eom"))]
    if ends[1] is None:
        ends += [i for i in map(library.id_of, _TURN_ENDS) if _is_control(library, i)]
    return SpecialIds(
        bos_id=fields.token("bos_token_id", size, defaults.bos_id),
        eos_id=eos,
        pad_id=fields.token("padding_token_id", size, defaults.pad_id),
        unk_id=fields.token("unknown_token_id", size, defaults.unk_id),
        eos_ids=tuple(dict.fromkeys(i for i in ends if i is not None)),
    )


def _is_control(library: Library, token_id: int | None) -> bool:
    return token_id in library.added and library.added[token_id].special


class _Fields:
    """The `tokenizer.ggml.*` fields, each checked to be what it should be."""

    def __init__(self, metadata: Mapping[str, Any], path: Path) -> None:
        self._metadata = metadata
        self.path = path

    def error(self, name: str, reason: str) -> FormatError:
        return FormatError(self.path, f"tokenizer.ggml.{name}", reason)

    def value(self, name: str, kinds: type | tuple[type, ...], what: str) -> Any:
        """The field, None if it is missing."""
        value = self._metadata.get(f"tokenizer.ggml.{name}")
        if value is not None and (not isinstance(value, kinds) or _is_bool_for(value, kinds)):
            raise self.error(name, f"should be {what}")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value: str | None = self.value(name, str, "a string")
        if value is None and default is None:
            raise self.error(name, "missing: the file has no tokenizer")
        return value or default or ""

    def flag(self, name: str, *, default: bool) -> bool:
        value: bool | None = self.value(name, (bool, np.bool_), "true or false")
        return default if value is None else bool(value)

    def token(self, name: str, size: int, default: int | None = None) -> int | None:
        """A token's id; the default counts only if the vocabulary is that large."""
        value: int | None = self.value(name, (int, np.integer), "a token id")
        if value is None:
            return default if default is None or default < size else None
        if not 0 <= value < size:
            raise self.error(name, f"{value}, but the ids are 0 to {size - 1}")
        return int(value)

    def strings(self, name: str) -> Sequence[str]:
        value: Sequence[str] | None = self.value(name, Sequence, "an array of strings")
        if value is None or isinstance(value, str):
            raise self.error(name, "missing")
        return value

    def texts(self) -> list[str]:
        """Every token's text; empty ones get a name that no text can hold by chance."""
        texts = list(self.strings("tokens"))
        if texts and not all(isinstance(text, str) for text in texts[:1]):
            raise self.error("tokens", "should be an array of strings")
        if "" in texts:
            texts = [text or f"[EMPTY_{i}]" for i, text in enumerate(texts)]
        return texts

    def numbers(self, name: str, kind: str, what: str) -> npt.NDArray[Any] | None:
        value: npt.NDArray[Any] | None = self.value(name, np.ndarray, what)
        if value is not None and (value.dtype.kind not in kind or value.itemsize < 4):
            raise self.error(name, f"should be {what}, not {value.dtype}")
        return value

    def types(self) -> Integers:
        """Each token's kind, as `scored` numbers them; all normal where the file says nothing."""
        count = len(self.strings("tokens"))
        types = self.numbers("token_type", "iu", "an array of 32-bit integers")
        if types is None:
            return np.full(count, scored.NORMAL, np.int32)
        if len(types) != count:
            raise self.error("token_type", f"{len(types)} of them for {count} tokens")
        return types

    def scores(self, count: int) -> npt.NDArray[np.float32]:
        scores = self.numbers("scores", "fi", "an array of 32-bit numbers")
        if scores is None:
            raise self.error("scores", "missing")
        if len(scores) != count:
            raise self.error("scores", f"{len(scores)} of them for {count} tokens")
        return scores.astype(np.float32)

    def charsmap(self) -> bytes:
        value = self.value("precompiled_charsmap", np.ndarray, "an array of bytes")
        if value is None:
            return b""
        if value.itemsize != 1:
            raise self.error("precompiled_charsmap", "should be an array of bytes")
        return bytes(value.tobytes())

    def stripping(self, texts: Sequence[str]) -> frozenset[str]:
        """Tokens that take the whitespace behind them away. GGUF has no field for it, so that
        llama.cpp goes by the model's name: Phi-3's tokenizer.json has it for most of its own.
        """
        name = str(self._metadata.get("general.name", "")).lower()
        if "phi-3" not in name and "phi3" not in name:
            return frozenset()
        added = scored.added_tokens(texts, self.types())
        return frozenset(t.text for t in added) - {"<unk>", "<s>", "<|endoftext|>"}

    def around(
        self, special: SpecialIds, *, bos: bool = False, eos: bool = False
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids that go before and behind a text; `bos` and `eos` where the file is silent."""
        found = []
        for name, default, token in (("bos", bos, special.bos_id), ("eos", eos, special.eos_id)):
            wanted = self.flag(f"add_{name}_token", default=default)
            asked = f"tokenizer.ggml.add_{name}_token" in self._metadata
            if wanted and token is None and asked:
                raise self.error(f"add_{name}_token", f"is true, but there is no {name} token")
            found.append((token,) if wanted and token is not None else ())
        return found[0], found[1]


def _is_bool_for(value: object, kinds: type | tuple[type, ...]) -> bool:
    """Whether a bool stands where a number should: in Python it passes for an int."""
    return isinstance(value, bool) and bool not in (kinds if isinstance(kinds, tuple) else (kinds,))
