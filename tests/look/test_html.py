"""Elements escape what they hold, unless it is HTML already."""

from __future__ import annotations

from pellucid.look.html import Html, bar, element, running
from pellucid.look.html import piece as shown


def test_children_and_attributes_are_escaped() -> None:
    made = element("p", "<b>&", element("i", "x"), title="\"><script>'")
    assert made == '<p title="&quot;&gt;&lt;script&gt;&#x27;">&lt;b&gt;&amp;<i>x</i></p>'


def test_names_of_attributes_are_those_of_html() -> None:
    made = element("p", class_="a", aria_label="b", title=None)
    assert made == '<p class="a" aria-label="b"></p>'


def test_lines_end_where_the_text_ends_them_but_not_after_the_last() -> None:
    text = running([shown("a\nb\n"), shown("↵"), shown("\n")])
    assert text.count("<br>") == 2
    assert "<i>↵</i><br>b<i>↵</i></bdi><br>" in text
    assert text.endswith("<i>↵</i></bdi></p>")


def test_a_bar_is_never_longer_than_its_frame() -> None:
    assert "width:100.00%" in bar(7.0)
    assert "width:0.00%" in bar(-1.0)
    assert isinstance(bar(0.5), Html)
