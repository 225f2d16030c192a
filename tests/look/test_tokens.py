"""The view of a text's tokens shows each of them, and how words were merged."""

from __future__ import annotations

import json
from io import StringIO
from itertools import accumulate, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from pellucid.look import terminal
from pellucid.look.tokens import TokensView
from pellucid.look.view import plain
from pellucid.tokens.merges import Merge, Split
from pellucid.tokens.tokenizer import Token

TOKENS = [
    Token(1, "<s>", b"<s>", 0, 0, True),
    Token(15043, "Caf", b"Caf", 0, 3, False),
    Token(195, "\ufffd", b"\xc3", 3, 4, False),
    Token(169, "\ufffd", b"\xa9", 3, 4, False),
    Token(262, " the", b" the", 4, 8, False),
    Token(198, "\n", b"\n", 8, 9, False),
    Token(300, "日本", "日本".encode(), 9, 11, False),
]
SPLIT = Split(
    text=" the",
    start=4,
    end=8,
    steps=(
        Merge((" ", "t", "h", "e"), 1, 2.0),
        Merge((" ", "th", "e"), 1, 5.0),
        Merge((" ", "the"), 0, 17.5),
    ),
    pieces=(" the",),
    ids=(262,),
)
WHOLE = Split("日", 9, 10, (), ("日",), (300,))


def test_the_json_is_the_contract() -> None:
    data = json.loads(json.dumps(TokensView(TOKENS, [SPLIT]).to_dict()))
    assert data["tokens"][2] == {
        "id": 195,
        "text": "\ufffd",
        "bytes": [0xC3],
        "start": 3,
        "end": 4,
        "special": False,
    }
    assert [token["id"] for token in data["tokens"]] == [token.id for token in TOKENS]
    assert data["splits"][0]["steps"][0] == {"pieces": [" ", "t", "h", "e"], "at": 1, "rank": 2.0}


def test_it_is_a_sequence_of_its_tokens() -> None:
    view = TokensView(TOKENS)
    assert list(view) == TOKENS
    assert (len(view), view[-1], view[1:3]) == (7, TOKENS[-1], tuple(TOKENS[1:3]))


def test_the_terminal_shows_pieces_and_a_row_for_each() -> None:
    lines = plain(TokensView(TOKENS).terminal(), 80).splitlines()
    assert lines[:2] == [r"<s>│Caf│\xc3│\xa9│␣the│↵", "日本"]
    assert [line.split() for line in lines[3:11]] == [
        ["#", "id", "token", "bytes", "characters"],
        ["0", "1", "<s>", "3c", "73", "3e", "special"],
        ["1", "15043", "Caf", "43", "61", "66", "0-3"],
        ["2", "195", r"\xc3", "c3", "3-4"],
        ["3", "169", r"\xa9", "a9", "3-4"],
        ["4", "262", "␣the", "20", "74", "68", "65", "4-8"],
        ["5", "198", "↵", "0a", "8-9"],
        ["6", "300", "日本", "e6", "97", "a5", "e6", "9c", "ac", "9-11"],
    ]
    assert lines[-1] == "6 tokens and 1 special for 11 characters, 16 bytes."


@given(
    st.lists(st.text("aé日 .", min_size=1, max_size=12), min_size=1, max_size=30),
    st.integers(30, 60),
    st.booleans(),
)
def test_a_line_of_pieces_ends_between_two_of_them(
    texts: list[str], width: int, coloured: bool
) -> None:
    console = Console(
        file=StringIO(), width=width, color_system="truecolor" if coloured else None,
        force_terminal=True, _environ={},
    )  # fmt: skip
    strip = terminal.Running((text, "bold" * (i % 2)) for i, text in enumerate(texts))
    lines = ["".join(s.text for s in line).rstrip() for line in console.render_lines(strip)]
    shown = [text.replace(" ", "␣") for text in texts]
    assert max(map(cell_len, lines)) <= width
    if not coloured:
        assert [piece for line in lines for piece in line.removesuffix("│").split("│")] == shown
    ends = set(accumulate(map(len, shown)))
    assert set(accumulate(len(line.replace("│", "")) for line in lines)) <= ends


def test_a_piece_longer_than_a_line_is_cut_and_the_next_begins_a_line() -> None:
    tokens = [Token(i, t, t.encode(), 0, 1, False) for i, t in enumerate(["a", "b" * 40, "c"])]
    lines = plain(TokensView(tokens).terminal(), 30).splitlines()
    assert lines[:4] == ["a│", "b" * 30, "b" * 10, "c"]


def test_the_html_says_the_same_as_the_data(page: Any) -> None:
    read = page(TokensView(TOKENS).html())
    (heading, *rows) = read.tables[0]
    assert heading == ["#", "id", "token", "bytes", "characters", ""]
    assert [int(row[1]) for row in rows] == [token.id for token in TOKENS]
    assert [bytes.fromhex(row[3]) for row in rows] == [token.bytes for token in TOKENS]
    assert [row[4] for row in rows] == ["", "0-3", "3-4", "3-4", "4-8", "8-9", "9-11"]
    assert [row[5] for row in rows] == ["special"] + [""] * 6
    assert read.paragraphs[0] == r"<s>Caf\xc3\xa9␣the↵日本"
    assert read.paragraphs[1] == "6 tokens and 1 special for 11 characters, 16 bytes."


def test_neighbours_have_different_colours_and_special_tokens_their_own(page: Any) -> None:
    classes = [
        value
        for tag, name, value in page(TokensView(TOKENS).html()).attributes
        if (tag, name) == ("bdi", "class")
    ][: len(TOKENS)]
    assert classes[0] == "special"
    assert all(a != b for a, b in pairwise(classes))


def test_each_merge_is_shown_with_its_rank() -> None:
    lines = plain(TokensView(TOKENS, [SPLIT, WHOLE]).terminal(), 80).splitlines()
    start = next(i for i, line in enumerate(lines) if line.split() == ["rank", "joined", "pieces"])
    assert [line.split() for line in lines[start + 1 :]] == [
        ["␣", "t", "h", "e"],
        ["2", "t", "h", "␣", "th", "e"],
        ["5", "th", "e", "␣", "the"],
        ["17.50", "␣", "the", "␣the"],
    ]


def test_each_merge_is_in_the_html(page: Any) -> None:
    read = page(TokensView(TOKENS, [SPLIT, WHOLE]).html())
    assert len(read.tables) == 2, "a word that needed no merges has no table"
    assert read.tables[1] == [
        ["rank", "joined", "pieces"],
        ["", "", "␣ t h e"],
        ["2", "t h", "␣ th e"],
        ["5", "th e", "␣ the"],
        ["17.50", "␣ the", "␣the"],
    ]


def test_a_long_text_is_cut_and_says_how_much_is_left_out(page: Any) -> None:
    view = TokensView([Token(i, "a", b"a", i, i + 1, False) for i in range(1234)])
    lines = plain(view.terminal(), 80).splitlines()
    assert "… and 1,134 more tokens; all are in to_dict() and --json" in lines
    assert lines[-1] == "1,234 tokens for 1,234 characters, 1,234 bytes."
    assert len(lines) < 120
    read = page(view.html())
    assert len(read.tables[0]) == 501
    assert read.paragraphs[1].startswith("… and 734 more tokens")
    assert len(view.to_dict()["tokens"]) == 1234


def test_many_merged_words_are_cut_too() -> None:
    shown = plain(TokensView(TOKENS, [SPLIT] * 20).terminal(), 80)
    assert shown.count("17.50") == 12
    assert "… and 8 more merged words" in shown


def test_no_tokens_are_a_view_too(page: Any) -> None:
    view = TokensView([])
    assert str(view) == "The text is empty: it has no tokens."
    assert page(view.html()).paragraphs == [str(view)]
    assert view.to_dict() == {"tokens": [], "splits": []}


def test_hostile_pieces_are_shown_and_not_obeyed(hostile: Any, page: Any, is_harmless: Any) -> None:
    tokens = [Token(i, "", piece, 0, 0, False) for i, piece in enumerate(hostile)]
    splits = [
        Split(text, 0, 1, (Merge((text, text), 0, 1.0),), (text, text), ())
        for text in (piece.decode("utf-8", "replace") for piece in hostile)
    ]
    view = TokensView(tokens, splits)
    shown = plain(view.terminal(), 200)
    assert is_harmless(shown)
    assert all(part in shown for part in hostile.values() if len(part) < 60)
    read = page(view.html())
    assert [row[2] for row in read.tables[0][1:]] == list(hostile.values())
    assert is_harmless(view.html())
