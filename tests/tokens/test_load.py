"""A model's tokenizer comes from whichever of its files describe one."""

from __future__ import annotations

import json
import shutil

import pytest

from pellucid.errors import FormatError, PellucidError, UnsupportedError
from pellucid.tokens.load import load_tokenizer
from pellucid.tokens.spelling import byte_letters

from .conftest import beside
from .test_tokenizer_json import TEMPLATE, TRAINED, byte_level

VOCAB = {letter: i for i, letter in enumerate([*byte_letters(), "th", "the", "<|endoftext|>"])}
MERGES = b"#version: 0.2\nt h\nth e\n"
PLAIN = {"vocab.json": VOCAB, "merges.txt": MERGES}


# -- GPT-2's files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2_files(gpt2, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    shutil.copy(gpt2 / "encoder.json", folder / "vocab.json")
    shutil.copy(gpt2 / "vocab.bpe", folder / "merges.txt")
    return folder


def test_ids_of_gpt2_equal_those_of_transformers(gpt2_files, corpus):
    import transformers

    files = [str(gpt2_files / name) for name in ("vocab.json", "merges.txt")]
    theirs = transformers.GPT2TokenizerFast(*files)
    ours = load_tokenizer(beside(gpt2_files))
    for text in corpus.values():
        assert ours.encode(text, parse_special=True) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text
    assert ours.eos_ids == (50_256,)
    assert ours.missing_bytes == frozenset()
    assert [i for s in ours.split("flabbergasted") for i in s.ids] == ours.encode("flabbergasted")


def test_vocab_and_merges_are_split_as_the_class_says(directory):
    as_gpt2 = load_tokenizer(directory(PLAIN))
    assert as_gpt2.library._tokenizer.normalizer is None or "NFC" not in str(
        as_gpt2.library._tokenizer.normalizer
    )
    config = {"tokenizer_config.json": {"tokenizer_class": "Qwen2TokenizerFast"}}
    as_qwen2 = load_tokenizer(directory(PLAIN | config))
    assert as_gpt2.encode("the 123") != as_qwen2.encode("the\u0301 123")
    assert as_qwen2.encode("e\u0301") == as_gpt2.encode("é") != as_gpt2.encode("e\u0301")


# -- what the small files say ---------------------------------------------------------------------


def test_roles_come_from_the_small_files(directory):
    tokenizer = load_tokenizer(
        directory(
            {
                "tokenizer.json": TRAINED,
                "tokenizer_config.json": {
                    "bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": None,
                },
                "special_tokens_map.json": {"bos_token": "zzz", "unk_token": "the"},
            },
            generation={"eos_token_id": [1, 5]},
        )
    )  # fmt: skip
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (0, 1, None)
    assert tokenizer.eos_ids == (1, 5)
    assert tokenizer.token_text(tokenizer.unk_id) == "the"


def test_roles_come_from_config_json_if_nothing_else_names_them(directory):
    config = {"bos_token_id": 7, "eos_token_id": 8, "pad_token_id": 9}
    tokenizer = load_tokenizer(directory({"tokenizer.json": TRAINED}, config))
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (7, 8, 9)
    assert tokenizer.eos_ids == (8,)


@pytest.mark.parametrize(
    ("config", "prefix", "suffix"),
    [
        ({}, (0,), (1,)),
        ({"add_bos_token": False}, (), (1,)),
        ({"add_eos_token": False}, (0,), ()),
        ({"add_bos_token": True, "add_eos_token": True}, (0,), (1,)),
    ],
)
def test_tokenizer_config_decides_what_is_put_around_a_text(config, prefix, suffix, directory):
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    value = byte_level(post_processor=TEMPLATE)
    files = {"tokenizer.json": value, "tokenizer_config.json": config | names}
    tokenizer = load_tokenizer(directory(files))
    assert (tokenizer.prefix, tokenizer.suffix) == (prefix, suffix)


def test_added_tokens_that_only_tokenizer_config_lists_are_added(directory):
    size = max(TRAINED["model"]["vocab"].values())
    extra = {str(size + 3): {"content": "<new>", "special": True}}
    config = {"tokenizer_config.json": {"added_tokens_decoder": extra, "eos_token": "<new>"}}
    tokenizer = load_tokenizer(directory({"tokenizer.json": TRAINED} | config))
    assert tokenizer.encode("<new>", parse_special=True) == [size + 3]
    assert tokenizer.eos_id == size + 3
    assert tokenizer.is_special(size + 3)


def test_tokens_that_take_whitespace_away_do(directory):
    """As Phi-3's: a newline behind <|end|> is part of it."""
    number = len(VOCAB)
    extra = {str(number): {"content": "<|end|>", "special": True, "rstrip": True}}
    config = {"tokenizer_config.json": {"added_tokens_decoder": extra}}
    tokenizer = load_tokenizer(directory(PLAIN | config))
    ids = tokenizer.encode("a<|end|>\nb", parse_special=True)
    assert ids == [VOCAB["a"], number, VOCAB["b"]]


# -- what must fail well --------------------------------------------------------------------------

CONFIG = "tokenizer_config.json"
HOSTILE = {
    "no tokenizer": ({}, FormatError, "no tokenizer: none of tokenizer.json"),
    "a tekken.json": ({"tekken.json": {}}, UnsupportedError, "tekken.json is not supported"),
    "a vocab.json without merges": ({"vocab.json": VOCAB}, FormatError, "merges.txt: missing"),
    "a vocabulary that is an array": ({"vocab.json": []}, FormatError, "object is expected"),
    "an id twice": (
        PLAIN | {"vocab.json": VOCAB | {"x": 5, "y": 5}}, FormatError, "id 5 is both"),
    "an id that is text": (PLAIN | {"vocab.json": VOCAB | {"zz": "1"}}, FormatError, "no token id"),
    "an id that is true": (PLAIN | {"vocab.json": VOCAB | {"z": True}}, FormatError, "no token id"),
    "a huge id": (PLAIN | {"vocab.json": VOCAB | {"zz": 2**40}}, FormatError, "no token id"),
    "a large id": (PLAIN | {"vocab.json": VOCAB | {"zz": 2**30}}, FormatError, "at most 16777216"),
    "an empty vocabulary": (PLAIN | {"vocab.json": {}, "merges.txt": b""}, FormatError, ""),
    "a name twice": (PLAIN | {"vocab.json": b'{"a": 1, "a": 2}'}, FormatError, "comes twice"),
    "merges that are not UTF-8": (PLAIN | {"merges.txt": b"\xff"}, FormatError, "byte 0: not UTF"),
    "a merge of one piece": (PLAIN | {"merges.txt": b"t h\nthe\n"}, FormatError, "merge 1"),
    "a merge outside of the vocabulary": (PLAIN | {"merges.txt": b"z q"}, FormatError, "zq"),
    "a class that is not known": (
        PLAIN | {CONFIG: {"tokenizer_class": "CLIPTokenizer"}}, UnsupportedError, "CLIPTokenizer"),
    "a class that is a number": (PLAIN | {CONFIG: {"tokenizer_class": 5}}, UnsupportedError, "5"),
    "a damaged tokenizer_config": (PLAIN | {CONFIG: b"{"}, FormatError, "not valid JSON"),
    "an added token with another's id": (
        PLAIN | {CONFIG: {"added_tokens_decoder": {"9": {"content": "zz"}}}}, FormatError,
        "'zz' cannot have id 9"),
    "an added token with a huge id": (
        PLAIN | {CONFIG: {"added_tokens_decoder": {"9" * 400: {"content": "zz"}}}}, FormatError,
        "cannot have id"),
    "an added token without an id": (
        PLAIN | {CONFIG: {"added_tokens_decoder": {"x": {"content": "zz"}}}}, FormatError,
        "added_tokens_decoder"),
    "an added token without text": (
        PLAIN | {CONFIG: {"added_tokens_decoder": {"9": {}}}}, FormatError, "added_tokens_decoder"),
    "added tokens in an array": (
        PLAIN | {CONFIG: {"added_tokens_decoder": []}}, FormatError, "should be an object"),
    "a role that is a number": (PLAIN | {CONFIG: {"bos_token": 5}}, FormatError, "bos_token"),
    "a flag that is text": (
        PLAIN | {CONFIG: {"add_bos_token": "yes"}}, FormatError, "true or false"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_place_and_reason(name, directory):
    files, error, reason = HOSTILE[name]
    checkpoint = directory(files)
    with pytest.raises(PellucidError) as raised:
        load_tokenizer(checkpoint)
    assert type(raised.value) is error
    assert reason in str(raised.value)
    assert str(checkpoint.path) in str(raised.value)


@pytest.mark.parametrize("value", [-1, True, "2", [1, None], 1.5, {}])
def test_ids_in_generation_config_that_are_none_are_refused(value, directory):
    checkpoint = directory(PLAIN, generation={"eos_token_id": value})
    with pytest.raises(FormatError, match=r"generation_config.json: eos_token_id is"):
        load_tokenizer(checkpoint)


def test_remote_code_is_never_followed(directory):
    (config := {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}})["use_fast"] = False
    evil = b"raise SystemExit('ran')"
    files = {"tokenizer.json": json.dumps(TRAINED).encode(), CONFIG: config, "evil.py": evil}
    assert load_tokenizer(directory(files)).encode("the")
