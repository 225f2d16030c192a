# ruff: noqa: RUF001  (letters that look alike are the point)
"""What a stranger's text holds is shown, and neither hidden nor obeyed."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.look.visible import harmless, visible


def test_each_hostile_piece_is_shown_as_what_it_is(hostile: Any) -> None:
    assert {piece: visible(piece) for piece in hostile} == hostile


def test_text_is_shown_as_its_bytes_are(hostile: Any) -> None:
    whole = {piece: shown for piece, shown in hostile.items() if "\\xe" not in shown}
    assert {piece: visible(piece.decode()) for piece in whole} == whole


def test_a_lone_surrogate_is_not_taken_for_a_byte() -> None:
    assert visible("\udc80") == r"\udc80"
    assert visible(b"\x80") == r"\x80"


def test_ordinary_letters_of_all_scripts_are_left_alone() -> None:
    text = "Größe日本語한국어עבריתالعربيةहिन्दी😀e\u0301."
    assert visible(text) == text


SHAPELESS = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}


@given(st.one_of(st.text(), st.binary()))
def test_nothing_without_a_shape_is_left_in_a_piece(piece: str | bytes) -> None:
    assert not {unicodedata.category(c) for c in visible(piece)} & SHAPELESS
    assert bool(visible(piece)) == bool(piece)


@given(st.text())
def test_running_text_keeps_only_spaces_lines_and_joiners(text: str) -> None:
    left = {c for c in harmless(text) if unicodedata.category(c) in SHAPELESS}
    assert left <= set(" \n\t\u200c\u200d")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two words\nand\ttwo", "two words\nand\ttwo"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("👨\u200d👩\u200d👧 ❤\ufe0f می\u200cخواهم", "👨\u200d👩\u200d👧 ❤\ufe0f می\u200cخواهم"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\u202egnp.exe\u202c", r"\u202egnp.exe\u202c"),
        ("\ud800", r"\ud800"),
    ],
)
def test_running_text_is_kept_where_it_is_harmless(text: str, shown: str) -> None:
    assert harmless(text) == shown
