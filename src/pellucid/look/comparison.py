"""Two runs side by side: where they part, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.look import found, html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.numbers import finite, left_out
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.trace.comparison import Comparison
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 60, 500
_HEADINGS = ("##", "left", "right", "#log-prob", "#difference", "says next", "", "#divergence", "")
_MOST_BITS = 8  # the length of a full bar of divergence
_STEPS = (0.05, 0.5, 2, 5)  # bits at which a tint deepens
_HINT = (
    "Two runs, token by token. The deeper the colour, the more what they would say next differs."
    " Look where a difference begins, how long it lasts, and at which layer it appears."
)


class ComparisonView(View):
    """What sets two runs apart, row by row; `Look.compare` gives one."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Rows of the two that stand side by side; -1 where one has none."""
        return [(left, right) for left, right in self.comparison.pairs.tolist()]

    @property
    def parted(self) -> int | None:
        """The first pair after which the two would say another token; None if they never would."""
        ids = self.comparison.top_ids
        return next(
            (i for i, (a, b) in enumerate(ids.tolist()) if -1 not in (a, b) and a != b), None
        )

    def to_dict(self) -> dict[str, Any]:
        """`runs[] {model, backend, text}`, and `pairs[] {left, right, divergence, distances[]}`; a
        side is null where it has no token, else `{position, id, text, logprob, next {id, text,
        prob}}`. `divergence` is in bits, `distances` are by layers, from none to all.
        """
        told = self.comparison
        sides = told.left, told.right
        return {
            "runs": [
                {"model": t.origin.name, "backend": t.origin.backend, "text": t.text} for t in sides
            ],
            "pairs": [
                {
                    "left": self._side(at, 0),
                    "right": self._side(at, 1),
                    "divergence": finite(float(told.divergence[at])),
                    "distances": [finite(x) for x in told.distances[:, at].tolist()],
                }
                for at in range(len(told.pairs))
            ],
        }

    def _side(self, at: int, side: int) -> dict[str, Any] | None:
        told = self.comparison
        row, trace = int(told.pairs[at, side]), self._trace(side)
        if row < 0:
            return None
        likeliest = int(told.top_ids[at, side])
        return {
            "position": row,
            "id": trace.ids[row],
            "text": found.text(trace, trace.ids[row]),
            "logprob": finite(float(told.logprobs[at, side])),
            "next": {
                "id": likeliest,
                "text": found.text(trace, likeliest),
                "prob": math.exp(told.top_logprobs[at, side]),
            },
        }

    def terminal(self) -> RenderableType:
        rows = (
            (
                str(at),
                terminal.piece(left, terminal.HEAT[self._depth(at)]),
                terminal.piece(right, terminal.HEAT[self._depth(at)]),
                *numbers,
                self._nexts(at),
                "≠" if self._differs(at) else "",
                bits,
                terminal.bar(share, "#e8590c"),
            )
            for at, left, right, numbers, bits, share in self._rows(_ROWS_IN_TERMINAL)
        )
        notes = terminal.words("\n".join(self._notes(_ROWS_IN_TERMINAL)))
        return terminal.stack(terminal.table(_HEADINGS, rows), notes)

    def _nexts(self, at: int) -> RenderableType:
        line = terminal.words()
        for side, piece in enumerate(self._next_pieces(at)):
            line.append(" | " if side else "").append(terminal.piece(piece))
        return line

    def html(self) -> str:
        rows = (
            (
                str(at),
                html.piece(left, class_=self._tint(at)),
                html.piece(right, class_=self._tint(at)),
                *numbers,
                html.Html(" | ".join(map(html.piece, self._next_pieces(at)))),
                "≠" if self._differs(at) else "",
                bits,
                html.bar(share, "heat"),
            )
            for at, left, right, numbers, bits, share in self._rows(_ROWS_IN_HTML)
        )
        table = html.table(_HEADINGS, rows, "Two runs, token by token")
        notes = (html.element("p", note) for note in self._notes(_ROWS_IN_HTML))
        return html.fragment(table, *notes)

    def _tint(self, at: int) -> str | None:
        return f"h{self._depth(at)}" if self._depth(at) else None

    def _rows(self, most: int) -> Iterator[tuple[int, bytes, bytes, tuple[str, str], str, float]]:
        told = self.comparison
        for at, rows in enumerate(self.pairs[:most]):
            left, right = (
                b"" if row < 0 else self._trace(side).pieces[row] for side, row in enumerate(rows)
            )
            bits = float(told.divergence[at])
            shown = "" if math.isnan(bits) else f"{bits:.3f}"
            yield at, left, right, self._logprobs(at), shown, bits / _MOST_BITS

    def _logprobs(self, at: int) -> tuple[str, str]:
        """That of the left, and how much higher the right one's is, where it is the same token."""
        left, right = self.comparison.logprobs[at].tolist()
        shown = "" if math.isnan(left) else f"{left:.3f}"
        same = not math.isnan(left + right) and self._same(at)
        return shown, f"{right - left:+.3f}" if same else ""

    def _same(self, at: int) -> bool:
        left, right = self.pairs[at]
        if min(left, right) < 0:
            return False
        return self.comparison.left.pieces[left] == self.comparison.right.pieces[right]

    def _differs(self, at: int) -> bool:
        """Whether the two would say another token next."""
        left, right = self._next_pieces(at)
        return bool(left and right and left != right)

    def _next_pieces(self, at: int) -> tuple[bytes, bytes]:
        ids = self.comparison.top_ids[at].tolist()
        left, right = (
            b"" if token < 0 else self._trace(side).bytes_of(token)
            for side, token in enumerate(ids)
        )
        return left, right

    def _trace(self, side: int) -> Trace:
        return self.comparison.right if side else self.comparison.left

    def _depth(self, at: int) -> int:
        bits = float(self.comparison.divergence[at])
        return sum(bits >= step for step in _STEPS)

    def _notes(self, most: int) -> Iterator[str]:
        told = self.comparison
        if len(told.pairs) > most:
            yield left_out(len(told.pairs) - most)
        names = [f"{_short(t)} ({t.origin.backend})" for t in (told.left, told.right)]
        changed = [" changed" if t.edits else "" for t in (told.left, told.right)]
        yield f"Left: {names[0]}{changed[0]}. Right: {names[1]}{changed[1]}."
        yield from self._verdict()

    def _verdict(self) -> Iterator[str]:
        told = self.comparison
        if np.isnan(told.divergence).all():
            yield "They have no vocabulary in common, so their next tokens are not compared."
            return
        worst = int(np.nanargmax(told.divergence))
        most = float(told.divergence[worst])
        if not most:
            yield "They say the same: no next-token distribution differs."
            return
        yield (
            f"Divergence: bits by which the right's next token differs from the left's, over the"
            f" whole vocabulary. Most, {most:.3f}, after {worst} {self._name(worst)}."
        )
        if self.parted is not None:
            after = f"{self.parted} {self._name(self.parted)}"
            yield f"They would first say another token after {after}."

    def _name(self, at: int) -> str:
        left, right = self.pairs[at]
        return visible(self._trace(left < 0).pieces[right if left < 0 else left])

    def figure(self) -> Figure:
        told = self.comparison
        sides = told.left, told.right
        return Figure(
            "comparison",
            "Two runs side by side",
            _HINT,
            {
                "runs": [self._run(side) for side in sides],
                "pairs": told.pairs,
                "tokens": [labels(side.pieces) for side in sides],
                "next": [
                    [visible(self._next_pieces(at)[side]) for at in range(len(told.pairs))]
                    for side in (0, 1)
                ],
                "shares": np.exp(told.top_logprobs).astype(np.float32),
                "logprobs": told.logprobs,
                "divergence": told.divergence,
                "distances": told.distances,
                "says": [*self._notes(len(told.pairs))],
            },
        )

    def _run(self, trace: Trace) -> str:
        return f"{_short(trace)}{', changed' if trace.edits else ''}"


def _short(trace: Trace) -> str:
    """A model's name; of a file, without its folders."""
    return trace.origin.name.replace("\\", "/").rpartition("/")[2]
