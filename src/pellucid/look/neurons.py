"""The neurons that push a token's logit most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pellucid.look import found, html, terminal
from pellucid.look.numbers import finite, left_out
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.look.writers import html_bar, signed_bar
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 100
_HEADINGS = ("#layer", "#neuron", "#adds", "", "#active at", "what it wrote speaks for")


@dataclass(frozen=True)
class Neuron:
    """A neuron: its activation, what it added to the logit, and the tokens that gain most by it."""

    layer: int
    number: int
    added: float
    activation: float
    said: tuple[int, ...]

    @property
    def name(self) -> str:
        """As `lm.edit` names it."""
        return f"layers.{self.layer}.neurons.{self.number}"


class NeuronsView(View):
    """The neurons that added most to a logit after a position of a run, or took most from it.

    The trace has the reading "neurons" with these arguments; raises ParameterError otherwise.
    """

    def __init__(self, trace: Trace, arguments: Mapping[str, Any]) -> None:
        told = found.arrays(trace, "neurons", arguments)
        self._trace = trace
        self.position: int = arguments["position"]
        self.token, *versus = told["target_ids"].tolist()
        self.versus: int | None = versus[0] if versus else None
        self.by_layer: tuple[float, ...] = tuple(told["by_layer"].tolist())
        names = ("neurons", "contributions", "activations", "said_ids")
        self.neurons = tuple(
            Neuron(layer, number, added, activation, tuple(said))
            for (layer, number), added, activation, said in zip(
                *(told[name].tolist() for name in names), strict=True
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """`position, token, versus {id, text}, neurons[] {name, layer, neuron, added, activation,
        says[] {id, text}}, by_layer[]`: all neurons of a layer together, null in a mixture.
        """
        return {
            "position": self.position,
            "token": self._token(self.token),
            "versus": None if self.versus is None else self._token(self.versus),
            "neurons": [
                {
                    "name": n.name,
                    "layer": n.layer,
                    "neuron": n.number,
                    "added": finite(n.added),
                    "activation": finite(n.activation),
                    "says": [self._token(token) for token in n.said],
                }
                for n in self.neurons
            ],
            "by_layer": [finite(added) for added in self.by_layer],
        }

    def _token(self, token: int) -> dict[str, Any]:
        return {"id": token, "text": found.text(self._trace, token)}

    def terminal(self) -> RenderableType:
        rows = (
            (*cells, signed_bar(n.added / self._most), f"{n.activation:.2f}",
             terminal.spaced(list(map(self._trace.bytes_of, n.said))))
            for n, cells in self._rows()
        )  # fmt: skip
        notes = (terminal.words(note) for note in self._notes())
        said = terminal.words(self._says())
        return terminal.stack(said, terminal.table(_HEADINGS, rows), *notes)

    def html(self) -> str:
        rows = (
            (*cells, html_bar(n.added / self._most), f"{n.activation:.2f}",
             html.spaced(list(map(self._trace.bytes_of, n.said))))
            for n, cells in self._rows()
        )  # fmt: skip
        table = html.table(_HEADINGS, rows, "The neurons that push the logit most")
        notes = (html.element("p", note) for note in self._notes())
        return html.fragment(html.element("p", self._says()), table, *notes)

    def _rows(self) -> Iterator[tuple[Neuron, tuple[str, str, str]]]:
        for n in self.neurons[:_SHOWN]:
            yield n, (str(n.layer), str(n.number), f"{n.added:+.3f}")

    @property
    def _most(self) -> float:
        return max(abs(n.added) for n in self.neurons) or 1.0

    def _says(self) -> str:
        token = visible(self._trace.bytes_of(self.token))
        after = f"{self.position} {visible(self._trace.pieces[self.position])}"
        if self.versus is None:
            return f"The neurons that moved the logit of {token} most, after {after}."
        other = visible(self._trace.bytes_of(self.versus))
        return f"The neurons that moved {token} most against {other}, after {after}."

    def _notes(self) -> Iterator[str]:
        if len(self.neurons) > _SHOWN:
            yield left_out(len(self.neurons) - _SHOWN, "neurons")
        listed = sum(n.added for n in self.neurons)
        every = sum(added for added in self.by_layer if finite(added) is not None)
        yield f"These add {listed:+.2f}; all neurons of the model {every:+.2f}."
