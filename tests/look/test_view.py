"""What all views have in common: where and how they are shown."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from pellucid.look.next import Candidate, NextView
from pellucid.look.tokens import TokensView
from pellucid.look.view import View, plain
from pellucid.tokens.tokenizer import Token


def tokens(*pieces: str) -> TokensView:
    made, at = [], 0
    for i, piece in enumerate(pieces):
        made.append(Token(i, piece, piece.encode(), at, at + len(piece), False))
        at += len(piece)
    return TokensView(made)


def printed(view: View, **options: Any) -> str:
    """What a rich console prints; a terminal with all colours unless `options` say otherwise."""
    file = StringIO()
    environment = options.pop("environment", {})
    defaults = {"force_terminal": True, "color_system": "truecolor", "width": 80}
    Console(file=file, _environ=environment, **{**defaults, **options}).print(view)
    return file.getvalue()


def test_printing_and_repr_give_the_same_plain_text() -> None:
    view = tokens("Hel", "lo")
    assert str(view) == repr(view) == plain(view.terminal())
    assert "Hel│lo" in str(view)


def test_plain_text_has_no_colours_even_when_they_are_forced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert "\x1b" not in str(tokens("Hel", "lo"))


def test_a_terminal_gets_colours_instead_of_bars() -> None:
    shown = printed(tokens("Hel", "lo"))
    assert "\x1b[" in shown
    assert "│" not in shown


@pytest.mark.parametrize(
    "options",
    [
        {"environment": {"NO_COLOR": "1"}},
        {"environment": {"TERM": "dumb"}, "color_system": "auto"},
        {"force_terminal": False, "color_system": "auto"},
    ],
    ids=["NO_COLOR", "TERM=dumb", "not a terminal"],
)
def test_where_colours_are_unwanted_bars_part_the_tokens(options: Any) -> None:
    shown = printed(tokens("Hel", "lo"), **options)
    assert "Hel│lo" in shown
    assert "48;2" not in shown


def test_text_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    view = tokens(*["word"] * 60)
    for columns in (40, 72, 160):
        monkeypatch.setenv("COLUMNS", str(columns))
        widths = [cell_len(line) for line in str(view).splitlines()]
        assert columns - 5 <= max(widths) <= columns


@pytest.mark.parametrize("piece", ["日本", "😀", "한", "e\u0301", "👍🏽", "ש", "क्षि"])
def test_columns_stay_aligned_behind_wide_and_narrow_characters(piece: str) -> None:
    view = NextView([Candidate(1, "plain", 1.0, 0.5, 1), Candidate(2, piece, 1.0, 0.5, 2)])
    rows = str(view).splitlines()[1:3]
    before = [row[: row.index("50.00 %")] for row in rows]
    assert cell_len(before[0]) == cell_len(before[1])


def test_numbers_stay_behind_a_token_that_is_read_from_the_right() -> None:
    shown = str(NextView([Candidate(1, "שלום", 1.0, 0.5, 1)]))
    assert "שלום\N{LEFT-TO-RIGHT MARK}" in shown
    assert "\N{LEFT-TO-RIGHT MARK}" not in str(NextView([Candidate(1, "abc", 1.0, 0.5, 1)]))


def test_a_notebook_gets_html() -> None:
    view = tokens("Hel", "lo")
    assert view._repr_html_() == view.html()
    assert view.html().startswith('<div class="pellucid"')


def test_html_needs_nothing_from_elsewhere() -> None:
    shown = tokens("Hel", "lo").html()
    assert not any(word in shown for word in ("http", "url(", "@import", "<script", "<link"))


def test_a_view_must_say_how_it_is_shown() -> None:
    class Half(View):
        def to_dict(self) -> dict[str, Any]:
            return {}

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_rich_is_not_loaded_until_something_is_shown() -> None:
    code = (
        "import sys\n"
        "from pellucid.look.next import Candidate, NextView\n"
        "from pellucid.look import generation, score, tokens\n"
        "view = NextView([Candidate(1, 'a', 0.0, 1.0, 1)])\n"
        "view.to_dict(); view.html()\n"
        "assert 'rich' not in sys.modules\n"
        "str(view)\n"
        "assert 'rich' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
