"""The little HTML that views are made of: elements that escape what they hold, and one style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from pellucid.look.numbers import clamped
from pellucid.look.visible import LINE_END, glyphs


class Html(str):
    """Text that is HTML already. `element` escapes every other text."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | None) -> Html:
    """One element. Children that are not Html are escaped, and so are attributes; an attribute
    that is None is left out; `class_` is written `class`, and `aria_label` `aria-label`.

    >>> element("b", "1 < 2", element("i", "!"), class_="x", title=None)
    '<b class="x">1 &lt; 2<i>!</i></b>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(c if isinstance(c, Html) else escape(c, quote=False) for c in children)
    return Html(f"<{tag}{given}>{inner}</{tag}>")


def piece(text: str | bytes, **attributes: str | None) -> Html:
    """A token's text, isolated from the reading order around it; stand-ins are set apart."""
    parts = (element("i", g.text) if g.stands_in else g.text for g in glyphs(text))
    return element("bdi", *parts, **attributes)


def running(pieces: Iterable[Html]) -> Html:
    """Pieces one after the other; the text's lines end where it ends them."""
    end = f"<i>{LINE_END.text}</i>"
    text = "".join(pieces).replace(end, f"{end}<br>").replace("<br></bdi>", "</bdi><br>")
    return element("p", Html(text.removesuffix("<br>")), class_="text")


def spaced(pieces: Sequence[str | bytes], new: int = -1) -> Html:
    """Pieces with spaces between, and one of them in colour."""
    parts = (piece(text, class_="t0" if i == new else None) for i, text in enumerate(pieces))
    return Html(" ".join(parts))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> Html:
    """A table; a heading that starts with `#` belongs to a column of numbers.

    A cell that is Html is taken as it is.
    """
    numeric = [heading.startswith("#") for heading in headings]

    def row(tag: str, cells: Iterable[str]) -> Html:
        pairs = zip(cells, numeric, strict=True)
        return element("tr", *(element(tag, c, class_="n" if n else None) for c, n in pairs))

    head = element("thead", row("th", (heading.removeprefix("#") for heading in headings)))
    body = element("tbody", *(row("td", cells) for cells in rows))
    return element("div", element("table", head, body, aria_label=caption), class_="rows")


def bar(share: float, kind: str = "") -> Html:
    """A bar that fills `share` of its length; `kind` is another class for its colour."""
    filled = element("span", style=f"width:{100 * clamped(share):.2f}%")
    return element("span", filled, class_=f"bar {kind}".strip())


def fragment(*children: str) -> str:
    """The whole of a view, with its style."""
    return element("div", Html(f"<style>{_STYLE}</style>"), *children, class_="pellucid", dir="ltr")


def document(title: str, body: str, head: str = "") -> str:
    """A page of its own, to be written to a file; light or dark, as the reader's system is."""
    settings = Html('<meta charset="utf-8"><meta name="color-scheme" content="light dark">')
    begun = element("head", settings, Html(head), element("title", title))
    inner = begun + element("body", Html(body))
    return f"<!doctype html>{element('html', Html(inner), lang='en')}\n"


# All colours are tints over the page's own background, under the page's own text colour: so they
# suit any theme, whether the system, the notebook or the page chose it. JupyterLab has rules for
# tables that weigh as much as two classes (text to the right, striped rows): hence the class twice.
_STYLE = """
.pellucid { font: 14px/1.5 system-ui, sans-serif; max-width: 60em; text-align: left }
.pellucid bdi, .pellucid code { font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace }
.pellucid bdi i { font-style: normal; opacity: .75; unicode-bidi: isolate; direction: ltr }
.pellucid p { margin: .5em 0 }
.pellucid .quiet { opacity: .7 }
.pellucid .text, .pellucid .answer { overflow-wrap: anywhere; white-space: pre-wrap }
.pellucid .text { line-height: 2 }
.pellucid .text bdi { padding: .2em .1em; border-radius: .2em; margin-right: 1px }
.pellucid .t0 { background: rgb(30 130 240 / .28) }
.pellucid .t1 { background: rgb(240 150 0 / .3) }
.pellucid .t2 { background: rgb(0 170 110 / .28) }
.pellucid .t3 { background: rgb(225 60 120 / .26) }
.pellucid .t4 { background: rgb(140 90 235 / .28) }
.pellucid .t5 { background: rgb(150 150 0 / .32) }
.pellucid .h1 { background: rgb(240 150 0 / .16) }
.pellucid .h2 { background: rgb(240 120 0 / .32) }
.pellucid .h3 { background: rgb(235 85 0 / .46) }
.pellucid .h4 { background: rgb(230 50 0 / .62) }
.pellucid .c1 { background: rgb(30 130 240 / .14) }
.pellucid .c2 { background: rgb(30 130 240 / .28) }
.pellucid .c3 { background: rgb(30 130 240 / .42) }
.pellucid .c4 { background: rgb(30 130 240 / .58) }
.pellucid .special { background: rgb(128 128 128 / .2); outline: 1px dashed; outline-offset: -1px }
.pellucid .rows { overflow: auto; max-height: 32em; margin: .5em 0 }
.pellucid table { font: inherit; font-variant-numeric: tabular-nums; color: inherit;
  border-collapse: collapse; margin: 0 }
.pellucid th { font-weight: 600; opacity: .7; border-bottom: 1px solid rgb(128 128 128 / .5) }
.pellucid.pellucid th, .pellucid.pellucid td { padding: .15em 1em .15em 0; text-align: left }
.pellucid.pellucid th { white-space: nowrap }
.pellucid.pellucid td { border: 0; vertical-align: baseline }
.pellucid.pellucid tbody tr { background: none }
.pellucid.pellucid tbody tr:hover { background: rgb(128 128 128 / .15) }
.pellucid.pellucid .n { text-align: right }
.pellucid .bar { display: inline-block; width: 16em; height: .8em; border-radius: .2em;
  background: rgb(128 128 128 / .18) }
.pellucid .bar span { display: block; height: 100%; border-radius: inherit;
  background: rgb(30 130 240 / .8) }
.pellucid .heat span { background: rgb(232 89 12 / .8) }
.pellucid.pellucid .cells td { padding: 0 .3em; min-width: 1.1em; height: 1.6em }
.pellucid summary { cursor: pointer }
.pellucid .branches { margin-left: .35em; padding-left: 1.2em;
  border-left: 1px solid rgb(128 128 128 / .4) }
.pellucid .leaf { padding-left: 1.1em }
.pellucid .tree span { white-space: pre }
"""
