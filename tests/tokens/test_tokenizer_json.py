"""tokenizer.json: ids equal transformers', and what a stranger's file must not do."""

from __future__ import annotations

import base64
import copy
import json
import time
import unicodedata
from contextlib import suppress

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import FormatError, PellucidError, UnsupportedError
from pellucid.tokens.load import load_tokenizer
from pellucid.tokens.tokenizer_json import read_tokenizer_json

from .conftest import beside


@pytest.fixture
def transformers_reads():
    import transformers

    return transformers.PreTrainedTokenizerFast.from_pretrained


# -- real files -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_ids_of_published_files_equal_those_of_transformers(published, corpus, transformers_reads):
    ours, theirs = load_tokenizer(beside(published)), transformers_reads(str(published))
    for text in corpus.values():
        assert ours.encode(text, parse_special=True) == theirs.encode(text)
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(
            text, add_special_tokens=False, split_special_tokens=True
        )
        ids = ours.encode(text, parse_special=True)
        assert ours.decode(ids) == theirs.decode(ids, clean_up_tokenization_spaces=False)
    assert ours.eos_ids == (theirs.eos_token_id,)
    assert (ours.bos_id, ours.pad_id) == (theirs.bos_token_id, theirs.pad_token_id)


@pytest.mark.slow
def test_words_of_published_files_are_shown_merge_by_merge(published, corpus):
    tokenizer = load_tokenizer(beside(published))
    for text in corpus.values():
        ids = [i for split in tokenizer.split(text) for i in split.ids]
        assert ids == tokenizer.encode(text, add_special_tokens=False)
    steps = tokenizer.split(" flabbergasted")[0].steps
    assert steps[0].pieces == tuple(" flabbergasted")


# -- small ones, trained here ---------------------------------------------------------------------

SENTENCES = ["the quick brown fox jumps over the lazy dog", "I'm sure, says the fox."] * 30


def byte_level(**changes) -> dict:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_tokens(["<tool>", " mid "])
    return json.loads(tokenizer.to_str()) | changes


TRAINED = byte_level()
BOS, EOS = ({"SpecialToken": {"id": name, "type_id": 0}} for name in ("<s>", "</s>"))
FIRST, SECOND = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
TEMPLATE = {
    "type": "TemplateProcessing", "single": [BOS, FIRST, EOS], "pair": [FIRST, SECOND],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                       "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
}  # fmt: skip


def load(value: dict, directory, **files):
    return load_tokenizer(directory({"tokenizer.json": value} | files))


def test_what_the_post_processor_adds_is_added(directory):
    tokenizer = load(byte_level(post_processor=TEMPLATE), directory)
    assert (tokenizer.prefix, tokenizer.suffix) == ((0,), (1,))
    tokens = tokenizer.tokens("the fox")
    assert [(t.start, t.end) for t in (tokens[0], tokens[-1])] == [(0, 0), (7, 7)]


def test_added_tokens_that_are_not_special_are_matched_in_text(directory):
    tokenizer = load(TRAINED, directory)
    texts = [tokenizer.token_text(i) for i in tokenizer.encode("a<tool>b mid c<s>")]
    assert "<tool>" in texts
    assert " mid " in texts
    assert "<s>" not in texts


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_text_comes_back(text):
    found = read_tokenizer_json(json.dumps(TRAINED).encode(), "t.json")
    ids = found.library.encode(text, parse_special=False).ids
    pieces = [found.library.piece_of(i) for i in ids]
    assert b"".join(map(found.spelling.bytes_of, pieces)).decode() == text


def test_truncation_padding_and_dropout_are_left_out(directory):
    cut = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    pad = {"strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
           "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"}  # fmt: skip
    model = TRAINED["model"] | {"dropout": 0.9}
    plain = load(TRAINED, directory).encode("the quick brown fox")
    assert len(plain) > 3
    changed = byte_level(truncation=cut, padding=pad, model=model)
    assert load(changed, directory).encode("the quick brown fox") == plain


def test_offsets_count_characters_before_they_are_composed(directory):
    tokenizer = load(byte_level(normalizer={"type": "NFC"}), directory)
    text = "e\u0301x" + "o\u0308"
    tokens = tokenizer.tokens(text)
    assert {c for t in tokens for c in range(t.start, t.end)} == set(range(len(text)))
    assert tokenizer.decode([t.id for t in tokens]) == unicodedata.normalize("NFC", text)


def test_spaces_are_not_trimmed_from_offsets(directory):
    post = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    tokens = load(byte_level(post_processor=post), directory).tokens("the fox")
    assert "".join("the fox"[t.start : t.end] for t in tokens) == "the fox"


def test_a_word_that_is_looked_up_whole_has_no_merges_if_none_lead_to_it(directory):
    model = copy.deepcopy(TRAINED["model"]) | {"ignore_merges": True}
    model["vocab"]["zzz"] = max(model["vocab"].values()) + 1
    added = [token | {"id": token["id"] + (token["id"] > 1)} for token in TRAINED["added_tokens"]]
    tokenizer = load(byte_level(model=model, added_tokens=added), directory)
    (split,) = tokenizer.split("zzz")
    assert (split.pieces, split.steps) == (("zzz",), ())


def test_added_runs_of_spaces_are_spelled_as_other_pieces_are(directory):
    """As Gemma's: its tokenizer.json lists pieces of several U+2581 as added tokens."""
    vocab = {"▁": 0, "a": 1, "▁▁": 2, "<unk>": 3}
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab, [("▁", "▁")], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    steps = tokenizers.decoders
    tokenizer.decoder = steps.Sequence(
        [steps.Replace("▁", " "), steps.ByteFallback(), steps.Fuse()]
    )
    tokenizer.add_tokens(["▁▁"])
    loaded = load(json.loads(tokenizer.to_str()), directory)
    assert loaded.encode("a  a") == [1, 2, 1]
    assert loaded.decode([1, 2, 1]) == "a  a"


def wordpiece() -> dict:
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(
            {"[UNK]": 0, "un": 1, "##able": 2, "fox": 3, "[CLS]": 4, ",": 5}
        )
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.add_special_tokens(["[CLS]", "[UNK]"])
    return json.loads(tokenizer.to_str())


def test_wordpiece_streams_what_it_decodes(directory):
    tokenizer = load(wordpiece(), directory)
    ids = tokenizer.encode("unable fox, fox")
    assert tokenizer.decode(ids) == "unable fox, fox"
    stream = tokenizer.stream()
    pieces = [*map(stream.push, ids), stream.flush()]
    assert pieces == ["un", "able", " fox", ",", " fox", ""]


def test_a_special_word_of_a_word_list_is_not_looked_up_in_text(directory):
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<unk>": 0, "<s>": 1, "a": 2}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>"])
    loaded = load(json.loads(tokenizer.to_str()), directory)
    assert loaded.encode("a <s> b", parse_special=True) == [2, 1, 0]
    assert 1 not in loaded.encode("a <s> b")


# -- files that must fail well --------------------------------------------------------------------


def changed(path: str, value: object) -> dict:
    """TRAINED with another value at a path of keys."""
    result = copy.deepcopy(TRAINED)
    at = result
    *before, last = path.split("/")
    for key in before:
        at = at[int(key) if isinstance(at, list) else key]
    at[int(last) if isinstance(at, list) else last] = value
    return result


def split_by(pattern: str) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(what: str, by: str) -> dict:
    return {"type": "Replace", "pattern": {"String": what}, "content": by}


def sequence(*steps: dict) -> dict:
    return {"type": "Sequence", "normalizers": list(steps)}


def nested(depth: int) -> dict:
    step: dict = {"type": "NFC"}
    for _ in range(depth):
        step = sequence(step)
    return step


DEEP = b'{"model": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
CHARSMAP = base64.b64encode(b"\0\0\0\0" + b"x" * 5000 + b"\0").decode()
HOSTILE = {
    "nothing": (b"", FormatError, "not valid"),
    "not json": (b"{", FormatError, "not valid"),
    "not utf-8": (b'{"model": "\xff"}', FormatError, ""),
    "an array": (b"[]", FormatError, "not valid: Expected `object`"),
    "no model": (b"{}", FormatError, "missing required field `model`"),
    "nested 200,000 deep": (DEEP, FormatError, ""),
    "a model of no kind": (changed("model", {"type": "Sorcery"}), FormatError, ""),
    "a merge outside of the vocabulary": (
        changed("model/merges/0", ["the", "zzz"]), FormatError, "zzz"),
    "a merge of one piece": (changed("model/merges/0", ["t"]), FormatError, ""),
    "a merge that is a number": (changed("model/merges/0", 5), FormatError, ""),
    "an id twice": (changed("model/vocab/the", 5), FormatError, "id 5 is both"),
    "a huge id": (changed("model/vocab/a", 2**31), FormatError, "at most 16777216 tokens"),
    "an id beyond 32 bits": (changed("model/vocab/a", 2**40), FormatError, ""),
    "a negative id": (changed("model/vocab/a", -1), FormatError, ""),
    "an id that is text": (changed("model/vocab/a", "1"), FormatError, ""),
    "an empty vocabulary": (
        changed("model", {"type": "BPE", "vocab": {}, "merges": []}), FormatError, ""),
    "an added token with another's id": (
        changed("added_tokens/0/id", 7), FormatError, "cannot have id 7"),
    "an added token with a huge id": (
        changed("added_tokens/2/id", 2**31), FormatError, "cannot have id 2147483648"),
    "an added token without text": (changed("added_tokens/2/content", ""), FormatError, ""),
    "an added token that is none": (changed("added_tokens/2", "x"), FormatError, "not valid"),
    "added tokens that are none": (changed("added_tokens", "x"), FormatError, "not valid"),
    "an endless pattern": (
        changed("pre_tokenizer", split_by("(a+)+b")), UnsupportedError, "take for ever"),
    "an endless pattern in a sequence": (
        changed("pre_tokenizer", {"type": "Sequence", "pretokenizers": [split_by("(a|a)*b")]}),
        UnsupportedError, "pre_tokenizer: the pattern '(a|a)*b' could take for ever"),
    "an endless pattern in a normalizer": (
        changed("normalizer", replace("a", "b") | {"pattern": {"Regex": "(a*)*b"}}),
        UnsupportedError, "normalizer: the pattern"),
    "an endless pattern in a decoder": (
        changed("decoder", replace("a", "b") | {"pattern": {"Regex": "(a*)*b"}}),
        UnsupportedError, "decoder: the pattern"),
    "forty doublings": (
        changed("normalizer", sequence(*[replace("a", "aa")] * 40)),
        UnsupportedError, "one character could become more than 32"),
    "doublings within sequences": (
        changed("normalizer", sequence(*[sequence(replace("a", "aaa"), replace("b", "bb"))] * 4)),
        UnsupportedError, "one character could become"),
    "letters for bytes, ten times over": (
        changed("pre_tokenizer", {"type": "Sequence", "pretokenizers": [BYTES] * 10}),
        UnsupportedError, "pre_tokenizer: one character could become"),
    "one huge replacement": (
        changed("normalizer", replace("a", "b" * 100)), UnsupportedError, "could become"),
    "a decoder that doubles": (
        changed("decoder", {"type": "Sequence", "decoders": [replace("a", "aa")] * 40}),
        UnsupportedError, "decoder: one character could become"),
    "a thousand steps": (
        changed("normalizer", sequence(*[{"type": "NFC"}] * 1000)), UnsupportedError, "100 steps"),
    "sequences a hundred deep": (changed("normalizer", nested(100)), FormatError, ""),
    "a normalizer that is text": (changed("normalizer", "NFC"), FormatError, "an object"),
    "a table that is not base64": (
        changed("normalizer", {"type": "Precompiled", "precompiled_charsmap": "?"}),
        FormatError, "not base64"),
    "a table that ends too early": (
        changed("normalizer", {"type": "Precompiled", "precompiled_charsmap": "////fw=="}),
        FormatError, "ends too early"),
    "a table that makes text of a character": (
        changed("normalizer", {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}),
        UnsupportedError, "5000"),
    "a template that repeats the text": (
        changed("post_processor", TEMPLATE | {"single": [FIRST, FIRST]}),
        UnsupportedError, "post_processor"),
    "a unigram without an unknown token": (
        changed("model", {"type": "Unigram", "unk_id": 7, "vocab": [["a", -1.0]]}),
        FormatError, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_quickly_with_place_and_reason(name, directory):
    content, error, reason = HOSTILE[name]
    checkpoint = directory({"tokenizer.json": content})
    started = time.perf_counter()
    with pytest.raises(PellucidError) as raised:
        load_tokenizer(checkpoint)
    assert time.perf_counter() - started < 20
    assert type(raised.value) is error
    assert reason in str(raised.value)
    assert "tokenizer.json" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700


def test_a_panic_of_the_library_is_an_error_of_ours(directory, capfd):
    """It derives from BaseException, so `except Exception` lets it through."""
    table = base64.b64encode(b"\x04\0\0\0" + b"\xff" * 4 + b"a\0").decode()
    step = {"type": "Precompiled", "precompiled_charsmap": table}
    data = json.dumps(changed("normalizer", step)).encode()
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        tokenizers.Tokenizer.from_str(data.decode()).encode("aé")
    assert not isinstance(raised.value, Exception)
    with pytest.raises(FormatError, match="tokenizer"):
        load_tokenizer(directory({"tokenizer.json": data})).encode("aé")
    capfd.readouterr()  # what the library printed of its panic


def test_an_interrupt_goes_through(smol, monkeypatch):
    class Stop:
        def encode(self, *args, **options):
            raise KeyboardInterrupt

    monkeypatch.setattr(smol.library, "_tokenizer", Stop())
    with pytest.raises(KeyboardInterrupt):
        smol.encode("a")


def test_growth_counts_against_the_limit(directory, monkeypatch):
    from pellucid.errors import TextError
    from pellucid.tokens import tokenizer

    monkeypatch.setattr(tokenizer, "MAX_CHARACTERS", 1000)
    loaded = load(changed("normalizer", replace("a", "abcd")), directory)
    assert loaded.encode("a" * 250)
    with pytest.raises(TextError, match="at most 250"):
        loaded.encode("a" * 251)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_value_replaced_anywhere_gives_a_tokenizer_or_an_error_of_ours(data):
    value = copy.deepcopy({k: v for k, v in TRAINED.items() if k != "model"})
    value |= {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}}
    value["added_tokens"] = [{"id": 3, "content": "<s>", "special": True, "single_word": False,
                              "lstrip": False, "rstrip": False, "normalized": False}]  # fmt: skip
    at, key = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(at[key], (dict, list)) and at[key] and data.draw(st.booleans()):
        at = at[key]
        keys = range(len(at)) if isinstance(at, list) else sorted(at)
        key = data.draw(st.sampled_from(list(keys)))
    at[key] = data.draw(
        st.sampled_from([None, -1, 2**31, 1.5, "", "x", [], {}, True, [["a"]], {"type": "NFC"}])
    )
    with suppress(FormatError, UnsupportedError):
        found = read_tokenizer_json(json.dumps(value).encode(), "t.json")
        found.library.encode("ab <s> ab", parse_special=True)
