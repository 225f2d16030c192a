"""Grammars: which tokens may follow, where an answer may end, and which languages are refused."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.choose.grammar import (
    Grammar,
    Progress,
    begin,
    from_choice,
    from_json_schema,
    from_lark,
    from_regex,
)
from pellucid.errors import ParameterError, TextError
from pellucid.tokens.guide import Guide
from pellucid.tokens.load import load_tokenizer
from pellucid.weights.checkpoint import open_checkpoint

MAKES = {
    "json_schema": from_json_schema,
    "regex": from_regex,
    "grammar": from_lark,
    "choice": from_choice,
}


class Pieces:
    """A vocabulary of these tokens, behind one that ends."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = [b"<end>", *pieces]
        self.vocab_size = len(self.pieces)

    def token_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id]

    def is_special(self, token_id: int) -> bool:
        return token_id == END


END = 0
EACUTE = [b"\xc3", b"\xa9"]
BYTES = Guide(Pieces(bytes([byte]) for byte in range(256)))
SYLLABLES = Guide(Pieces([b"a", b"b", b"ab", b"ba", b"aab", b"abab", *EACUTE, b"".join(EACUTE)]))


def texts_allowed(progress: Progress, guide: Guide) -> set[bytes]:
    """What may follow; b"" is the end."""
    allowed = np.flatnonzero(progress.allowed(len(guide.pieces)))
    return {guide.pieces[token] if token != END else b"" for token in allowed}


def accepts(grammar: Grammar, text: str) -> bool:
    """Whether the text can be said byte by byte, and then the end."""
    progress = begin(grammar, BYTES, [END])
    for byte in text.encode():
        if not progress.allowed(257)[byte + 1]:
            return False
        progress.append(byte + 1)
    return bool(progress.allowed(257)[END])


def could_follow(said: bytes, choices: list[str], guide: Guide) -> set[bytes]:
    """By definition: what leaves the beginning of a choice."""
    whole = [choice.encode() for choice in choices]
    follow = {p for p in guide.pieces[1:] if any(w.startswith(said + p) for w in whole)}
    return follow | ({b""} if said in whole else set())


choices_of_syllables = st.lists(
    st.text(st.sampled_from("abé"), min_size=1, max_size=6), min_size=1, max_size=4
)


@given(choices_of_syllables, st.randoms(use_true_random=False))
def test_all_tokens_and_only_those_that_a_choice_can_go_on_with_are_allowed(
    choices: list[str], chance: random.Random
) -> None:
    progress, said = begin(from_choice(tuple(choices)), SYLLABLES, [END]), b""
    while True:
        allowed = texts_allowed(progress, SYLLABLES)
        assert allowed == could_follow(said, choices, SYLLABLES)
        if not (further := sorted(allowed - {b""})):
            return
        piece = chance.choice(further)
        progress.append(SYLLABLES.pieces.index(piece))
        said += piece


@given(choices_of_syllables, st.randoms(use_true_random=False))
def test_a_place_that_was_left_and_found_again_is_the_same(
    choices: list[str], chance: random.Random
) -> None:
    """Growing, dropping and forking at random: only the tokens that are left matter."""
    grammar = from_choice(tuple(choices))
    progress, ids = begin(grammar, SYLLABLES, [END]), list[int]()
    for _ in range(12):
        if ids and chance.random() < 0.4:
            count = chance.randint(1, len(ids))
            progress.drop(count)
            del ids[-count:]
        else:
            before = progress if chance.random() < 0.5 else None
            progress = progress.fork()
            ids.append(token := chance.randrange(len(SYLLABLES.pieces)))
            progress.append(token)
            if before:
                before.append(1)  # what becomes of the other is its own affair
    straight = begin(grammar, SYLLABLES, [END])
    for token in ids:
        straight.append(token)
    assert texts_allowed(progress, SYLLABLES) == texts_allowed(straight, SYLLABLES)


def test_nothing_follows_an_end_or_a_text_that_the_grammar_does_not_have() -> None:
    for last in (END, ord("z") + 1):
        progress = begin(from_regex("a*"), BYTES, [END])
        progress.append(last)
        progress.append(ord("a") + 1)
        assert texts_allowed(progress, BYTES) == set()
        progress.drop(2)
        assert texts_allowed(progress, BYTES) == {b"a", b""}


def test_a_token_that_ends_is_no_text_even_if_it_has_one() -> None:
    progress = begin(from_regex("ab"), BYTES, [END, ord("b") + 1])
    assert texts_allowed(progress, BYTES) == {b"a"}
    progress.append(ord("a") + 1)
    assert texts_allowed(progress, BYTES) == set()  # "b" would end an answer that is not complete


def test_a_character_that_the_vocabulary_cannot_complete_leads_nowhere() -> None:
    half = Guide(Pieces([b"a", EACUTE[0]]))
    progress = begin(from_choice(("a", "é")), half, [END])
    assert texts_allowed(progress, half) == {b"a", EACUTE[0]}
    progress.append(2)
    assert texts_allowed(progress, half) == set()


@cache
def guide_of(path: Path) -> Guide:
    return load_tokenizer(open_checkpoint(path)).guide


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_the_first_mask_of_a_real_vocabulary_is_what_a_search_through_it_finds(
    model: str, request: pytest.FixtureRequest
) -> None:
    guide = guide_of(request.getfixturevalue(model))
    choices = [" the answer", "the question", "then", "\n\tcode", "naïve 🙂"]
    steering = {i for i, piece in enumerate(guide.pieces) if guide.trie.is_special_token(i)}

    def found(grammar: Grammar) -> set[int]:
        allowed = begin(grammar, guide, []).allowed(len(guide.pieces))
        return set(np.flatnonzero(allowed).tolist())

    def searched(fits: re.Pattern[bytes]) -> set[int]:
        tokens = enumerate(guide.pieces)
        return {i for i, piece in tokens if piece and fits.fullmatch(piece)} - steering

    prefixes = {c.encode()[:n] for c in choices for n in range(1, len(c.encode()) + 1)}
    assert found(from_choice(tuple(choices))) == searched(
        re.compile(b"|".join(map(re.escape, sorted(prefixes))))
    )
    assert found(from_regex(r"[0-9]{2,4}")) == searched(re.compile(rb"[0-9]{1,4}"))
    assert found(from_regex(r"[^a-z]é")) >= searched(re.compile(rb"[A-Z0-9]"))
    assert found(from_regex(r"[ -~]+")) == searched(re.compile(rb"[ -~]+"))


@pytest.mark.parametrize(
    ("regex", "texts"),
    [
        (r"\d+", ["1", "٣", "a", ""]),
        (r"\w\s\S", ["é\u00a0x", "a b", "a  "]),
        (r".", ["a", "🙂", "\n", "ab"]),
        (r"^(ab|c)*$", ["", "abcab", "abca"]),
        (r"^a|b$", ["a", "b", "ab"]),
        (r"a/b\n\"#//", ['a/b\n"#//', "a/b"]),
        (r"(?i)straße", ["STRASSE", "STRAßE", "straße"]),
        (r"[^\x00-\x7f]{2}", ["éé", "é", "ee"]),
        (r"x{2,3}?y*?", ["xx", "xxxyy", "xxxx"]),
        (r"", ["", "a"]),
    ],
)
def test_a_regex_means_what_it_means_to_python(regex: str, texts: list[str]) -> None:
    for text in texts:
        assert accepts(from_regex(regex), text) == bool(re.fullmatch(regex, text))


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3))
def test_a_choice_is_the_text_itself_whatever_it_is_made_of(texts: list[str]) -> None:
    assert all(accepts(from_choice(tuple(texts)), text) for text in texts)


INDENTED = ["{}", '{ "a": 1 }', '{\n\n    "a": [1,\n\t\t2]\n}', '{"a":{"b":[null,-1.5e3,"é\\n"]}}']
SPACED = ['{   "a": 1}', ' {"a":1}', '{"a":1} ', '{\n\n\n"a":1}']


@pytest.mark.parametrize("text", [*INDENTED, *SPACED])
def test_json_may_be_indented_but_no_answer_is_spent_on_whitespace(text: str) -> None:
    json.loads(text)
    assert accepts(from_json_schema("{}"), text) == (text in INDENTED)


def test_a_schema_has_the_last_word_on_whitespace() -> None:
    spaced = {"type": "array", "x-guidance": {"whitespace_flexible": False}}
    assert not accepts(from_json_schema(json.dumps(spaced)), "[1, 2]")


def test_gbnf_is_a_grammar_too() -> None:
    gbnf = 'root ::= item ("," item)*\nitem ::= [a-z]+ | "<" root ">"'
    lark = 'start: item ("," item)*\nitem: /[a-z]+/ | "<" start ">"'
    for text, fits in {"ab": True, "a,<b,<c>>": True, "<a": False, "": False, "a,": False}.items():
        assert accepts(from_lark(gbnf), text) == accepts(from_lark(lark), text) == fits


def chain(link: str, count: int) -> str:
    """Definitions, each of which refers to the next."""
    references = (f'{{"$ref":"#/$defs/{i + 1}"}}' for i in range(count))
    parts = (f'"{i}":{link.replace("NEXT", to)}' for i, to in enumerate(references))
    return f'{{"$ref":"#/$defs/0","$defs":{{{",".join(parts)},"{count}":{{}}}}}}'


def rules(rule: str, count: int) -> str:
    parts = (rule.replace("A", f"A{i}").replace("NEXT", f"A{i + 1}") for i in range(count))
    return "start: A0\n" + "\n".join(parts) + f'\nA{count}: "y"'


REFUSED = [
    ("json_schema", '{"$ref":"#"}', "no text matches it"),
    ("json_schema", '{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#"}}}', "no text matches it"),
    ("json_schema", '{"allOf":[{"$ref":"#"}]}', "no text matches it"),
    ("json_schema", '{"$ref":"http://127.0.0.1:9/x.json"}', "does not fetch resources"),
    ("json_schema", '{"$ref":"file:///etc/passwd"}', "does not fetch resources"),
    ("json_schema", '{"$id":"http://127.0.0.1:9/","$ref":"x"}', "does not fetch resources"),
    ("json_schema", '{"type":"string","minLength":5,"maxLength":3}', "Unsatisfiable schema"),
    ("json_schema", '{"type":"strng"}', "Invalid type: strng"),
    ("json_schema", '{"uniqueItems":true}', 'Unimplemented keys: ["uniqueItems"]'),
    ("json_schema", '{"format":"zzz","type":"string"}', "Unknown format: zzz"),
    ("json_schema", '{"type":"integer","multipleOf":1000003}', '"multipleOf" has multiples above'),
    ("json_schema", '{"multipleOf":1e300}', '"multipleOf" has multiples above'),
    ("json_schema", '{"multipleOf":0.0009765625}', '"multipleOf" has multiples above'),
    ("json_schema", '{"allOf":[{"multipleOf":911},{"multipleOf":997}]}', '"multipleOf" has'),
    ("regex", "(?=a)b", "look-around"),
    ("regex", r"(a)\1", "backreferences are not supported"),
    ("regex", r"[^\s\S]", "no text matches it"),
    ("regex", "(", "unclosed group"),
    ("regex", "(" * 20_000 + ")" * 20_000, "maximum number of nested"),
    ("grammar", "start: start", "no text matches it"),
    ("grammar", "start: A\nA: /a/ & /b/", "no text matches it"),
    ("grammar", "start: nope", 'unknown name: "nope"'),
    ("grammar", "what is this", "is no GBNF"),
    ("grammar", "start: " + "(" * 20_000 + '"a"' + ")" * 20_000, "too deeply nested"),
    ("grammar", rules("A: NEXT NEXT", 60), "too big"),
    ("grammar", 'start: x\nx[temperature=0.5]: "a"', "temperature=, which has no effect"),
    ("grammar", r'start: %json {"\u006dultipleOf":1000003}', '"multipleOf" has multiples above'),
    ("grammar", "start: <|nope|>", "unknown special token"),
    ("grammar", "root ::= " + "(" * 5000 + '"a"' + ")" * 5000, "is nested too deep"),
    ("grammar", "root ::= " + '"a" ' * 10_000, "has more than 16384 characters of GBNF"),
]


@pytest.mark.parametrize(("kind", "source", "reason"), REFUSED)
def test_what_no_answer_can_meet_is_refused_in_one_line(
    kind: str, source: str, reason: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        begin(MAKES[kind](source), BYTES, [END])  # type: ignore[operator]
    assert str(caught.value).startswith(f"{kind}: ")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


HEAVY = {
    "references": ("json_schema", chain("NEXT", 1900)),
    "items": ("json_schema", chain('{"items":NEXT}', 1500)),
    "alternatives": ("json_schema", chain('{"anyOf":[NEXT,{"type":"null"}]}', 1000)),
    "joined": ("json_schema", chain('{"allOf":[NEXT,{"minLength":1}]}', 1000)),
    "deep items": ("json_schema", chain('{"items":' * 50 + "NEXT" + "}" * 50, 100)),
    "rules": ("grammar", rules('A: "x" NEXT', 3900).replace("A", "a")),
    "tokens": ("grammar", rules('A: "x" NEXT', 3900)),
    "alternating tokens": ("grammar", rules('A: ("x"|"z" (NEXT)*)+', 1900)),
    "long": ("json_schema", '{"type":"string","maxLength":1000000000}'),
    "many": ("json_schema", '{"type":"array","minItems":1000000000}'),
    "repeats": ("regex", "((a{100}){100}){100}"),
    "states": ("regex", ".*a.{20}b.{20}.*"),
    "ambiguous": ("grammar", 'start: "a" | start start'),
    "optional": ("regex", "a?" * 5000 + "a" * 5000),
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_is_carried_or_refused_and_takes_nothing_with_it(name: str) -> None:
    """In a process of its own: a stack that overflows would end this one."""
    kind, source = HEAVY[name]
    assert len(source) <= 65536
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_grammar import BYTES, END, MAKES, begin
        from pellucid.errors import ParameterError
        try:
            progress = begin(MAKES[{kind!r}](sys.stdin.read()), BYTES, [END])
            for _ in range(100):
                allowed = progress.allowed(257)
                allowed[END] = False
                if not allowed.any():
                    break
                progress.append(int(allowed.argmax()))
                progress = progress.fork()
        except ParameterError as error:
            assert len(str(error)) < 400, error
    """
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=source,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_model_may_have_more_rows_than_tokens() -> None:
    allowed = begin(from_regex("(?s).*"), SYLLABLES, [END]).allowed(20)
    assert np.flatnonzero(allowed).tolist() == [END, 1, 2, 3, 4, 5, 6, 7, 9]  # 8 begins no text


def test_a_vocabulary_may_have_gaps() -> None:
    class Gaps(Pieces):
        def token_bytes(self, token_id: int) -> bytes:
            if token_id == 2:
                raise TextError("no token has id 2")
            return super().token_bytes(token_id)

    allowed = begin(from_regex("[ab]*"), Guide(Gaps([b"a", b"b", b"ab"])), [END]).allowed(4)
    assert np.flatnonzero(allowed).tolist() == [END, 1, 3]


@given(st.text(st.sampled_from("abé"), max_size=8))
def test_the_fewest_tokens_are_as_few_as_any_way_of_spelling_takes(text: str) -> None:
    @cache
    def fewest(rest: bytes) -> float:
        steps = (fewest(rest[len(p) :]) for p in SYLLABLES.pieces if p and rest.startswith(p))
        return 1 + min(steps, default=float("inf")) if rest else 0

    wanted = fewest(text.encode())
    for most in range(10):
        assert SYLLABLES.fewest(text, most) == (wanted if wanted <= most else None)
