"""The tokens of a text and their neighbours on a plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.look import found, html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.numbers import left_out
from pellucid.look.view import View
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS = 60
_HEADINGS = ("token", "#x", "#y", "near")


class MapView(View):
    """Where tokens lie along the two directions that part their embeddings most.

    The trace has the reading "map" with these arguments; raises ParameterError where it has not.
    """

    def __init__(self, trace: Trace, arguments: Mapping[str, Any]) -> None:
        told = found.arrays(trace, "map", arguments)
        self._trace = trace
        own: list[int] = told["ids"].tolist()
        self.ids: list[int] = own + told["neighbour_ids"].tolist()
        # places in `ids`, -1 for the text's own
        self.owners: list[int] = [-1] * len(own) + told["owners"].tolist()
        self.xy = np.concatenate([told["xy"], told["neighbour_xy"]])  # [n, 2]
        self.explained = told["explained"]  # [2]

    @property
    def shown(self) -> float:
        """The share of what sets the tokens apart that a plane can show."""
        return float(self.explained.sum())

    def to_dict(self) -> dict[str, Any]:
        """`points[] {id, text, x, y, near}`, `explained[]`: `near` is the id of the token of the
        text that a neighbour belongs to, null for the text's own.
        """
        points = [
            {
                "id": token,
                "text": found.text(self._trace, token),
                "x": x,
                "y": y,
                "near": None if owner < 0 else self.ids[owner],
            }
            for token, owner, (x, y) in zip(self.ids, self.owners, self.xy.tolist(), strict=True)
        ]
        return {"points": points, "explained": self.explained.tolist()}

    def terminal(self) -> RenderableType:
        rows = (
            (terminal.piece(piece, "" if near else terminal.TINTS[0]), x, y, terminal.piece(near))
            for piece, x, y, near in self._rows()
        )
        notes = terminal.words("\n".join(self._notes()))
        return terminal.stack(terminal.table(_HEADINGS, rows), notes)

    def html(self) -> str:
        rows = (
            (html.piece(piece, class_=None if near else "t0"), x, y, html.piece(near))
            for piece, x, y, near in self._rows()
        )
        table = html.table(_HEADINGS, rows, "Where the tokens lie")
        return html.fragment(table, *(html.element("p", note) for note in self._notes()))

    def _rows(self) -> Iterator[tuple[bytes, str, str, bytes]]:
        every = zip(self.ids, self.owners, self.xy.tolist(), strict=True)
        for token, owner, (x, y) in [*every][:_ROWS]:
            near = b"" if owner < 0 else self._trace.bytes_of(self.ids[owner])
            yield self._trace.bytes_of(token), f"{x:+.2f}", f"{y:+.2f}", near

    def _notes(self) -> Iterator[str]:
        if len(self.ids) > _ROWS:
            yield left_out(len(self.ids) - _ROWS)
        yield self._says()

    def _says(self) -> str:
        return (
            f"These two directions hold {100 * self.shown:.0f} % of what sets these"
            f" {len(self.ids)} tokens apart; the rest cannot be seen here."
        )

    def figure(self) -> Figure:
        hint = (
            "Tokens of the text are filled, their nearest neighbours hollow, in the same colour."
            " Look which kinds of words lie together, and do not trust distance here alone."
        )
        data = {
            "labels": labels(map(self._trace.bytes_of, self.ids)),
            "ids": np.array(self.ids, np.int32),
            "owners": np.array(self.owners, np.int32),
            "xy": self.xy.astype(np.float32),
            "says": self._says(),
            "explained": self.explained.astype(np.float32),
        }
        return Figure("map", "A map of tokens", hint, data)
