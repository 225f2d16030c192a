# ruff: noqa: E501, RUF001
"""Patterns that could take for ever are refused; those of published models are not."""

from __future__ import annotations

import subprocess
import sys

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import UnsupportedError
from pellucid.tokens.charsets import CATEGORIES, Charset, union
from pellucid.tokens.patterns import check_pattern
from pellucid.tokens.pretokenizers import names, pre_named

ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PUBLISHED = {
    "CLIP": r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "EXAONE 4": ENDINGS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
    "Tiny Aya": r"\d{1,3}(?=(?:\d{3})*\b)",
    "SuperBPE": r"(?=(\d{3})+(?!\d))",
    "AFMoE": r"\p{N}{1,2}(?=(?:\p{N}{3})+(?:\P{N}|$))",
    "Jais 2": r"\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{1,2}(?!\S)|\s{1}",
    "Kimi K2": r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+" + ENDINGS + r"?|\p{N}{1,3}",
    "Chameleon": r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    "DeepSeek LLM": r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    "DeepSeek LLM spaces": r"\s+$",
    "Youtu": r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
    "T5": r" {2,}",
    "Whisper": r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "words": r"\w+|[^\w\s]+",
    "lines": r"[^\n]+|[\n]+",
    "tags": r"<[^>]+>",
    "possessive": r"[^\r\n\p{L}\p{N}]?+\p{L}++[\r\n]*",
    "three in a row, told apart": r"[a-z]+[0-9]+[A-Z]+!",
    "options": r"(?i)abc|(?-i:d)|(?<name>e)|(?>f)|\x{1F600}|\u00e9|\x41|[[:alpha:]]|[\]\-a]|\/",
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_patterns_of_published_models_are_accepted(name):
    check_pattern(PUBLISHED[name], name)


@pytest.mark.parametrize("name", names())
def test_our_own_patterns_are_accepted(name):
    for pattern in pre_named(name, "").patterns:
        check_pattern(pattern, name)


ENDLESS = [
    "(a+)+b", "(a*)*", "(a|a)*b", "(a|ab)*c", r"(\w+\s?)+$", "(a?){30}a{30}", "(a|b|ab)+x",
    "(.*)*x", "(x+x+)+y", "a*a*b", r"\s+\w*\s*\S+x", "(?:a|a)" * 20, "a?" * 20 + "a" * 20,
    "((a{1,9}){1,9}){1,9}b", "(?:(?=a)a|b)*", r"(\d+|\w+)*!", "(?:[ab]|b)*", "(?:a|a){30}b",
    r"(\p{L}+\p{Lu}?)*!", r"([[:alpha:]]|\p{Lu})*!", "(?i:(a|A)*)!", r"(\x61|a)*b", "((?:a+)?b?)*c",
]  # fmt: skip


@pytest.mark.parametrize("pattern", ENDLESS)
def test_patterns_that_could_take_for_ever_are_refused(pattern):
    with pytest.raises(UnsupportedError, match="could take for ever") as error:
        check_pattern(pattern, "tokenizer.json")
    assert str(error.value).startswith("tokenizer.json: the pattern ")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[a", "ends too early"), ("(a", "unmatched '('"), ("a)", "unmatched ')'"),
        (r"\p{L", "property without an end"), (r"[[:alpha", "class without an end"),
        (r"\1(a)", r"not supported: \1"), (r"(?<n>a\g<n>?)", r"not supported: \g"),
        ("(?~abc)", "of a kind that is not supported"), ("(?x: a)", "option that is not"),
        ("a{1,99999}", "more than 1000 times"), ("a{3,1}", "from more to less"),
        ("[z-a]", "a range that is not"), (r"\x{110000}", "a character code"), ("\\", "too early"),
        ("(" * 100 + ")" * 100, "more than 40 deep"), ("[" * 100 + "a" + "]" * 100, "deep"),
        ("a" * 20_001, "at most 20000 are read"), ("(" * 19_000, "deep"),
    ],
)  # fmt: skip
def test_patterns_that_are_not_understood_are_refused(pattern, reason):
    with pytest.raises(UnsupportedError) as error:
        check_pattern(pattern, "t")
    assert reason in str(error.value)


SPLIT = """
import sys, tokenizers
split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(sys.argv[1]), "isolated")
split.pre_tokenize_str(sys.argv[2])
"""


def test_the_library_gives_up_on_what_is_refused_and_not_on_what_is_accepted():
    """Oniguruma panics after ten million steps at one place of the text."""
    for pattern in ("(a|a)*b", "(a+)+b"):
        command = [sys.executable, "-c", SPLIT, pattern, "a" * 40 + "-b"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "retry-limit-in-match over" in ran.stderr
    command = [sys.executable, "-c", SPLIT, PUBLISHED["EXAONE 4"], "a b " * 4000]
    subprocess.run(command, check=True, timeout=60)


ATOMS = st.sampled_from(["a", "b", r"\w", "[ab]", "[^a]", r"\p{L}", "ab", "."])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{1,3}", "{2,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda paths: f"(?:{'|'.join(paths)})"),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(PATTERNS)
def test_the_library_gives_up_on_no_pattern_that_is_accepted(pattern):
    pattern += "-"  # so that each attempt fails in the end
    try:
        check_pattern(pattern, "t")
    except UnsupportedError:
        return
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    split.pre_tokenize_str("aabab" * 12 + "bbbb" * 10 + " -")


# -- what characters are known to be --------------------------------------------------------------


def test_all_general_categories_are_known():
    import unicodedata

    assert {unicodedata.category(chr(c)) for c in range(0x110000)} == CATEGORIES


@pytest.mark.parametrize(
    ("one", "other", "disjoint"),
    [
        (Charset.property("L"), Charset.property("N"), True),
        (Charset.property("L"), Charset.property("Ll"), False),
        (Charset.property("L"), Charset.of((0x30, 0x39)), True),
        (Charset.property("L"), Charset.of((0x30, 0x41)), False),
        (Charset.property("Han"), Charset.of((0x30, 0x39)), False),  # not known, so not certain
        (Charset.of((1, 5)), Charset.of((6, 9)), True),
        (Charset.of((1, 5)), Charset.of((5, 9)), False),
        (~Charset.of((1, 5)), Charset.of((1, 5)), True),
        (~Charset.of((1, 5)), Charset.of((5, 6)), False),
        (~Charset.property("L"), Charset.property("L"), True),
        (union([Charset.property("L"), Charset.of((32, 32))]), Charset.of((32, 32)), False),
        (Charset.property("L") & ~Charset.property("Lu"), Charset.property("Lu"), True),
        (Charset.of((0, 0x10FFFF)), Charset.property("Cn"), False),
    ],
)
def test_disjoint_is_said_only_where_it_is_certain(one, other, disjoint):
    assert one.disjoint(other) is disjoint
    assert other.disjoint(one) is disjoint
