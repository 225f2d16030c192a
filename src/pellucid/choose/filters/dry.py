"""DRY: a filter that holds it against a token that it would go on with a repetition.

"Don't repeat yourself": p-e-w, text-generation-webui PR #5677; here with llama.cpp's rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import Ids
from pellucid.errors import ParameterError, TextError

if TYPE_CHECKING:
    from pellucid.choose.setting import Setting
    from pellucid.tokens.vocabulary import Vocabulary

_LONGEST_TAIL = 20  # tokens of a breaker that one token begins
_SHORT = 32  # repetitions that are longer are few, or the text is nothing else
_PLAIN, _HEAD = 1, 2  # a token that breaks nothing, and one that may begin a breaker
_LARGEST = math.log(np.finfo(np.float32).max)  # what a penalty grows to, and no further


def dry(
    candidates: Candidates,
    context: Context,
    breakers: Breakers,
    multiplier: float,
    base: float,
    allowed: int,
    last_n: int,
    texts: tuple[str, ...],
) -> Candidates:
    """Subtract more and more from a token the longer the sequence is that it would repeat.

    If the last L tokens stood in the context before, the token that followed there loses
    multiplier * base ** (L - allowed) once L reaches `allowed`. A sequence that is broken by one
    of the texts (which `breakers` finds) begins again behind it.
    """
    window = context.ids[-last_n:] if last_n > 0 else context.ids
    if len(window) <= allowed or last_n == 0:
        return candidates
    growing = int(_LARGEST / math.log(base)) if base > 1.000001 else len(window)
    longest = min(breakers.since(window), allowed + growing)
    if longest < allowed:
        return candidates
    tokens, lengths = _repeats(window, allowed, longest)
    kept = np.array([not breakers.breaks(token) for token in tokens.tolist()], bool)
    tokens, exponents = tokens[kept], (lengths[kept] - allowed).astype(np.float64)
    with np.errstate(over="ignore"):
        penalties = (multiplier * base**exponents).astype(np.float32)
    return candidates.changed(tokens, candidates.scores_of(tokens) - penalties)


def _repeats(window: Ids, least: int, longest: int) -> tuple[Ids, Ids]:
    """Tokens that would go on with a repetition, and the length of the longest for each.

    A repetition is an earlier sequence of `least` tokens or more that the window ends with; no
    more than `longest` are looked at.
    """
    ends = np.arange(len(window) - 1)  # a sequence ended here, and the next token followed
    lengths = np.zeros(len(ends), np.int64)
    for length in range(min(longest, _SHORT)):
        ends = ends[ends >= length]
        ends = ends[window[ends - length] == window[len(window) - 1 - length]]
        if not len(ends):
            break
        lengths[ends] = length + 1
    if len(ends) and longest > _SHORT:
        _lengthen(window, lengths, ends, longest)
    (ends,) = np.nonzero(lengths >= least)
    tokens, of = np.unique(window[ends + 1], return_inverse=True)
    most = np.zeros(len(tokens), np.int64)
    np.maximum.at(most, of, lengths[ends])
    return tokens, most


def _lengthen(window: Ids, lengths: Ids, ends: Ids, longest: int) -> None:
    """Find the whole lengths of those at these ends; all other lengths are right.

    The Z algorithm (Gusfield 1997, section 1.4) on the window from its end: where a stretch is
    known to match, the lengths inside it are known too. So the time is linear, whatever the text;
    going through all lengths took 2.4 s for 32,768 equal tokens and a base near 1.
    """
    tail, known = window[::-1].tolist(), [0, *lengths[::-1].tolist()]
    left = right = 0  # the stretch that reaches farthest
    for place in (len(window) - 1 - ends[::-1]).tolist():
        length = min(right - place, known[place - left]) if place < right else 0
        most = min(longest, len(tail) - place)
        while length < most and tail[length] == tail[place + length]:
            length += 1
        known[place] = length
        if place + length > right:
            left, right = place, place + length
    lengths[:] = known[:0:-1]


class Breakers:
    """Which tokens break a sequence, as those are met: the whole vocabulary is never asked.

    A token breaks it that has one of the texts in it. One that ends with the beginning of a text
    does where the tokens of the text's rest follow.
    """

    def __init__(self, vocabulary: Vocabulary, texts: Sequence[str]) -> None:
        self._vocabulary = vocabulary
        self._texts = [text.encode() for text in texts]
        self._tails: dict[int, list[tuple[int, ...]]] = {}  # what must follow a token to break
        self._kinds = np.zeros(0, np.int8)  # by token: _PLAIN, _HEAD, or 0 where not met yet

    def breaks(self, token: int) -> bool:
        """Whether a token of the window breaks a sequence by itself."""
        return () in self._tails[token]

    def since(self, window: Ids) -> int:
        """How many tokens stand behind the last break; all of them where there is none."""
        heads: list[int] = np.flatnonzero(self._kinds_of(window) == _HEAD).tolist()
        for place in reversed(heads):
            behind = window[place + 1 : place + 1 + _LONGEST_TAIL].tolist()
            tails = self._tails[int(window[place])]
            fitting = [len(tail) for tail in tails if tuple(behind[: len(tail)]) == tail]
            if fitting:
                return len(window) - (place + 1) - max(fitting)
        return len(window)

    def _kinds_of(self, window: Ids) -> npt.NDArray[np.int8]:
        missing = int(window.max()) + 1 - len(self._kinds)
        if missing > 0:
            self._kinds = np.append(self._kinds, np.zeros(missing, np.int8))
        kinds = self._kinds[window]
        for token in set(window[kinds == 0].tolist()):
            self._tails[token] = self._tails_of(token)
            self._kinds[token] = _HEAD if self._tails[token] else _PLAIN
        return self._kinds[window]

    def _tails_of(self, token: int) -> list[tuple[int, ...]]:
        try:
            word = self._vocabulary.token_bytes(token)
        except TextError:  # an id that the model has, and no token
            return []
        return [tail for text in self._texts for tail in self._rests(word, text)]

    def _rests(self, word: bytes, text: bytes) -> list[tuple[int, ...]]:
        if text in word:
            return [()]
        longest = min(len(text) - 1, len(word))
        begun = [n for n in range(1, longest + 1) if word.endswith(text[:n])]
        rests = [text[n:].decode(errors="ignore") for n in begun]
        encode = self._vocabulary.encode
        return [tuple(encode(r, add_special_tokens=False)[:_LONGEST_TAIL]) for r in rests]

    def append(self, token: int) -> None:
        """What breaks a sequence stays the same."""

    def drop(self, count: int) -> None:
        """As above."""

    def fork(self) -> Self:
        """Shared: what is found out of one branch's tokens serves all."""
        return self


def _breakers(
    setting: Setting,
    multiplier: float,
    base: float,
    allowed: int,
    last_n: int,
    texts: tuple[str, ...],
) -> Breakers:
    if setting.vocabulary is None:
        raise ParameterError("dry_sequence_breakers", "need a tokenizer, and this engine has none")
    return Breakers(setting.vocabulary, texts)


ROWS = (
    Filter(
        dry,
        (
            "dry_multiplier",
            "dry_base",
            "dry_allowed_length",
            "dry_penalty_last_n",
            "dry_sequence_breakers",
        ),
        state=_breakers,
    ),
)
