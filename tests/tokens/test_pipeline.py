"""What the parts of a tokenizer.json do is known before they run."""

from __future__ import annotations

import base64
import io

import pytest
import sentencepiece

from pellucid.errors import UnsupportedError
from pellucid.tokens.pipeline import check_part, longest_replacement, spelling_of
from pellucid.tokens.sentencepiece import read_model
from pellucid.tokens.spelling import BYTE_LEVEL, Spelling
from pellucid.tokens.spelling import sentencepiece as by_marks


def replace(what: str, by: str) -> dict:
    return {"type": "Replace", "pattern": {"String": what}, "content": by}


STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
METASPACE = {"type": "Metaspace", "replacement": "▁"}
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}


def sequence(*steps: dict, key: str = "decoders") -> dict:
    return {"type": "Sequence", key: list(steps)}


@pytest.mark.parametrize(
    ("decoder", "spelling"),
    [
        ({"type": "ByteLevel", "trim_offsets": True}, BYTE_LEVEL),
        (sequence({"type": "ByteLevel"}), BYTE_LEVEL),
        (sequence(replace("▁", " "), FALLBACK, FUSE), Spelling(by_marks)),
        (sequence(replace("▁", " "), FALLBACK, FUSE, STRIP), Spelling(by_marks, True)),
        (METASPACE | {"prepend_scheme": "never"}, Spelling(by_marks)),
        (METASPACE | {"prepend_scheme": "first"}, Spelling(by_marks, True)),
        (METASPACE | {"add_prefix_space": True}, Spelling(by_marks, True)),
        # What is not known to be the bytes in a row is left to the library.
        (METASPACE | {"replacement": "_", "prepend_scheme": "never"}, Spelling(None)),
        (sequence(replace("▁", "  "), FALLBACK, FUSE), Spelling(None)),
        (sequence(replace("▁", " "), FALLBACK, FUSE, STRIP | {"start": 2}), Spelling(None)),
        ({"type": "WordPiece", "prefix": "##", "cleanup": True}, Spelling(None)),
        (None, Spelling(None)),
        ("ByteLevel", Spelling(None)),
        (sequence(), Spelling(None)),
    ],
)  # fmt: skip
def test_a_decoder_says_how_pieces_spell(decoder, spelling):
    assert spelling_of(decoder) == spelling


@pytest.mark.parametrize(
    ("part", "growth"),
    [
        (None, 1),
        ({"type": "NFKC"}, 1),
        (replace(" ", "▁"), 1),
        (replace("``", '"'), 1),
        (replace("a", "abc"), 3),
        (replace("ab", "abc"), 2),
        (sequence(replace("a", "aa"), replace("b", "bbb"), key="normalizers"), 6),
        ({"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, 2),
        ({"type": "Prepend", "prepend": "▁"}, 1),
    ],
)
def test_growth_is_an_upper_limit(part, growth):
    assert check_part(part, "t.json", "normalizer") == growth


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc_cf", "identity"])
def test_tables_of_sentencepiece_pass(rule):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c"] * 9), model_writer=out, vocab_size=8, minloglevel=2,
        hard_vocab_limit=False, normalization_rule_name=rule,
    )  # fmt: skip
    table = read_model(out.getvalue(), "m.model").vocabulary.charsmap
    longest = longest_replacement(table, "m", "normalizer")
    assert longest == (1 if rule == "identity" else 18)  # U+FDFA, an Arabic greeting
    step = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}
    assert check_part(step, "t.json", "normalizer") == longest


UNTYPED = {key: value for key, value in replace("a", "aa").items() if key != "type"}


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (sequence(*[replace("a", "aa")] * 6, key="normalizers"), "more than 32"),
        # The library ignores keys that it does not know, and guesses a type that is missing.
        ({"type": "Sequence", "x": [], "normalizers": [replace("a", "aa")] * 6}, "more than 32"),
        ({"type": "Sequence", "x": [{}], "y": [], "normalizers": []}, "a step without a type"),
        ({"normalizers": [replace("a", "aa")] * 6}, "a step without a type"),
        (sequence(*[UNTYPED] * 6, key="normalizers"), "a step without a type"),
        ({"type": "Prepend", "prepend": "a" * 33}, "33 characters before each text"),
    ],
)
def test_a_step_that_would_blow_a_text_up_cannot_be_hidden(part, reason):
    with pytest.raises(UnsupportedError, match=f"^t.json: normalizer: .*{reason}"):
        check_part(part, "t.json", "normalizer")
