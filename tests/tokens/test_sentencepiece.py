"""SentencePiece `.model` files: ids equal those of the sentencepiece library."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from functools import cache

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pellucid.errors import FormatError, PellucidError, TextError, UnsupportedError
from pellucid.tokens.load import load_tokenizer
from pellucid.tokens.sentencepiece import read_model

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.", "I'm flabbergasted, she said.",
    "Pack my box with five dozen liquor jugs.", "Über den Wolken muss die Freiheit sein.",
    "How vexingly quick daft zebras jump!", "the the the cat cat sat on a mat, again and again",
] * 20  # fmt: skip

FILES = ["tokenizer.model.v1", "mistral_instruct_tokenizer_240216.model.v2",
         "mistral_instruct_tokenizer_240323.model.v3"]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_ids_equal_those_of_sentencepiece_for_mistral(name, mistral, directory, corpus):
    data = (mistral / name).read_bytes()
    theirs = sentencepiece.SentencePieceProcessor(model_proto=data)
    ours = load_tokenizer(directory({"tokenizer.model": data}))
    for text in corpus.values():
        ids = ours.encode(text, add_special_tokens=False)
        assert ids == theirs.encode(text)
        assert ours.encode(text) == [theirs.bos_id(), *ids]
        assert ours.decode(ids) == text.replace("▁", " ")
    assert (ours.bos_id, ours.eos_id, ours.unk_id, ours.pad_id) == (1, 2, 0, None)
    assert ours.eos_ids == (2,)
    assert ours.vocab_size == theirs.vocab_size()


def test_a_continuation_keeps_its_leading_space(mistral, directory):
    data = (mistral / FILES[0]).read_bytes()
    tokenizer = load_tokenizer(directory({"tokenizer.model": data}))
    ids = tokenizer.encode("The man walked", add_special_tokens=False)
    assert tokenizer.decode(ids) == "The man walked"
    assert tokenizer.decode(ids[2:], continues=True) == " walked"
    stream = tokenizer.stream()  # a stream continues a prompt unless it is told otherwise
    assert "".join([*map(stream.push, ids[2:]), stream.flush()]) == " walked"


def trained(**options) -> bytes:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=out, minloglevel=2,
        **({"vocab_size": 200, "hard_vocab_limit": False} | options),
    )  # fmt: skip
    return out.getvalue()


VARIANTS = {
    "bpe": {"model_type": "bpe"},
    "bpe with bytes": {"model_type": "bpe", "byte_fallback": True, "vocab_size": 400},
    "bpe as Llama's": {
        "model_type": "bpe", "byte_fallback": True, "vocab_size": 400,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
    },
    "bpe without prefix": {"model_type": "bpe", "add_dummy_prefix": False},
    "bpe with symbols": {
        "model_type": "bpe", "user_defined_symbols": ["<sep>", "qu", "▁▁"],
        "add_dummy_prefix": False, "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity",
    },
    "unigram": {"model_type": "unigram"},
    "unigram with bytes": {"model_type": "unigram", "byte_fallback": True, "vocab_size": 400},
    "unigram folded": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc_cf"},
}  # fmt: skip


@cache
def pair(name: str):
    """The library's reader of a variant, and ours."""
    data = trained(**VARIANTS[name])
    return sentencepiece.SentencePieceProcessor(model_proto=data), read(data)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "the ",
                "cat",
                " ",
                "  ",
                "qu",
                "Ü",
                "ber",
                "jump",
                "<sep>",
                "!",
                "é",
                "中",
                "ｱ",
                "\n",
                "x",
            ]
        ),
        max_size=12,
    ).map("".join)
)
@pytest.mark.parametrize("name", VARIANTS)
def test_ids_equal_those_of_sentencepiece_for_every_kind(name, text):
    theirs, ours = pair(name)
    assert ours.encode(text, parse_special=False).ids == theirs.encode(text)


def read(data: bytes):
    from pellucid.tokens.scored import library_of

    model = read_model(data, "m.model")
    return library_of("m.model", model.vocabulary)


def test_control_text_that_a_unigram_vocabulary_holds_stays_text(directory):
    tokenizer = load_tokenizer(directory({"tokenizer.model": trained(model_type="unigram")}))
    assert tokenizer.eos_id not in tokenizer.encode("</s>", add_special_tokens=False)
    assert tokenizer.eos_id in tokenizer.encode("</s>", parse_special=True)


def test_tokenizer_config_can_make_a_symbol_special_and_add_others(directory):
    """As Yi's does with "<|im_start|>", and Llama 2's descendants with a padding token."""
    data = trained(**VARIANTS["bpe with symbols"])
    plain = load_tokenizer(directory({"tokenizer.model": data}))
    (sep,), pad = plain.encode("<sep>", add_special_tokens=False), plain.vocab_size
    added = {str(sep): {"content": "<sep>", "special": True}, str(pad): {"content": "<pad>"}}
    config = {"added_tokens_decoder": added, "pad_token": "<pad>"}
    files = {"tokenizer.model": data, "tokenizer_config.json": config}
    tokenizer = load_tokenizer(directory(files))
    assert sep not in tokenizer.encode("<sep>")
    assert tokenizer.encode("<sep><pad>", parse_special=True)[1:] == [sep, pad]
    assert (tokenizer.pad_id, tokenizer.vocab_size) == (pad, pad + 1)


def test_a_unigram_model_ends_with_eos_and_a_bpe_model_begins_with_bos(directory):
    unigram = load_tokenizer(directory({"tokenizer.model": trained(model_type="unigram")}))
    assert (unigram.prefix, unigram.suffix) == ((), (unigram.eos_id,))
    bpe = load_tokenizer(directory({"tokenizer.model": trained(model_type="bpe")}))
    assert (bpe.prefix, bpe.suffix) == ((bpe.bos_id,), ())


# -- files that must fail well --------------------------------------------------------------------


def field(number: int, wire: int, payload: bytes) -> bytes:
    return varint(number << 3 | wire) + payload


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(number: int, content: bytes) -> bytes:
    return field(number, 2, varint(len(content)) + content)


def piece(text: bytes, score: float = 0.0, kind: int = 1) -> bytes:
    scored = field(2, 5, struct.pack("<f", score)) + field(3, 0, varint(kind))
    return message(1, message(1, text) + scored)


PIECES = piece(b"<unk>", kind=2) + piece(b"<s>", kind=3) + piece(b"</s>", kind=3) + piece(b"a")
BPE = message(2, field(3, 0, b"\x02"))
SUFFIX = message(2, field(24, 0, b"\x01") + field(3, 0, b"\x02"))
LONG = b"\0\0\0\0" + b"x" * 1000 + b"\0"
HUGE = varint(2**63 - 1)


def test_the_smallest_model_is_read():
    model = read_model(PIECES + BPE, "m.model")
    assert model.vocabulary.texts == ["<unk>", "<s>", "</s>", "a"]
    assert (model.unk_id, model.bos_id, model.eos_id, model.pad_id) == (0, 1, 2, None)


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"", FormatError, "holds no pieces"),
        (b"\xff" * 20, FormatError, "more than 64 bits"),
        (b"\x80", FormatError, "in the middle of a number"),
        (b"IQ== 0\nIg== 1\n", FormatError, "holds no pieces"),  # tiktoken's, as Llama 3's
        (b"{}", FormatError, "not a SentencePiece model"),
        (field(1, 2, HUGE) + b"x", FormatError, "goes beyond the end"),
        (field(1, 0, b"\x01"), FormatError, "is not a message"),
        (field(1, 5, b"\x01"), FormatError, "goes beyond the end"),
        (message(1, b"\x0a\x7f"), FormatError, "piece 0: field 1 goes beyond the end"),
        (PIECES + piece(b"\xff\xfe") + BPE, FormatError, "piece 4: not UTF-8"),
        (PIECES + piece(b"a") + BPE, FormatError, "'a' has both id 3 and id 4"),
        (PIECES + piece(b"b", float("nan")) + BPE, FormatError, "token 4 has nan"),
        (PIECES + message(2, field(3, 0, b"\x03")), UnsupportedError, "type word"),
        (PIECES + message(2, field(3, 0, b"\x63")), UnsupportedError, "type 99"),
        (PIECES + SUFFIX, UnsupportedError, "end of a word"),
        (PIECES + BPE + message(3, field(5, 0, b"\x00")), UnsupportedError, "spaces"),
        (PIECES + BPE + message(3, field(2, 0, b"\x05")), FormatError, "is not bytes"),
        (PIECES + BPE + message(3, message(2, b"\x10\0\0\0abc")), FormatError, "ends too early"),
        (PIECES + message(2, field(3, 0, b"\x02") + field(40, 0, HUGE)), None, ""),
        (PIECES + message(2, field(3, 0, b"\x02") + field(40, 0, b"\x63")), FormatError, "id 99"),
        (PIECES + BPE + message(3, message(2, LONG)), UnsupportedError, "could become 1000"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_refused_with_the_reason(data, error, reason):
    if error is None:
        read(data)
        return
    with pytest.raises(PellucidError) as raised:
        read(data)
    assert type(raised.value) is error
    assert reason in str(raised.value)


@settings(max_examples=150, deadline=None)
@example(place=2190, value=1, cut=False)  # a piece of one character becomes a control token
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_one_wrong_byte_gives_a_model_or_an_error_of_ours(place, value, cut):
    data = bytearray(PIECES + piece("▁ü".encode(), -1.5) + BPE + message(3, field(3, 0, b"\x00")))
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] = value
    with suppress(FormatError, UnsupportedError):
        tokenizer = read(bytes(data))
        with suppress(TextError):  # a sound vocabulary may be unable to write a text
            tokenizer.encode("a ü <s>", parse_special=False)
