"""The tokenizer fields of GGUF files: what they mean, and what they must not say."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import FormatError, PellucidError, UnsupportedError
from pellucid.tokens import gguf
from pellucid.tokens.spelling import byte_letters

PATH = Path("m.gguf")
LETTERS = list(byte_letters())
BYTE_LEVEL = {
    "model": "gpt2",
    "pre": "gpt-2",
    "tokens": [*LETTERS, "th", "the", "<|end|>", "<tool>", "[PAD]"],
    "token_type": np.array([1] * 258 + [3, 4, 5], np.int32),
    "merges": ["t h", "th e"],
    "eos_token_id": 258,
}
SCORED = {
    "model": "llama",
    "tokens": ["<unk>", "<s>", "</s>", "<0x0A>", "▁", "a", "b", "▁a", "ab", "[MASK]", "  "],
    "token_type": np.array([2, 3, 3, 6, 1, 1, 1, 1, 1, 4, 4], np.int32),
    "scores": np.array([0, 0, 0, 0, -5, -6, -7, -1, -2, 0, 0], np.float32),
}


def read(fields: dict, **changes):
    given = {k: v for k, v in (fields | changes).items() if v is not None}
    return gguf.tokenizer({f"tokenizer.ggml.{k}": v for k, v in given.items()}, PATH)


def texts(tokenizer, text: str, **options) -> list[str]:
    return [t.text for t in tokenizer.tokens(text, **options)]


# -- what the fields mean -------------------------------------------------------------------------


def test_byte_level_pieces_are_merged():
    assert texts(read(BYTE_LEVEL), "the<tool>") == ["the", "<tool>"]


def test_kinds_of_tokens_decide_what_is_matched_in_text():
    tokenizer = read(BYTE_LEVEL)
    assert len(texts(tokenizer, "<|end|>")) == 7  # control: text unless asked
    assert texts(tokenizer, "<|end|>", parse_special=True) == ["<|end|>"]
    assert len(texts(tokenizer, "[PAD]")) == 5  # unused: never
    assert texts(tokenizer, "<tool>") == ["<tool>"]  # user-defined: always
    assert [tokenizer.is_special(i) for i in (258, 259, 260)] == [True, False, False]


def test_a_space_is_put_before_sentencepiece_text_unless_the_file_says_no():
    assert read(SCORED).encode("a", add_special_tokens=False) == [7]
    without = read(SCORED, add_space_prefix=False)
    assert without.encode("a", add_special_tokens=False) == [5]
    for tokenizer in (read(SCORED), without):
        ids = tokenizer.encode("ab a", add_special_tokens=False)
        assert tokenizer.decode(ids) == "ab a"


def test_bytes_stand_in_for_characters_without_a_piece():
    tokenizer = read(SCORED, add_space_prefix=False)
    assert tokenizer.encode("\n", add_special_tokens=False) == [3]
    assert tokenizer.encode("é", add_special_tokens=False) == [tokenizer.unk_id]
    assert tokenizer.decode([3]) == "\n"


@pytest.mark.parametrize(
    ("fields", "changes", "prefix", "suffix"),
    [
        (SCORED, {}, (1,), ()),  # llama.cpp's default for this kind
        (SCORED, {"add_bos_token": False}, (), ()),
        (SCORED, {"add_eos_token": True}, (1,), (2,)),
        (SCORED, {"add_bos_token": np.bool_(True), "bos_token_id": np.uint32(9)}, (9,), ()),
        (BYTE_LEVEL, {}, (), ()),
        (BYTE_LEVEL, {"pre": "llama-bpe", "bos_token_id": 258}, (258,), ()),
        (BYTE_LEVEL, {"pre": "llama-bpe"}, (), ()),
        (BYTE_LEVEL, {"add_bos_token": True, "bos_token_id": 5}, (5,), ()),
        (BYTE_LEVEL, {"add_eos_token": True}, (), (258,)),
    ],
)
def test_bos_and_eos_are_added_as_the_file_says(fields, changes, prefix, suffix):
    tokenizer = read(fields, **changes)
    assert (tokenizer.prefix, tokenizer.suffix) == (prefix, suffix)


def test_every_token_that_ends_a_turn_ends_generation():
    assert read(BYTE_LEVEL).eos_ids == (258,)
    assert read(BYTE_LEVEL, eos_token_id=257).eos_ids == (257, 258)  # "<|end|>" by its name
    assert read(BYTE_LEVEL, eot_token_id=3, eom_token_id=4).eos_ids == (258, 3, 4)
    renamed = [*LETTERS, "th", "the", "<|im_end|>", "<|end|>", "[PAD]"]
    assert read(BYTE_LEVEL, tokens=renamed, eos_token_id=None).eos_ids == (258,)  # not text's own


def test_a_unigram_vocabulary_is_read():
    fields = SCORED | {"model": "t5", "token_type": np.array([2, 3, 3, 1, *[1] * 5, 4, 4])}
    tokenizer = read(fields, unknown_token_id=0, eos_token_id=2)
    assert (tokenizer.prefix, tokenizer.suffix) == ((), (2,))
    assert tokenizer.encode("a ab") == [7, 4, 8, 2]
    assert not tokenizer.is_bpe


def test_an_empty_token_gets_a_name():
    tokenizer = read(BYTE_LEVEL, tokens=[*BYTE_LEVEL["tokens"][:-1], ""])
    assert tokenizer.library.piece_of(260) == "[EMPTY_260]"


def test_tokens_of_phi3_take_the_newline_behind_them_away():
    fields = {f"tokenizer.ggml.{k}": v for k, v in SCORED.items()}
    for name, ids in (("Phi-3 mini", [2, 7]), ("Other", [2, 4, 3, 5])):
        tokenizer = gguf.tokenizer(fields | {"general.name": name}, PATH)
        found = tokenizer.encode("</s>\na", add_special_tokens=False, parse_special=True)
        assert found == ids


def test_real_vocabularies_load_fast(smollm2, gemma3):
    """Measured on two cores: 0.1 s and 1.2 s. The margin is for machines that are busy."""
    from pellucid.tokens.load import load_tokenizer
    from pellucid.weights.checkpoint import open_checkpoint

    for file, seconds in ((smollm2, 10), (gemma3, 40)):
        checkpoint = open_checkpoint(file)
        started = time.process_time()
        load_tokenizer(checkpoint)
        assert time.process_time() - started < seconds


def test_importing_the_interface_imports_none_of_the_libraries():
    code = (
        "import sys, pellucid.tokens.tokenizer, pellucid.tokens.load\n"
        "print([m for m in ('tokenizers', 'msgspec', 'transformers') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# -- fields that must fail well -------------------------------------------------------------------

NONE = np.zeros(0, np.int32)
HOSTILE = {
    "no fields": ({}, {}, FormatError, "model: missing"),
    "a kind that is a number": (BYTE_LEVEL, {"model": 5}, FormatError, "model: should be a string"),
    "an unknown kind": (BYTE_LEVEL, {"model": "rwkv"}, UnsupportedError, "'rwkv'"),
    "an encoder's kind": (BYTE_LEVEL, {"model": "bert"}, UnsupportedError, "'bert'"),
    "an unknown way to split": (BYTE_LEVEL, {"pre": "x" * 500}, UnsupportedError, "pre: splitting"),
    "no tokens": (BYTE_LEVEL, {"tokens": None}, FormatError, "tokens: missing"),
    "tokens that are text": (BYTE_LEVEL, {"tokens": "abc"}, FormatError, "tokens: missing"),
    "tokens that are numbers": (BYTE_LEVEL, {"tokens": [1, 2]}, FormatError, "array of strings"),
    "tokens in an array of numbers": (BYTE_LEVEL, {"tokens": NONE}, FormatError, "should be"),
    "an empty vocabulary": (
        BYTE_LEVEL, {"tokens": [], "token_type": NONE}, FormatError, "is empty"),
    "a token twice": (
        BYTE_LEVEL, {"tokens": [*LETTERS, "th", "the", "the", "x", "y"]}, FormatError,
        "'the' has both id 257 and id 258"),
    "too few types": (BYTE_LEVEL, {"token_type": NONE}, FormatError, "0 of them for 261 tokens"),
    "types that are fractions": (
        BYTE_LEVEL, {"token_type": np.zeros(261, np.float32)}, FormatError, "integers"),
    "types of one byte": (
        BYTE_LEVEL, {"token_type": np.zeros(261, np.uint8)}, FormatError, "uint8"),
    "no merges": (BYTE_LEVEL, {"merges": None}, FormatError, "merges: missing"),
    "a merge of one piece": (BYTE_LEVEL, {"merges": ["th"]}, FormatError, "merge 0"),
    "a merge of three pieces": (BYTE_LEVEL, {"merges": ["t h e"]}, FormatError, "merge 0"),
    "a merge outside of the vocabulary": (BYTE_LEVEL, {"merges": ["z q"]}, FormatError, "zq"),
    "a merge of pieces that are none": (BYTE_LEVEL, {"merges": ["qq the"]}, FormatError, "qq"),
    "an id beyond the vocabulary": (
        BYTE_LEVEL, {"bos_token_id": 261}, FormatError, "261, but the ids are 0 to 260"),
    "a huge id": (BYTE_LEVEL, {"eos_token_id": 2**63}, FormatError, "eos_token_id"),
    "a negative id": (BYTE_LEVEL, {"padding_token_id": -1}, FormatError, "padding_token_id"),
    "an id that is true": (BYTE_LEVEL, {"eos_token_id": True}, FormatError, "a token id"),
    "an id that is text": (BYTE_LEVEL, {"eos_token_id": "2"}, FormatError, "a token id"),
    "a flag that is a number": (BYTE_LEVEL, {"add_bos_token": 1}, FormatError, "true or false"),
    "a BOS to add that there is not": (
        BYTE_LEVEL, {"add_bos_token": True}, FormatError, "there is no bos token"),
    "no scores": (SCORED, {"scores": None}, FormatError, "scores: missing"),
    "scores as u8": (SCORED, {"scores": np.zeros(11, np.uint8)}, FormatError, "not uint8"),
    "too many scores": (SCORED, {"scores": np.zeros(12, np.float32)}, FormatError, "12 of them"),
    "scores that are no numbers": (
        SCORED, {"scores": np.full(11, np.nan, np.float32)}, FormatError, "token 0 has nan"),
    "an unknown token that there is not": (
        SCORED, {"unknown_token_id": 11}, FormatError, "unknown_token_id: 11"),
    "a table of characters that is text": (
        SCORED, {"precompiled_charsmap": "x"}, FormatError, "array of bytes"),
    "a table of characters of numbers": (
        SCORED, {"precompiled_charsmap": np.zeros(4, np.int32)}, FormatError, "array of bytes"),
    "a table of characters that ends too early": (
        SCORED, {"precompiled_charsmap": np.full(4, 255, np.uint8)}, FormatError, "too early"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_fields_are_refused_with_place_and_reason(name):
    fields, changes, error, reason = HOSTILE[name]
    with pytest.raises(PellucidError) as raised:
        read(fields, **changes)
    assert type(raised.value) is error
    assert reason in str(raised.value)
    assert str(raised.value).startswith("m.gguf: ")
    assert len(str(raised.value)) < 400
