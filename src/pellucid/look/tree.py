"""The tree of what was considered: the way that was taken, and at each step what was not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pellucid.choose.parameters.values import Integer
from pellucid.look import html, terminal
from pellucid.look.considered import NOT_TAKEN, REMOVED, SAID, Considered
from pellucid.look.figure import Figure
from pellucid.look.html import Html
from pellucid.look.numbers import finite, percent
from pellucid.look.view import View
from pellucid.look.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

DEPTH, WIDTH = Integer(1, 200), Integer(1, 1000)  # of a drawing

_HEIR = "● "  # before a node that goes straight on
_LONGEST_PROMPT = 40  # bytes of its end
_FATES = {"rejected": "rejected by the verifier", NOT_TAKEN: ""}


@dataclass(frozen=True)
class _Line:
    """A line of the drawing: what is before a node, and the node; or what is said instead."""

    before: str
    node: int | None
    instead: str = ""


class TreeView(View):
    """Every token that was considered; the first branch of each node goes straight on below it.

    `prompt` is the text that all of it follows, `bytes_of` gives the bytes of any token. The
    drawing has `depth` tokens of each way and `width` branches of each node; `to_dict` has all.
    """

    def __init__(
        self,
        nodes: Sequence[Considered],
        bytes_of: Callable[[int], bytes],
        *,
        prompt: bytes = b"",
        depth: int = 16,
        width: int = 5,
    ) -> None:
        self.nodes = tuple(nodes)
        self.prompt = prompt
        self.depth = depth
        self.width = width
        self._bytes_of = bytes_of
        self._children: list[list[int]] = [[] for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            if node.parent is not None:
                self._children[node.parent].append(number)
        for children in self._children:
            children.sort(key=self._order)

    def to_dict(self) -> dict[str, Any]:
        """`nodes[] {parent, id, text, logprob, processed_logprob, score, fate, removed_by}`; the
        first is the root.
        """
        return {
            "nodes": [
                {
                    "parent": node.parent,
                    "id": node.token,
                    "text": self._piece(number).decode("utf-8", "replace"),
                    "logprob": finite(node.logprob),
                    "processed_logprob": finite(node.processed_logprob),
                    "score": finite(node.score),
                    "fate": node.fate,
                    "removed_by": node.removed_by,
                }
                for number, node in enumerate(self.nodes)
            ]
        }

    def terminal(self) -> RenderableType:
        rows = (self._row(line) for line in self._drawn())
        headings = ("token", *(f"#{column}" for column in self._columns), "")
        notes = (terminal.words((note, terminal.QUIET)) for note in self._notes())
        return terminal.stack(terminal.table(headings, rows), *notes)

    def _row(self, line: _Line) -> list[RenderableType]:
        drawn = terminal.words((line.before, terminal.QUIET), line.instead)
        if line.node is None:
            return [drawn, *[""] * len(self._columns), ""]
        said = line.node and self.nodes[line.node].fate == SAID
        drawn.append(terminal.piece(self._piece(line.node), terminal.TINTS[0] if said else ""))
        return [drawn, *self._cells(line.node)]

    def html(self) -> str:
        legend = (
            f"After each token: its {', '.join(self._columns)}, and what became of it. "
            f"{_HEIR}goes straight on from the token above its side branches."
        )
        notes = (html.element("p", note, class_="quiet") for note in (legend, *self._notes()))
        return html.fragment(html.element("div", *self._way(0, self.depth), class_="tree"), *notes)

    def figure(self) -> Figure:
        """The tree with all of its branches; those that the other forms leave out are folded."""
        hint = (
            "Text runs to the right; what was considered in its place stands below. Look how sure"
            " each step was, and why the other branches end. Pick a token to fold what follows it."
        )
        data = {
            "labels": [visible(self._piece(number)) for number in range(len(self.nodes))],
            "parents": [-1 if node.parent is None else node.parent for node in self.nodes],
            "children": self._children,
            "heirs": [self._is_heir(number) for number in range(len(self.nodes))],
            "logprobs": [finite(node.logprob) for node in self.nodes],
            "processed": self._processed(),
            "scores": [finite(node.score) for node in self.nodes],
            "fates": [node.fate for node in self.nodes],
            "removers": [node.removed_by for node in self.nodes],
            "depth": self.depth,
            "width": self.width,
            "says": " ".join(self._notes()),
        }
        return Figure("tree", "What was considered", hint, data)

    def _way(self, node: int, depth: int) -> Iterator[Html]:
        """A node folded around its side branches, then likewise the nodes that go straight on."""
        while True:
            heir, sides, hidden = self._branches(node, depth)
            yield self._folded(node, self._beside(sides, hidden, depth))
            if heir is None:
                return
            node, depth = heir, depth - 1

    def _beside(self, sides: list[int], hidden: str, depth: int) -> Iterator[Html]:
        """Side branches, each folded around all that follows it."""
        for side in sides:
            heir, its_sides, its_hidden = self._branches(side, depth - 1)
            inner = self._beside(its_sides, its_hidden, depth - 1)
            on = () if heir is None else self._way(heir, depth - 2)
            yield self._folded(side, [*inner, *on])
        if hidden:
            yield html.element("div", hidden, class_="quiet")

    def _folded(self, node: int, inner: Iterable[Html]) -> Html:
        label, within = self._label(node), [*inner]
        if not within:
            return html.element("div", label, class_="leaf")
        folded = html.element("div", *within, class_="branches")
        return html.element("details", html.element("summary", label), folded, open="")

    def _label(self, node: int) -> Html:
        said = node and self.nodes[node].fate == SAID
        told = "  ".join(cell for cell in self._cells(node) if cell)
        piece = html.piece(self._piece(node), class_="t0" if said else None)
        mark = _HEIR if self._is_heir(node) else ""
        return html.element("span", mark, piece, "  ", html.element("span", told, class_="quiet"))

    def _drawn(self) -> Iterator[_Line]:
        yield _Line("", 0)
        yield from self._below(0, "", self.depth)

    def _below(self, node: int, before: str, depth: int) -> Iterator[_Line]:
        """The lines of all that follows a node."""
        while True:
            heir, sides, hidden = self._branches(node, depth)
            for place, side in enumerate(sides):
                ends = heir is None and not hidden and place == len(sides) - 1
                yield _Line(before + ("└─ " if ends else "├─ "), side)
                yield from self._below(side, before + ("   " if ends else "│  "), depth - 1)
            if hidden:
                yield _Line(before + ("└─ " if heir is None else "├─ "), None, hidden)
            if heir is None:
                return
            yield _Line(before + _HEIR, heir)
            node, depth = heir, depth - 1

    def _branches(self, node: int, depth: int) -> tuple[int | None, list[int], str]:
        """The child that goes straight on, the others that are shown, what is said of the rest."""
        children = self._children[node]
        if depth <= 0:
            return None, [], f"… {len(children):,} deeper" if children else ""
        shown = children[: self.width]
        rest = len(children) - len(shown)
        hidden = f"… {rest:,} more" if rest else ""
        if shown and self._is_heir(shown[0]):
            return shown[0], shown[1:], hidden
        return None, shown, hidden

    def _is_heir(self, number: int) -> bool:
        """Whether a node goes straight on from its parent: the first that was said or leads on."""
        node = self.nodes[number]
        if node.parent is None or self._children[node.parent][0] != number:
            return False
        return node.fate == SAID or bool(self._children[number])

    def _order(self, number: int) -> tuple[bool, bool, bool, float]:
        """What was said first, then what leads on, then the best; the removed last."""
        node = self.nodes[number]
        best = node.score
        if best is None:
            best = node.logprob if node.processed_logprob is None else node.processed_logprob
        leads = bool(self._children[number])
        return node.fate != SAID, not leads, node.fate == REMOVED, -best

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        """What is told of each token in numbers."""
        if any(node.score is not None for node in self.nodes):
            return "probability", "score"
        if any(node.processed_logprob not in (None, node.logprob) for node in self.nodes):
            return "model's own", "after filters"
        return ("probability",)

    def _processed(self) -> list[float | None] | None:
        """The log-probabilities after all filters, where the columns tell of them."""
        if "after filters" not in self._columns:
            return None
        return [finite(node.processed_logprob) for node in self.nodes]

    def _piece(self, number: int) -> bytes:
        token = self.nodes[number].token
        if token is not None:
            return self._bytes_of(token)
        return (
            self.prompt if len(self.prompt) <= _LONGEST_PROMPT else self.prompt[-_LONGEST_PROMPT:]
        )

    def _cells(self, number: int) -> list[str]:
        """What the columns say of a node, and its fate."""
        node = self.nodes[number]
        if node.token is None:
            return [*[""] * len(self._columns), ""]
        after = node.processed_logprob
        told = {
            "score": "" if node.score is None else f"{node.score:.3f}",
            "after filters": "" if after is None else percent(math.exp(after)),
        }
        own = percent(math.exp(node.logprob))
        fate = f"removed by {node.removed_by}" if node.removed_by else _fate(node)
        return [*(told.get(column, own) for column in self._columns), fate]

    def _notes(self) -> Iterator[str]:
        fates = Counter(node.fate or "only led on" for node in self.nodes if node.token is not None)
        told = ", ".join(f"{count:,} {fate}" for fate, count in fates.items())
        yield f"{len(self.nodes) - 1:,} tokens were considered: {told}."


def _fate(node: Considered) -> str:
    return _FATES.get(node.fate, node.fate) if node.fate else ""
