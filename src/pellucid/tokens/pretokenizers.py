"""How byte-level tokenizers cut a text into words: the table of GGUF's `tokenizer.ggml.pre`.

A GGUF file only names the way; the patterns are those of the models' own tokenizer.json, where
there is one to read, else what llama.cpp (src/llama-vocab.cpp) has for the name. A model whose
tokenizer composes characters (NFC) gets that here too, although llama.cpp leaves it out: the
model has never seen text that was not composed, and transformers does compose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import UnsupportedError

_SPACES = r"\s+(?!\S)|\s+"
_GPT2 = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{_SPACES}"
_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SYMBOLS = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|{_SPACES}"
_QWEN2 = rf"{_ENDINGS}|{_LETTERS}|\p{{N}}|{_SYMBOLS}"
_LLAMA3 = rf"{_ENDINGS}|{_LETTERS}|\p{{N}}{{1,3}}|{_SYMBOLS}"
_QWEN35 = (
    rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|{_SPACES}"
)

_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SYMBOLS_SLASH = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|{_SPACES}"
_TEKKEN = rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}|{_SYMBOLS_SLASH}"
_GPT4O = (
    rf"{_BEFORE}{_UPPER}*{_LOWER}+{_ENDINGS}?|{_BEFORE}{_UPPER}+{_LOWER}*{_ENDINGS}?"
    rf"|\p{{N}}{{1,3}}|{_SYMBOLS_SLASH}"
)
_DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    rf"|\s*[\r\n]+|{_SPACES}"
)
_CJK = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_CJK_OLD = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_SEED = rf"{_ENDINGS}|{_LETTERS}|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|\s*[\r\n]+|{_SPACES}"
_BAILING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
    rf"| ?[^\s\p{{L}}\p{{N}}]++[\r\n]*|\s*[\r\n]|{_SPACES}"
)
_BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|`]+"


@dataclass(frozen=True)
class Pre:
    """One way: patterns, each of which cuts what the ones before left, into matches and gaps.

    `whole_words`: a word that is a piece by itself is not split, whatever the merges say
    (Llama 3; `ignore_merges` in tokenizer.json). `bos`: begins with BOS unless the file says no.
    """

    patterns: tuple[str, ...]
    composes: bool = False
    whole_words: bool = False
    bos: bool = False

    def normalizers(self) -> list[Any]:
        """The library's normalizers for this way."""
        from tokenizers import normalizers  # noqa: PLC0415  # lazy: 30 ms

        return [normalizers.NFC()] if self.composes else []

    def pre_tokenizers(self) -> list[Any]:
        """The library's pre-tokenizers for this way; the last turns bytes into letters."""
        from tokenizers import Regex, pre_tokenizers  # noqa: PLC0415  # lazy: 30 ms

        cuts = [pre_tokenizers.Split(Regex(p), "isolated") for p in self.patterns]
        return [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


_DIGITS_GPT2 = Pre((r"\p{N}", _GPT2))
_WAYS = {
    # Compared in the tests with the model's own tokenizer.json.
    "gpt-2 phi-2 exaone4 gigachat mellum a.x-4.0 jais trillion granite-docling": Pre((_GPT2,)),
    "smollm starcoder refact codeshell minerva-7b": _DIGITS_GPT2,
    "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2 midm-2.0": Pre(
        (_LLAMA3,), whole_words=True, bos=True
    ),
    "qwen2 deepseek-r1-qwen kormo megrez": Pre((_QWEN2,), composes=True),
    "tekken": Pre((_TEKKEN,), whole_words=True, bos=True),
    "gpt-4o llama4 kanana2": Pre((_GPT4O,)),
    "deepseek-v3 hunyuan-dense joyai-llm": Pre((r"\p{N}{1,3}", _CJK, _DEEPSEEK3)),
    # As their authors' files have it, from memory of those files or as llama.cpp quotes them.
    "command-r": Pre(_DIGITS_GPT2.patterns, composes=True),
    "mpt olmo": Pre((_GPT2,), composes=True),  # GPT-NeoX's; so are Pythia and OLMo 1
    "dbrx smaug-bpe chatglm-bpe glm4": Pre((_LLAMA3,)),  # GPT-4's; so is OLMo 2
    "stablelm2 hunyuan grok-2 solar-open": Pre((_QWEN2,)),
    "qwen35": Pre((_QWEN35,), composes=True),
    "minimax-m2": Pre((_GPT4O,)),
    "seed-coder": Pre((_SEED,)),
    "bailingmoe bailingmoe2 llada-moe": Pre((_BAILING,)),
    # As llama.cpp splits.
    "exaone": _DIGITS_GPT2,
    "bloom poro-chat gpt3-finnish": Pre((_BLOOM,)),
    "falcon": Pre((_PUNCTUATION, _GPT2, r"[0-9][0-9][0-9]")),
    "deepseek-coder": Pre((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK_OLD, r"\p{N}")),
    "default": Pre((_PUNCTUATION.replace("`", ""), _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
}


def pre_named(name: str, path: str | Path) -> Pre:
    r"""The way that a GGUF file names; `path` is for the error.

    >>> pre_named("smollm", "").patterns[0]
    '\\p{N}'
    """
    for names, pre in _WAYS.items():
        if name in names.split():
            return pre
    raise UnsupportedError(
        f"{path}: tokenizer.ggml.pre: splitting words as {name[:60]!r} does is not supported; "
        "the model's original files, with tokenizer.json, can be used instead"
    )


def names() -> list[str]:
    """Every name in the table."""
    return [name for row in _WAYS for name in row.split()]
