"""What becomes of a token when a head or an MLP is taken out, each in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.look import found, html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.numbers import percent
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.look.writers import html_bar, largest, signed_bar
from pellucid.trace.trace import Trace

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 20
_HEADINGS = ("#layer", "taken out", "#log-prob", "", "#probability then")
_INSTEAD = {"zero": "writes nothing", "mean": "writes its mean over the text"}
_HINT = (
    "Each cell is a head that was taken out, in blue where the token then gets less likely and in"
    " orange where it gets likelier. Look for the few that are needed, and in which layers."
)


class AblationView(View):
    """What each head and MLP was worth to a token after a position of a run.

    The trace has the reading "ablation" with these arguments; raises ParameterError otherwise.
    """

    def __init__(self, trace: Trace, arguments: Mapping[str, Any]) -> None:
        told = found.arrays(trace, "ablation", arguments)
        self._trace = trace
        self.position: int = arguments["position"]
        self.by: str = arguments["by"]
        self.token = int(told["target_ids"][0])
        self.logit, self.logprob = float(told["logit"][0]), float(told["logprob"][0])
        # [layers, heads + 1], the MLP last: what is added when that part is taken out.
        self.changes = _beside(told["head_logprobs"], told["mlp_logprobs"]) - told["logprob"]
        self.logit_changes = _beside(told["head_logits"], told["mlp_logits"]) - told["logit"]

    def to_dict(self) -> dict[str, Any]:
        """`position, token {id, text}, by, logit, logprob`, and by how much each part changes them:
        `heads[][] {logit, logprob}` by layer, `mlps[] {logit, logprob}`.
        """
        pairs = np.stack([self.logit_changes, self.changes], axis=-1)
        told = [
            [{"logit": logit, "logprob": logprob} for logit, logprob in layer]
            for layer in pairs.tolist()
        ]
        return {
            "position": self.position,
            "token": {"id": self.token, "text": found.text(self._trace, self.token)},
            "by": self.by,
            "logit": self.logit,
            "logprob": self.logprob,
            "heads": [layer[:-1] for layer in told],
            "mlps": [layer[-1] for layer in told],
        }

    def terminal(self) -> RenderableType:
        rows = (
            (layer, part, change, signed_bar(share), prob)
            for layer, part, change, share, prob in self._rows()
        )
        table = terminal.table(_HEADINGS, rows)
        return terminal.stack(terminal.words(self._says()), table, terminal.words(self._note()))

    def html(self) -> str:
        rows = (
            (layer, part, change, html_bar(share), prob)
            for layer, part, change, share, prob in self._rows()
        )
        table = html.table(_HEADINGS, rows, "The parts that matter most")
        said, note = (html.element("p", text) for text in (self._says(), self._note()))
        return html.fragment(said, table, note)

    def _rows(self) -> Iterator[tuple[str, str, str, float, str]]:
        most = float(np.abs(self.changes).max()) or 1.0
        for layer, head in largest(self.changes, _SHOWN):
            change = float(self.changes[layer, head])
            part = "mlp" if head == self._heads else f"head {head}"
            prob = percent(math.exp(self.logprob + change))
            yield str(layer), part, f"{change:+.3f}", change / most, prob

    @property
    def _heads(self) -> int:
        return self._trace.config.heads

    def _says(self) -> str:
        token = visible(self._trace.bytes_of(self.token))
        after = f"{self.position} {visible(self._trace.pieces[self.position])}"
        return f"After {after}, {token} has a probability of {percent(math.exp(self.logprob))}."

    def _note(self) -> str:
        return (
            f"Each head and each MLP was taken out alone, at every position: it"
            f" {_INSTEAD[self.by]}. What others make up for does not show."
        )

    def figure(self) -> Figure:
        layers, heads = len(self.changes), self._heads
        return Figure(
            "ablation",
            f"Who is needed for {visible(self._trace.bytes_of(self.token))}",
            _HINT,
            {
                "says": f"{self._says()} {self._note()}",
                "tokens": labels(self._trace.pieces[: self.position + 1]),
                "layers": layers,
                "heads": heads,
                "logprob": self.logprob,
                "logit": self.logit,
                "changes": self.changes.astype(np.float32),
                "logits": self.logit_changes.astype(np.float32),
            },
        )


def _beside(heads: Any, mlps: Any) -> Any:
    return np.concatenate([heads, mlps[:, None]], axis=1)
