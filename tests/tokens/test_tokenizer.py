"""One interface for every kind of tokenizer: text, tokens, bytes, places, and back."""

from __future__ import annotations

import json
import threading
import time
import unicodedata
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pellucid.errors import TextError
from pellucid.tokens import tokenizer as tokenizer_module
from pellucid.tokens.library import Spans
from pellucid.tokens.tokenizer import Token, Tokenizer

# Hypothesis's own texts hardly ever hold emoji joined by ZWJ, marks, or special-token text.
MIXED = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            [
                "<|im_end|>",
                "<eos>",
                "  ",
                "\n\n",
                "\r\n",
                "👨‍👩‍👧‍👦",
                "e\u0301",
                "▁",
                "\u202e",
                "\x00",
                "</s>",
                "Ġ",
            ]
        ),
    ),
    max_size=12,
).map("".join)


@pytest.fixture(params=["smol", "gemma"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


def spelled(text: str, tokenizer: Tokenizer) -> bool:
    """Whether the vocabulary has pieces for all of the text's bytes."""
    return tokenizer.missing_bytes.isdisjoint(text.encode())


# -- encoding and decoding ------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(MIXED)
def test_text_comes_back_from_its_ids(smol, text):
    if spelled(text, smol):
        assert smol.decode(smol.encode(text)) == text


@settings(max_examples=300, deadline=None)
@given(MIXED)
def test_text_comes_back_from_sentencepiece_ids_but_for_its_mark(gemma, text):
    ids = gemma.encode(text, add_special_tokens=False)
    assert gemma.decode(ids) == text.replace("▁", " ")


def test_every_text_of_the_corpus_comes_back(smol, corpus):
    lost = {name for name, t in corpus.items() if smol.decode(smol.encode(t)) != t}
    assert lost == {name for name, t in corpus.items() if not spelled(t, smol)}
    assert lost <= {"controls", "noncharacters", "planes"}


def test_bytes_without_a_piece_are_known(smol, gemma):
    in_no_text = {0xC0, 0xC1, *range(0xF5, 0x100)}
    assert smol.missing_bytes == in_no_text | {4, 6, 19, 20, 22, 29, 0xF1, 0xF2}
    assert gemma.missing_bytes == frozenset()
    assert smol.decode(smol.encode("a\x04b")) == "ab"


@pytest.mark.parametrize("text", ["<|im_end|>", "<|endoftext|>", " <|im_start|>x"])
def test_special_text_is_text_unless_asked(smol, text):
    assert not any(map(smol.is_special, smol.encode(text)))
    assert any(map(smol.is_special, smol.encode(text, parse_special=True)))


def test_special_text_of_sentencepiece_is_text_unless_asked(gemma):
    plain = gemma.encode("<end_of_turn>", add_special_tokens=False)
    assert gemma.eos_ids[1] not in plain
    parsed = gemma.encode("<end_of_turn>", add_special_tokens=False, parse_special=True)
    assert parsed == [gemma.eos_ids[1]]


def test_threads_that_parse_special_text_do_not_disturb_those_that_do_not(smol, monkeypatch):
    """The library keeps what to do with special text in the tokenizer, not in the call."""
    disturbed = []

    class Slow:
        encode_special_tokens = True

        def encode(self, text, add_special_tokens):
            at_first = self.encode_special_tokens
            time.sleep(0.01)
            disturbed.append(self.encode_special_tokens is not at_first)
            return Spans()

    monkeypatch.setattr(smol.library, "_tokenizer", Slow())
    threads = [
        threading.Thread(target=smol.encode, args=["a"], kwargs={"parse_special": i % 2 == 0})
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert disturbed == [False] * 8


def test_bos_stands_before_the_text_unless_refused(gemma):
    assert gemma.encode("a")[0] == gemma.bos_id == 2
    assert gemma.encode("a")[1:] == gemma.encode("a", add_special_tokens=False)
    assert gemma.encode("") == [2]


def test_special_tokens_are_left_out_if_asked(smol):
    ids = smol.encode("<|im_start|>user\nhi<|im_end|>", parse_special=True)
    assert smol.decode(ids) == "<|im_start|>user\nhi<|im_end|>"
    assert smol.decode(ids, skip_special_tokens=True) == "user\nhi"


def test_roles_are_those_of_the_files(smol, gemma):
    assert (smol.bos_id, smol.eos_id, smol.eos_ids, smol.pad_id, smol.unk_id) == (1, 2, (2,), 2, 0)
    assert (gemma.bos_id, gemma.eos_id, gemma.pad_id, gemma.unk_id) == (2, 1, 0, 3)
    assert gemma.eos_ids == (1, 106)  # <eos>, and <end_of_turn> although the file does not name it
    assert (smol.vocab_size, gemma.vocab_size) == (49_152, 262_144)
    assert (smol.prefix, gemma.prefix) == ((), (gemma.bos_id,))


# -- tokens ---------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(MIXED)
@example("\U0002f800\x16")  # a character that NFC replaces, and one that SmolLM2 cannot spell
def test_tokens_cover_the_text_in_order(smol, gemma, text):
    for tokenizer in (smol, gemma):
        tokens = tokenizer.tokens(text, add_special_tokens=False)
        assert [t.id for t in tokens] == tokenizer.encode(text, add_special_tokens=False)
        for before, after in pairwise(tokens):
            assert before.start <= after.start
            # Two tokens share at most the one character that they hold parts of.
            assert after.start >= before.end - 1
        if spelled(text, tokenizer):
            assert {c for t in tokens for c in range(t.start, t.end)} == set(range(len(text)))
            joined = b"".join(t.bytes for t in tokens)
            assert joined.decode() == (text if tokenizer is smol else text.replace("▁", " "))


def test_a_token_that_holds_part_of_a_character_covers_it(smol):
    tokens = smol.tokens("a🤦b")
    assert [(t.start, t.end) for t in tokens] == [(0, 1), *[(1, 2)] * (len(tokens) - 2), (2, 3)]
    assert b"".join(t.bytes for t in tokens) == "a🤦b".encode()
    assert tokens[1].text == "\ufffd"


def test_a_byte_of_sentencepiece_covers_its_character(gemma):
    tokens = gemma.tokens("a\U00011000b", add_special_tokens=False)
    assert [t.bytes for t in tokens[1:-1]] == [b"\xf0", b"\x91", b"\x80", b"\x80"]
    assert {(t.start, t.end) for t in tokens[1:-1]} == {(1, 2)}


def test_a_leading_space_belongs_to_its_token(smol, gemma):
    for tokenizer in (smol, gemma):
        second = tokenizer.tokens("The man", add_special_tokens=False)[1]
        assert (second.text, second.bytes, second.start, second.end) == (" man", b" man", 3, 7)


def test_what_is_put_around_a_text_covers_nothing(gemma):
    first = gemma.tokens("ab")[0]
    assert (first.text, first.special, first.start, first.end) == ("<bos>", True, 0, 0)


def test_the_json_of_a_token_is_a_contract(smol):
    token = smol.tokens("é")[0].to_dict()
    assert list(token) == ["id", "text", "bytes", "start", "end", "special"]
    assert json.loads(json.dumps(token)) == token
    assert Token(7, "\ufffd", b"\xc3", 0, 1, False).to_dict()["bytes"] == [0xC3]


def test_bytes_of_pieces_are_those_of_the_library(smol):
    decode = tokenizers.decoders.ByteLevel().decode
    for i in range(17, smol.vocab_size, 97):
        assert smol.decode([i]) == decode([smol.library.piece_of(i)])


# -- text and ids that must fail well -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [("\ud800", "character 0 (U+D800)"), ("ab\udfffc", "character 2 (U+DFFF)"),
     ("x" * 100 + "\ud83d\ude00", "character 100 (U+D83D)")],
)  # fmt: skip
def test_half_a_surrogate_pair_is_refused_with_its_place(tokenizer, text, place):
    for use in (tokenizer.encode, tokenizer.tokens, tokenizer.split):
        with pytest.raises(TextError) as error:
            use(text)
        assert place in str(error.value)


@pytest.mark.parametrize("ids", [[-1], [2**31], [10**30], [49_152, 1], [262_144]])
def test_ids_that_no_token_has_are_refused(tokenizer, ids):
    if ids[0] == 49_152 and tokenizer.vocab_size > 49_152:
        return
    for use in (tokenizer.decode, lambda ids: tokenizer.token_bytes(ids[0])):
        with pytest.raises(TextError, match="no token has id"):
            use(ids)


def test_nul_is_a_character_like_others(tokenizer):
    ids = tokenizer.encode("a\x00b", add_special_tokens=False)
    assert tokenizer.decode(ids) == "a\x00b"


@pytest.mark.slow
def test_ten_megabytes_on_one_line_are_tokenized(smol):
    text = "All work and no play makes Jack a dull boy. " * 230_000
    assert len(smol.encode(text)) == 11 * 230_000 + 1


def test_a_million_characters_without_a_space_are_tokenized(tokenizer):
    ids = tokenizer.encode("ab" * 500_000, add_special_tokens=False)
    assert tokenizer.decode(ids) == "ab" * 500_000


def test_more_text_than_the_limit_is_refused(smol, monkeypatch):
    monkeypatch.setattr(tokenizer_module, "MAX_CHARACTERS", 1000)
    assert smol.encode("a" * 1000)
    with pytest.raises(TextError, match="1001 characters, at most 1000"):
        smol.encode("a" * 1001)


# -- streaming ------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(MIXED, st.booleans(), st.booleans())
def test_pieces_of_a_stream_are_the_text_of_all_ids(smol, gemma, text, skip, continues):
    for tokenizer in (smol, gemma):
        ids = tokenizer.encode(text, parse_special=True)
        stream = tokenizer.stream(skip_special_tokens=skip, continues=continues)
        pieces = [*map(stream.push, ids), stream.flush()]
        whole = tokenizer.decode(ids, skip_special_tokens=skip, continues=continues)
        assert "".join(pieces) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 49_151), max_size=30))
def test_any_ids_stream_to_what_they_decode_to(smol, gemma, ids):
    for tokenizer in (smol, gemma):
        stream = tokenizer.stream()
        pieces = [*map(stream.push, ids), stream.flush()]
        assert "".join(pieces) == tokenizer.decode(ids, continues=True)
        data = b"".join(map(tokenizer.token_bytes, ids))
        assert "".join(pieces) == data.decode("utf-8", "replace")


def test_a_character_comes_with_its_last_token(smol):
    stream = smol.stream()
    pieces = [stream.push(i) for i in smol.encode("🤦é")]
    assert [p for p in pieces if p] == ["🤦", "é"]
    assert stream.flush() == ""


def test_a_character_that_never_became_whole_is_shown_at_the_end(smol):
    stream = smol.stream()
    first = smol.encode("🤦")[0]
    assert stream.push(first) == ""
    assert stream.flush() == "\ufffd"


def test_bytes_that_are_no_utf8_do_not_stop_a_stream(gemma):
    byte = {gemma.token_bytes(i): i for i in range(238, 494)}
    stream = gemma.stream()
    ids = [byte[b"\xff"], byte[b"A"], byte[b"\xe2"], byte[b"B"], byte[b"\xf0"], byte[b"\x9f"]]
    assert "".join([*map(stream.push, ids), stream.flush()]) == "\ufffdA\ufffdB\ufffd"


def test_composed_text_is_the_same_text(smol):
    """SmolLM2 does not compose characters: both spellings of é come back as they were."""
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, "café")
        assert smol.decode(smol.encode(text)) == text
