"""Words are cut as the models' own tokenizer.json cuts them."""

from __future__ import annotations

import pytest
import tokenizers

from pellucid.errors import UnsupportedError
from pellucid.tokens.pretokenizers import names, pre_named

from .conftest import golden


def cut(name: str, text: str) -> list[str]:
    pre = pre_named(name, "m.gguf")
    for normalizer in pre.normalizers():
        text = normalizer.normalize_str(text)
    words = tokenizers.pre_tokenizers.Sequence(pre.pre_tokenizers()).pre_tokenize_str(text)
    return [word for word, _ in words]


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "deepseek-v3", "gpt-4o"])
def test_words_are_those_of_the_models_own_file(name, corpus):
    theirs = golden(f"words-{name}")
    assert {key: cut(name, text) for key, text in corpus.items()} == theirs


def test_words_of_gpt2_and_smollm_are_those_of_the_library(corpus):
    gpt2 = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    smollm = tokenizers.pre_tokenizers.Sequence([digits, gpt2])
    for text in corpus.values():
        assert cut("gpt-2", text) == [word for word, _ in gpt2.pre_tokenize_str(text)]
        assert cut("smollm", text) == [word for word, _ in smollm.pre_tokenize_str(text)]


def test_the_pattern_of_tekken_is_the_published_one(mistral):
    import json

    files = list(mistral.glob("tekken_*.json"))
    assert files
    for file in files:
        published = json.loads(file.read_text("utf-8"))["config"]["pattern"]
        assert pre_named("tekken", "").patterns == (published,)


@pytest.mark.parametrize("name", names())
def test_every_way_keeps_all_of_the_text(name, corpus):
    import unicodedata

    from pellucid.tokens.spelling import byte_level

    for text in corpus.values():
        kept = unicodedata.normalize("NFC", text) if pre_named(name, "").composes else text
        assert byte_level("".join(cut(name, text))).decode() == kept


def test_every_name_stands_in_one_row():
    assert len(names()) == len(set(names()))


def test_a_name_that_is_not_known_is_refused_by_name():
    with pytest.raises(UnsupportedError, match=r"m\.gguf: tokenizer\.ggml\.pre: .*'kimi-k2'"):
        pre_named("kimi-k2", "m.gguf")
