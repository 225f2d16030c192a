# ruff: noqa: PLC0415  (rich takes 50 ms to load, and most results are never printed)
"""The logit lens: what the model would say after each layer, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.look import found, html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.html import Html
from pellucid.look.numbers import finite
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_COLUMNS_IN_HTML, _LINES = 24, 34
_CELL = 9  # terminal cells of a token
_STEPS = (0.05, 0.2, 0.5, 0.8)  # probabilities at which the tint deepens
_HINT = (
    "Each column is a token, each row a layer: what the model would say next if it stopped there,"
    " the deeper the surer. Look for the layer from which on the answer stands."
)


class LensView(View):
    """What each layer would say after each token of a run.

    The trace has the reading "lens" with this `top`; raises ParameterError where it has not.
    """

    def __init__(self, trace: Trace, top: int) -> None:
        told = found.arrays(trace, "lens", {"top": top})
        self._trace = trace
        self.targets = told["target_ids"]  # [rows]
        self.ids, self.probs = told["top_ids"], np.exp(told["top_logprobs"])  # [stages, rows, top]
        self.logprobs, self.ranks = told["logprobs"], told["ranks"]  # [stages, rows], of targets
        self.entropy = told["entropy"]

    @property
    def layers(self) -> int:
        """Layers of the model; there is one stage more, before the first."""
        return len(self.ids) - 1

    def settled(self, position: int) -> int:
        """The layers after which the target is first in line, and stays it; layers + 1 if never."""
        first = self.ranks[:, position] == 1
        return self.layers + 1 if not first[-1] else int(len(first) - np.argmin([*first[::-1], 0]))

    def to_dict(self) -> dict[str, Any]:
        """`tokens[]`, `targets[] {id, text, settled}`, and `layers[]`, from 0, what is before the
        first, to all: `{layers, rows[] {logprob, rank, entropy, top[] {id, text, prob}}}`.
        """
        targets = [
            {"id": token, "text": found.text(self._trace, token), "settled": self.settled(i)}
            for i, token in enumerate(self.targets.tolist())
        ]
        return {
            "tokens": [found.text(self._trace, token) for token in self._trace.ids],
            "targets": targets,
            "layers": [{"layers": n, "rows": self._stage(n)} for n in range(len(self.ids))],
        }

    def _stage(self, stage: int) -> list[dict[str, Any]]:
        rows = zip(
            self.logprobs[stage].tolist(),
            self.ranks[stage].tolist(),
            self.entropy[stage].tolist(),
            self.ids[stage].tolist(),
            self.probs[stage].tolist(),
            strict=True,
        )
        return [
            {
                "logprob": finite(logprob),
                "rank": rank,
                "entropy": finite(entropy),
                "top": [
                    {"id": token, "text": found.text(self._trace, token), "prob": prob}
                    for token, prob in zip(ids, probs, strict=True)
                ],
            }
            for logprob, rank, entropy, ids, probs in rows
        ]

    def terminal(self) -> RenderableType:
        return terminal.stack(_Grid(self), terminal.words(("\n".join(self._notes()), "")))

    def html(self) -> str:
        columns = range(len(self.targets))[-_COLUMNS_IN_HTML:]
        headings = ["#layers", *(visible(self._trace.pieces[i]) for i in columns)]
        rows = ([str(stage), *(self._tinted(stage, i) for i in columns)] for stage in self.stages())
        table = html.table(headings, rows, "What each layer would say after each token")
        notes = (html.element("p", note) for note in self._notes())
        return html.fragment(table, *notes)

    def _tinted(self, stage: int, column: int) -> Html:
        token, prob = self.likeliest(stage, column)
        title = f"{100 * prob:.1f} %"
        tint = f"h{depth(prob)}" if depth(prob) else None
        return html.piece(self._trace.bytes_of(token), class_=tint, title=title)

    def likeliest(self, stage: int, column: int) -> tuple[int, float]:
        """The token that a layer would say, and its probability."""
        return int(self.ids[stage, column, 0]), float(self.probs[stage, column, 0])

    def stages(self) -> list[int]:
        """The layers that are shown where there is little room, the last first."""
        every = np.linspace(0, self.layers, min(_LINES, self.layers + 1)).round().astype(int)
        return [int(stage) for stage in np.unique(every)[::-1]]

    def piece(self, token: int) -> bytes:
        """The bytes of a token."""
        return self._trace.bytes_of(token)

    @property
    def pieces(self) -> Sequence[bytes]:
        """The tokens of the run."""
        return self._trace.pieces

    def _notes(self) -> list[str]:
        last, at = int(self.targets[-1]), self.settled(len(self.targets) - 1)
        choice = f"After the last token the model says {visible(self.piece(last))}"
        if at > self.layers:
            return [f"{choice}, which is not what it finds likeliest."]
        when = "before the first layer" if not at else f"once {at} of {self.layers} layers are done"
        return [f"{choice}; that leads {when}."]

    def figure(self) -> Figure:
        words = np.unique(np.concatenate([self.ids.ravel(), self.targets]))
        return Figure(
            "lens",
            "What each layer would say",
            _HINT,
            {
                "tokens": labels(self._trace.pieces),
                "words": labels(map(self._trace.bytes_of, words.tolist())),
                "targets": np.searchsorted(words, self.targets).astype(np.int32),
                "top": np.searchsorted(words, self.ids).astype(np.int32),
                "shares": self.probs.astype(np.float32),
                "logprobs": self.logprobs,
                "ranks": self.ranks.astype(np.int32),
            },
        )


def depth(prob: float) -> int:
    """How deep a tint says that something is likely.

    >>> depth(0.01), depth(0.3), depth(0.99)
    (0, 2, 4)
    """
    return sum(prob >= step for step in _STEPS)


@dataclass(frozen=True)
class _Grid:
    """Layers by tokens, as many of the last tokens as the terminal has room for."""

    view: LensView

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.table import Table

        view = self.view
        room = max(1, (options.max_width - 7) // (_CELL + 1))
        columns = range(len(view.targets))[-room:]
        made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style=terminal.QUIET)
        made.add_column("layers", justify="right", no_wrap=True)
        for i in columns:
            made.add_column(_cut(view.pieces[i]), no_wrap=True, min_width=_CELL, max_width=_CELL)
        for stage in view.stages():
            cells = (view.likeliest(stage, i) for i in columns)
            made.add_row(str(stage), *(_cell(view.piece(token), prob) for token, prob in cells))
        yield made
        if len(columns) < len(view.targets):
            shown = f"The last {len(columns)} of {len(view.targets):,} tokens."
            yield terminal.words((shown, terminal.QUIET))


def _cell(piece: bytes, prob: float) -> RenderableType:
    return terminal.words((_cut(piece), terminal.HEAT[depth(prob)]))


def _cut(piece: bytes) -> str:
    """A token in so many cells; wide letters take two."""
    from rich.cells import set_cell_size

    shown = visible(piece)
    return set_cell_size(shown, _CELL).rstrip() if len(shown) >= _CELL // 2 else shown
