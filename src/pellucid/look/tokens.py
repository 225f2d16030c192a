"""How a text is cut into tokens, and how each word became its pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from pellucid.look import html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.numbers import left_out
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.tokens.merges import Merge, Split, merged
from pellucid.tokens.tokenizer import Token

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 100, 500
_WORDS_IN_TERMINAL, _WORDS_IN_HTML = 12, 100
_LONGEST_HEX = 64  # bytes
_HEADINGS = ("##", "#id", "token", "bytes", "#characters", "")
_EMPTY = "The text is empty: it has no tokens."
_MERGE_HEADINGS = ("#rank", "joined", "pieces")

Pieces = tuple[str, ...]


class TokensView(View, Sequence[Token]):
    r"""The tokens of a text; a sequence of `Token`. `splits`, where given, show how its words were
    split, merge by merge.

    >>> TokensView([Token(51, "T", b"T", 0, 1, False), Token(1005, "oo\n", b"oo\n", 1, 4, False)])
    T│oo↵
    <BLANKLINE>
    #    id  token  bytes     characters
    0    51  T      54               0-1
    1  1005  oo↵    6f 6f 0a         1-4
    <BLANKLINE>
    2 tokens for 4 characters, 4 bytes.
    """

    def __init__(self, tokens: Sequence[Token], splits: Sequence[Split] = ()) -> None:
        self.tokens = tuple(tokens)
        self.splits = tuple(splits)

    def __len__(self) -> int:
        return len(self.tokens)

    @overload
    def __getitem__(self, at: int) -> Token: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Token]: ...
    def __getitem__(self, at: int | slice) -> Token | Sequence[Token]:
        return self.tokens[at]

    def to_dict(self) -> dict[str, Any]:
        """`tokens[] {id, text, bytes, start, end, special}`, and `splits[]` if they were asked."""
        return {
            "tokens": [token.to_dict() for token in self.tokens],
            "splits": [split.to_dict() for split in self.splits],
        }

    def terminal(self) -> RenderableType:
        if not self.tokens:
            return terminal.words(_EMPTY)
        shown = self.tokens[:_ROWS_IN_TERMINAL]
        running = terminal.Running((t.bytes, _style(i, t)) for i, t in enumerate(shown))
        rows = (
            (*before, terminal.piece(token.bytes, _style(i, token)), *after)
            for i, (token, before, after) in enumerate(self._rows(_ROWS_IN_TERMINAL))
        )
        notes = (terminal.words(note) for note in self._notes(_ROWS_IN_TERMINAL))
        merges = (_merges_in_terminal(split) for split in self._merged(_WORDS_IN_TERMINAL))
        more = (terminal.words(note) for note in self._merge_notes(_WORDS_IN_TERMINAL))
        return terminal.stack(running, terminal.table(_HEADINGS, rows), *notes, *merges, *more)

    def html(self) -> str:
        if not self.tokens:
            return html.fragment(html.element("p", _EMPTY))
        shown = self.tokens[:_ROWS_IN_HTML]
        running = html.running(
            html.piece(t.bytes, class_=_tint(i, t), title=_title(t)) for i, t in enumerate(shown)
        )
        rows = (
            (*before, html.piece(token.bytes, class_=_tint(i, token)), *after)
            for i, (token, before, after) in enumerate(self._rows(_ROWS_IN_HTML))
        )
        table = html.table(_HEADINGS, rows, "The tokens of the text")
        notes = (html.element("p", note) for note in self._notes(_ROWS_IN_HTML))
        merges = (_merges_in_html(split) for split in self._merged(_WORDS_IN_HTML))
        more = (html.element("p", note) for note in self._merge_notes(_WORDS_IN_HTML))
        return html.fragment(running, table, *notes, *merges, *more)

    def figure(self) -> Figure:
        """The tokens, and the merges of the word that is picked."""
        hint = (
            "Each tint is one token: what the model reads at once. Common words are one, rare ones"
            " come in pieces. Pick a token to see its bytes, and how its word was merged."
        )
        data = {
            "tokens": labels(token.bytes for token in self.tokens),
            "ids": [token.id for token in self.tokens],
            "bytes": [_hex(token.bytes) for token in self.tokens],
            "spans": [[token.start, token.end] for token in self.tokens],
            "special": [token.special for token in self.tokens],
            "splits": [_told(split) for split in self.splits if split.steps],
            "says": " ".join(self._notes(len(self))),
        }
        return Figure("tokens", "How the text is cut into tokens", hint, data)

    def _rows(self, most: int) -> Iterator[tuple[Token, tuple[str, str], tuple[str, str, str]]]:
        for i, token in enumerate(islice(self.tokens, most)):
            place = f"{token.start}-{token.end}" if token.end > token.start else ""
            special = "special" if token.special else ""
            yield token, (str(i), str(token.id)), (_hex(token.bytes), place, special)

    def _notes(self, most: int) -> Iterator[str]:
        if len(self) > most:
            yield left_out(len(self) - most)
        plain = [token for token in self.tokens if not token.special]
        characters = max((t.end for t in plain), default=0) - min(
            (t.start for t in plain), default=0
        )
        size = sum(len(token.bytes) for token in plain)
        special = f" and {len(self) - len(plain)} special" if len(plain) < len(self) else ""
        noun = "token" if len(plain) == 1 else "tokens"
        yield f"{len(plain):,} {noun}{special} for {characters:,} characters, {size:,} bytes."

    def _merged(self, most: int) -> Iterator[Split]:
        return islice((split for split in self.splits if split.steps), most)

    def _merge_notes(self, most: int) -> Iterator[str]:
        words = sum(1 for split in self.splits if split.steps)
        if words > most:
            yield left_out(words - most, "merged words")


def _style(at: int, token: Token) -> str:
    return terminal.SPECIAL if token.special else terminal.TINTS[at % len(terminal.TINTS)]


def _tint(at: int, token: Token) -> str:
    return "special" if token.special else f"t{at % len(terminal.TINTS)}"


def _title(token: Token) -> str:
    return f"{token.id}: {_hex(token.bytes)}"


def _hex(data: bytes) -> str:
    more = len(data) - _LONGEST_HEX
    return data[:_LONGEST_HEX].hex(" ") + (f" …+{more:,}" if more > 0 else "")


def _told(split: Split) -> dict[str, Any]:
    """A word and its merges, as the drawing has them."""
    rows = [
        {"rank": rank, "pieces": labels(pieces), "made": new}
        for rank, _, pieces, new in _merge_rows(split)
    ]
    return {"word": visible(split.text), "span": [split.start, split.end], "rows": rows}


def _merge_rows(split: Split) -> Iterator[tuple[str, Pieces, Pieces, int]]:
    """Rank, the two that are joined, the pieces after, and which of them is new; first as it
    began.
    """
    yield "", (), split.steps[0].pieces, -1
    for step in split.steps:
        yield _rank(step), step.pieces[step.at : step.at + 2], merged(step), step.at


def _rank(step: Merge) -> str:
    return f"{step.rank:.0f}" if step.rank == int(step.rank) else f"{step.rank:.2f}"


def _merges_in_terminal(split: Split) -> RenderableType:
    rows = (
        (rank, terminal.spaced(pair), terminal.spaced(pieces, new))
        for rank, pair, pieces, new in _merge_rows(split)
    )
    return terminal.table(_MERGE_HEADINGS, rows)


def _merges_in_html(split: Split) -> html.Html:
    rows = (
        (rank, html.spaced(pair), html.spaced(pieces, new))
        for rank, pair, pieces, new in _merge_rows(split)
    )
    word = html.piece(split.text)
    summary = html.element("summary", word, " → ", html.spaced(split.pieces))
    return html.element("details", summary, html.table(_MERGE_HEADINGS, rows, "Merges"))
