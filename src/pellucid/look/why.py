"""Who wrote a logit: every head, every MLP, the embedding; and what becomes of it without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.look import found, html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.numbers import finite, left_out, percent
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.look.writers import Writer, html_bar, largest, signed_bar
from pellucid.trace.readings.row import WHOLE_MLP
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 20
_SOURCES = 5
_NOISE = 1e-4  # of the logit: what rounding leaves is not worth a row
_HEADINGS = ("#layer", "writer", "#adds", "", "#logit then", "#probability", "most of it from")
_HINT = (
    "A logit is a sum: each bar is what one head or MLP added to it, or took from it. Look whether"
    " a few decide it, and whether it falls when they are silenced: what is read later counts too."
)


class WhyView(View):
    """What each part of the model added to a token's logit after a position of a run.

    The trace has the reading "why" with these arguments; raises ParameterError where it has not.
    """

    def __init__(self, trace: Trace, arguments: Mapping[str, Any]) -> None:
        self._told = found.arrays(trace, "why", arguments)
        self._trace = trace
        self.token, *versus = self._told["target_ids"].tolist()
        self.versus: int | None = versus[0] if versus else None
        self.position: int = arguments["position"]

    @property
    def logit(self) -> float:
        """What the writers sum to: the logit before a soft cap, or the difference of two."""
        return float(self._told["before_cap"][0])

    @cached_property
    def writers(self) -> tuple[Writer, ...]:
        """All of them, who adds or takes most first; `rounding` is what the backend's arithmetic
        leaves over.
        """
        return tuple(sorted(self._writers(), key=lambda writer: -abs(writer.added)))

    def _writers(self) -> Iterator[Writer]:
        told = self._told
        for kind in ("embedding", "positions", "constant", "rounding"):
            if told[kind][0]:
                yield Writer(kind, float(told[kind][0]))
        tested = {tuple(part): i for i, part in enumerate(told["tested"].tolist())}
        for layer, heads in enumerate(told["heads"].tolist()):
            for head, added in enumerate(heads):
                yield Writer("head", added, layer, head, *self._tested(tested.get((layer, head))))
            mlp = tested.get((layer, WHOLE_MLP))
            yield Writer("mlp", float(told["mlps"][layer]), layer, None, *self._tested(mlp))
            if told["biases"][layer]:
                yield Writer("bias", float(told["biases"][layer]), layer)

    def _tested(self, at: int | None) -> tuple[float | None, float | None]:
        """What becomes of the target, or of the difference, when a writer is silenced."""
        if at is None:
            return None, None
        logits = self._told["tested_logits"][at].tolist()
        return logits[0] - sum(logits[1:]), float(self._told["tested_probs"][at, 0])

    @cached_property
    def cumulative(self) -> tuple[float, ...]:
        """The sum after 0 to all layers, in the end the logit; biases of the output included."""
        told = self._told
        start = sum(float(told[n][0]) for n in ("embedding", "positions", "constant"))
        layers = told["heads"].sum(1) + told["mlps"] + told["biases"]
        return tuple((start + np.cumsum([0.0, *layers])).tolist())

    def sources(self, layer: int, head: int) -> list[tuple[int, float]]:
        """The positions whose values a head took most of what it adds from, and how much each."""
        row = self._told["sources"][layer, head]
        return [(at, float(row[at])) for (at,) in largest(row, _SOURCES)]

    def to_dict(self) -> dict[str, Any]:
        """`position, token, versus {id, text, logit, prob}, before_cap, writers[] {name, kind,
        layer, head, added, logit, prob, sources[] {position, added}}, cumulative[]`.

        A writer's `logit` (with `versus` the difference) and `prob` are what becomes of the target
        when it is silenced, null where that was not tried.
        """
        return {
            "position": self.position,
            "token": self._target(0),
            "versus": None if self.versus is None else self._target(1),
            "before_cap": self.logit,
            "writers": [self._writer(writer) for writer in self.writers],
            "cumulative": list(self.cumulative),
        }

    def _target(self, at: int) -> dict[str, Any]:
        told = self._told
        token = int(told["target_ids"][at])
        logit, prob = float(told["logits"][at]), float(told["probs"][at])
        return {"id": token, "text": found.text(self._trace, token), "logit": logit, "prob": prob}

    def _writer(self, writer: Writer) -> dict[str, Any]:
        sources = self.sources(*_place(writer)) if writer.kind == "head" else []
        return {
            "name": writer.name,
            "kind": writer.kind,
            "layer": writer.layer,
            "head": writer.head,
            "added": writer.added,
            "logit": finite(writer.logit),
            "prob": finite(writer.prob),
            "sources": [{"position": at, "added": added} for at, added in sources],
        }

    def terminal(self) -> RenderableType:
        rows = (
            (*w.place, added, signed_bar(w.added / self._most), logit, prob, source)
            for w, added, logit, prob, source in self._rows()
        )
        said = terminal.words(self._says())
        notes = terminal.words("\n".join(self._notes()))
        return terminal.stack(said, terminal.table(_HEADINGS, rows), notes)

    def html(self) -> str:
        rows = (
            (*w.place, added, html_bar(w.added / self._most), logit, prob, source)
            for w, added, logit, prob, source in self._rows()
        )
        table = html.table(_HEADINGS, rows, "Who wrote the logit")
        notes = (html.element("p", note) for note in self._notes())
        return html.fragment(html.element("p", self._says()), table, *notes)

    def _rows(self) -> Iterator[tuple[Writer, str, str, str, str]]:
        for writer in self.writers[:_SHOWN]:
            logit = "" if writer.logit is None else f"{writer.logit:.2f}"
            prob = "" if writer.prob is None else percent(writer.prob)
            yield writer, f"{writer.added:+.3f}", logit, prob, self._source(writer)

    def _source(self, writer: Writer) -> str:
        """The token that most of a head comes from."""
        if writer.kind != "head":
            return ""
        at, _ = self.sources(*_place(writer))[0]
        return f"{at} {visible(self._trace.pieces[at])}"

    @property
    def _most(self) -> float:
        return abs(self.writers[0].added) or 1.0

    def _says(self) -> str:
        token, after = self._name(self.token), visible(self._trace.pieces[self.position])
        first = self._target(0)
        if self.versus is not None:
            where = f"{abs(self.logit):.2f} {'below' if self.logit < 0 else 'above'}"
            return (
                f"After {self.position} {after}, the logit of {token} is {where} that of"
                f" {self._name(self.versus)}."
            )
        return (
            f"After {self.position} {after}, {token} has the logit {first['logit']:.2f}, a"
            f" probability of {percent(first['prob'])}."
        )

    def _name(self, token: int) -> str:
        return visible(self._trace.bytes_of(token))

    def _notes(self) -> Iterator[str]:
        if len(self.writers) > _SHOWN:
            yield left_out(len(self.writers) - _SHOWN, "writers")
        if self._trace.config.logit_softcap:
            yield f"Writers sum to the logit before its soft cap, {self.logit:.3f}."
        if self._trace.edits:
            yield "This run was changed: rounding holds what changes did to the residual itself."
        if len(self._told["tested"]):
            yield "Logit and probability then: when the writer is silenced, in this row alone."

    def figure(self) -> Figure:
        told = self._told
        listed = [w for w in self.writers if abs(w.added) >= _NOISE * self._most or w.logit]
        return Figure(
            "why",
            f"Who wrote {self._name(self.token)}"
            + ("" if self.versus is None else f" and not {self._name(self.versus)}"),
            _HINT,
            {
                "tokens": labels(self._trace.pieces[: self.position + 1]),
                "says": self._says(),
                "logit": self.logit,
                "whole": float(told["logits"][0] - told["logits"][1:].sum()),
                "prob": float(told["probs"][0]),
                "writers": [
                    {
                        "name": w.name, "kind": w.kind, "layer": w.layer, "head": w.head,
                        "added": w.added, "logit": finite(w.logit), "prob": finite(w.prob),
                    }
                    for w in listed
                ],
                "cumulative": list(self.cumulative),
                "sources": told["sources"],
            },
        )  # fmt: skip


def _place(writer: Writer) -> tuple[int, int]:
    assert writer.layer is not None
    assert writer.head is not None
    return writer.layer, writer.head
