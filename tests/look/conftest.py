"""Reading back what views show."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest

from .browser import Browser, chromium
from .induced import induced  # noqa: F401  (a fixture)

# Pieces of a stranger's vocabulary, and how each must be shown.
HOSTILE: dict[bytes, str] = {
    b"\x1b[2J\x1b[31m": r"\x1b[2J\x1b[31m",
    b"\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\u009b31m".encode(): r"\u009b31m",
    b"\r\x08\x00\x7f": r"\r\x08\x00\x7f",
    "\u202eabc\u202c\u2066".encode(): r"\u202eabc\u202c\u2066",
    "\u200b\ufeff\u00ad\u2028".encode(): r"\u200b\ufeff\u00ad\u2028",
    "a\u00a0b\u3000".encode(): r"a\u00a0b\u3000",
    "❤\ufe0f\U000e0041".encode(): r"❤\ufe0f\U000e0041",
    "\u3164\u2800\u034f".encode(): r"\u3164\u2800\u034f",
    "\u0301\u0301e\u0301".encode(): "◌\u0301\u0301e\u0301",
    b"\xe2\x80 \xff": r"\xe2\x80␣\xff",
    b"\xed\xa0\x80": r"\xed\xa0\x80",
    b" \t\n": "␣⇥↵",
    b"<script>alert(1)</script>": "<script>alert(1)</script>",
    b"</bdi></td></table><b>": "</bdi></td></table><b>",
    b"&lt;\"'>": "&lt;\"'>",
    b"[bold]:smile:[/]": "[bold]:smile:[/]",
    b"x" * 1000: "x" * 64 + "…+936",
}

_ALLOWED = {
    "div",
    "style",
    "p",
    "br",
    "bdi",
    "i",
    "span",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
} | {
    "td",
    "details",
    "summary",
}


class Page(HTMLParser):
    """A fragment, read: its tables as lists of rows of texts, its paragraphs, its attributes.

    Fails on an element or attribute that no view makes, and on elements that do not nest.
    """

    def __init__(self, fragment: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self.paragraphs: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self._open: list[str] = []
        self.feed(fragment)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED, tag
        for name, value in attrs:
            assert name in {"class", "dir", "style", "title", "aria-label", "open"}, name
            self.attributes.append((tag, name, value))
        if tag == "br":
            return
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data
        elif "p" in self._open:
            self.paragraphs[-1] += data


@pytest.fixture
def page() -> Callable[[str], Page]:
    return Page


@pytest.fixture
def hostile() -> dict[bytes, str]:
    return HOSTILE


@pytest.fixture
def is_harmless() -> Callable[[str], bool]:
    """Whether text holds nothing that a terminal obeys, apart from line ends; our own mark for
    the reading order is the one exception.
    """

    def check(text: str) -> bool:
        hidden = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
        found = {c for c in text if unicodedata.category(c) in hidden}
        return found <= {"\n", "\N{LEFT-TO-RIGHT MARK}"}

    return check


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, for what pages draw."""
    with chromium() as opened:
        yield opened
