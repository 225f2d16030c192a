"""Stop strings: found across pieces, cut out; nothing is shown that must be taken back."""

from __future__ import annotations

import random

import pytest

from pellucid.engine.stops import StopStrings


def feed(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    watcher = StopStrings(stops)
    shown = "".join(watcher.push(piece) for piece in pieces)
    return shown + watcher.flush(), watcher.stopped


@pytest.mark.parametrize(
    ("stops", "text", "left", "stopped"),
    [
        ([], "anything", "anything", False),
        (["END"], "the END of", "the ", True),
        (["END"], "the EN", "the EN", False),
        (["END"], "END", "", True),
        (["END"], "EENEND", "EEN", True),
        (["aab"], "aaab", "a", True),               # a match that overlaps a false start
        (["abab"], "abaabab", "aba", True),
        (["\n\n"], "a\nb\n\nc", "a\nb", True),
        (["b", "abc"], "xabc", "xa", True),         # what is complete first ends the text
        (["bc", "abc"], "xabc", "x", True),         # of two complete at once, the longest
        (["xyz", "é"], "café", "caf", True),
        (["👍"], "ok 👍 fine", "ok ", True),
        (["a", "a"], "ba", "b", True),
    ],
)  # fmt: skip
def test_text_is_cut_before_the_stop_however_it_comes_in_pieces(
    stops: list[str], text: str, left: str, stopped: bool
) -> None:
    for size in range(1, len(text) + 1):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert feed(stops, pieces) == (left, stopped)


def first_complete(stops: list[str], text: str) -> tuple[str, bool]:
    """The definition, by trying every end of the text."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


def test_any_text_in_any_pieces_is_cut_as_the_definition_says() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        stops = ["".join(rng.choices("ab", k=rng.randint(1, 5))) for _ in range(rng.randint(1, 3))]
        text = "".join(rng.choices("abc", k=rng.randint(0, 25)))
        cuts = sorted(rng.randint(0, len(text)) for _ in range(4))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert feed(stops, pieces) == first_complete(stops, text)


def test_only_what_may_begin_a_stop_is_held_back() -> None:
    stops = StopStrings(["STOP", "</s>"])
    assert [stops.push(piece) for piece in ("a", "b<", "/", "x", "ST", "ART")] == [
        "a", "b", "", "</x", "", "START",
    ]  # fmt: skip


def test_nothing_comes_out_after_a_stop() -> None:
    stops = StopStrings(["."])
    assert stops.push("One. Two.") == "One"
    assert stops.push("Three") + stops.flush() == ""


def test_the_worst_stop_strings_are_searched_in_time_linear_in_the_text() -> None:
    stops = StopStrings(["a" * i + "b" for i in range(4031, 4095)])
    assert stops.push("a" * 5000) + stops.push("c") == "a" * 5000 + "c"
