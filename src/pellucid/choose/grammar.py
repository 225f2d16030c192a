"""The language that an answer is held to, and how far a branch has come in it, by llguidance.

https://github.com/guidance-ai/llguidance: an Earley parser over lexemes that are derivatives of
regular expressions; it tells which tokens may follow from a trie of the vocabulary.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from pellucid.choose.parameters.values import shown
from pellucid.errors import ParameterError
from pellucid.tokens.guide import Guide

if TYPE_CHECKING:
    import llguidance

# What llguidance compiles it compiles by recursion, up to 11 kB of stack a level; 64 Ki characters,
# to which sources are bounded, hold fewer than 8,000 levels. Of the usual 8 MiB a chain of 800
# references takes all, and the process with it.
_STACK_BYTES = 1 << 27

_LONGEST_GBNF = 1 << 14  # its conversion takes quadratic time: 1 s for so many characters, 18 s
# for three times as many
_MOST_MULTIPLE = 10_000  # an automaton has so many states for "multipleOf"; a million take 7 s

# Every token that may follow is allowed, not just the first of the tokenizer's own spelling where
# the text is settled: so what is drawn from is the model's distribution, cut down and no more.
_OPTIONS = '\n%llguidance {"no_forcing": true}\n'

# As in llama.cpp's JSON: free to indent, but no answer is spent on whitespace without end.
_WHITESPACE = r" |\n{1,2}[ \t]{0,20}"

_LONGEST_REASON = 200  # characters of what llguidance says

_multiple = re.compile(r'"multipleOf"\s*:\s*([-+.\deE]+)')
_escaped = re.compile(r"\\u00([0-7][0-9a-fA-F])")
_tempered = re.compile(r"^[ \t]*\w[\w-]*\[[^\]\n]*\btemperature\s*=", re.MULTILINE)


@dataclass(frozen=True)
class Grammar:
    """A language in llguidance's Lark, and the parameter that asks for it."""

    parameter: str
    lark: str


def from_json_schema(schema: str) -> Grammar:
    """JSON texts that a schema allows; properties come in its order.

    A keyword that llguidance does not know is refused, unless the schema's own "x-guidance" says
    otherwise. References to other documents are never fetched.
    """
    asked = json.loads(schema)
    asked.setdefault("x-guidance", {"whitespace_pattern": _WHITESPACE})
    return Grammar("json_schema", f"start: %json {json.dumps(asked, ensure_ascii=False)}")


def from_regex(regex: str) -> Grammar:
    """Texts that match as a whole; Rust's syntax, so without look-around and back-references."""
    import llguidance  # noqa: PLC0415  # lazy: few answers are constrained

    return Grammar("regex", f"start: /{llguidance.regex_to_lark(regex, '')}/")


def from_lark(grammar: str) -> Grammar:
    """A grammar of one's own, in Lark or in llama.cpp's GBNF, whose `root` becomes `start`."""
    from llguidance.gbnf_to_lark import gbnf_to_lark, is_lark_syntax  # noqa: PLC0415  # as above

    if is_lark_syntax(grammar):
        if _tempered.search(grammar):
            raise ParameterError("grammar", "has a rule with temperature=, which has no effect")
        return Grammar("grammar", grammar)
    if len(grammar) > _LONGEST_GBNF:
        raise ParameterError("grammar", f"has more than {_LONGEST_GBNF} characters of GBNF")
    try:
        return Grammar("grammar", gbnf_to_lark(grammar))
    except RecursionError:
        raise ParameterError("grammar", "is nested too deep") from None
    except Exception as error:  # the converter raises plain ones for what it cannot read
        raise ParameterError("grammar", f"is no GBNF: {_short(str(error))}") from None


def from_choice(texts: tuple[str, ...]) -> Grammar:
    """One of these texts.

    >>> from_choice(("yes", "no")).lark
    'start: "yes" | "no"'
    """
    # Lark's strings are JSON's, but for DEL, which they must not hold as it is.
    quoted = (json.dumps(text).replace("\x7f", "\\u007f") for text in texts)
    return Grammar("choice", f"start: {' | '.join(quoted)}")


class Progress:
    """How far a branch has come in a grammar: a `Follower`."""

    def __init__(
        self, parameter: str, matcher: llguidance.LLMatcher, words: int, ends: Collection[int]
    ) -> None:
        """`words` counts the tokens that the matcher knows; `ends` are those that end an answer."""
        self._parameter = parameter
        self._matcher = matcher
        self._words = words
        self._ends = list(ends)
        self._beyond = 0  # so many tokens follow an end, or one that the grammar does not allow

    def allowed(self, vocab_size: int) -> npt.NDArray[np.bool_]:
        """Which tokens may follow, `[vocab]`; those that end the answer just where it may end.

        None where the vocabulary cannot spell what must come. Raises ParameterError where telling
        takes more than llguidance's limits.
        """
        nothing = np.zeros(vocab_size, np.bool_)
        if self._beyond:
            return nothing
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if reason := self._matcher.get_error():
            if "NoExtension" in reason:
                return nothing
            raise ParameterError(self._parameter, _said(reason))
        allowed = np.unpackbits(bits, count=vocab_size, bitorder="little").view(np.bool_)
        allowed[self._words :] = False
        allowed[self._ends] = self._matcher.is_accepting()
        return allowed

    def append(self, token: int) -> None:
        """The branch has grown by a token."""
        if self._beyond or token in self._ends or not self._matcher.try_consume_tokens([token]):
            self._beyond += 1

    def drop(self, count: int) -> None:
        """The branch has lost its last tokens."""
        beyond = min(count, self._beyond)
        self._beyond -= beyond
        if count > beyond:
            self._matcher.rollback(count - beyond)

    def fork(self) -> Self:
        """The same place, to go on from by itself."""
        twin = type(self)(self._parameter, self._matcher.deep_copy(), self._words, self._ends)
        twin._beyond = self._beyond
        return twin


def begin(grammar: Grammar, guide: Guide, ends: Collection[int]) -> Progress:
    """Before the first token; `ends` are the tokens that end an answer.

    Raises ParameterError for what llguidance refuses, and for what no text matches.
    """
    _check_multiples(grammar)
    matcher = _deeply(lambda: _compiled(grammar, guide))
    progress = Progress(grammar.parameter, matcher, len(guide.pieces), ends)
    if not progress.allowed(max(len(guide.pieces), *(end + 1 for end in ends), 0)).any():
        raise ParameterError(grammar.parameter, "no text matches it")
    return progress


def _compiled(grammar: Grammar, guide: Guide) -> llguidance.LLMatcher:
    import llguidance  # noqa: PLC0415  # lazy: few answers are constrained

    lark = llguidance.LLMatcher.grammar_from_lark(grammar.lark + _OPTIONS)
    limits = llguidance.LLParserLimits(verbose_errors=False)
    return llguidance.LLMatcher(guide.trie, lark, log_level=0, limits=limits)


_threads = threading.Lock()


def _deeply(make: Callable[[], llguidance.LLMatcher]) -> llguidance.LLMatcher:
    """What a function makes, on a stack that is deep enough."""
    made: list[llguidance.LLMatcher] = []
    with _threads:  # the size is one for all threads that are started meanwhile
        usual = threading.stack_size(_STACK_BYTES)
        try:
            thread = threading.Thread(target=lambda: made.append(make()))
            thread.start()
        finally:
            threading.stack_size(usual)
    thread.join()
    return made[0]


def _check_multiples(grammar: Grammar) -> None:
    """Refuse "multipleOf" that would take too many states; several may be joined into one."""
    text = _escaped.sub(lambda found: chr(int(found[1], 16)), grammar.lark)
    steps = [_step(grammar.parameter, number) for number in _multiple.findall(text)]
    if math.lcm(*steps) > _MOST_MULTIPLE:
        reason = f'"multipleOf" has multiples above {_MOST_MULTIPLE}, counted in its last decimal'
        raise ParameterError(grammar.parameter, f"{reason}, which take too long")


def _step(parameter: str, number: str) -> int:
    """A number in units of its last decimal.

    >>> _step("json_schema", "0.250"), _step("json_schema", "1e2")
    (25, 100)
    """
    try:
        _, digits, exponent = Decimal(number).normalize().as_tuple()
    except ArithmeticError:
        raise ParameterError(parameter, f'"multipleOf" is no number: {shown(number)}') from None
    assert isinstance(exponent, int), "the pattern admits no NaN"
    coefficient = int("".join(map(str, digits)))
    return coefficient * 10 ** min(max(exponent, 0), 9) or 1


def _said(reason: str) -> str:
    """What llguidance says, in one short line."""
    return _short(reason.partition("error: ")[2] or reason)


def _short(reason: str) -> str:
    r"""The first line of a reason, without the place in a text that the user did not write.

    >>> _short("at 1(8): failed to compile JSON schema: Unknown format: x\n  1 | start: ...")
    'Unknown format: x'
    """
    line = reason.strip().partition("\n")[0]
    line = re.sub(r"^at 1\(8\): |failed to compile JSON schema: ", "", line)
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
