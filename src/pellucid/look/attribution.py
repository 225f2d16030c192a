"""Which tokens an answer rests on: what gradients claim, and what happens without each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.look import found, html, terminal
from pellucid.look.figure import Figure, labels
from pellucid.look.html import Html
from pellucid.look.numbers import finite, left_out
from pellucid.look.view import View
from pellucid.look.visible import visible
from pellucid.look.writers import html_bar, signed_bar
from pellucid.trace.trace import Trace
from pellucid.weights.tensor import Floats

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS_IN_TERMINAL, _ROWS_IN_HTML = 100, 500
_MORE = ("", *(f"#101010 on {tint}" for tint in ("#fdf0c8", "#fdd49e", "#fdae6b", "#f88d55")))
_LESS = ("", *(f"#101010 on {tint}" for tint in ("#dcecfb", "#bcdcf7", "#93c5f0", "#62a9e6")))
_STEPS = (0.05, 0.2, 0.45, 0.75)  # of the largest, at which a tint deepens
_HEADINGS = ("##", "token", "#without it", "")
_CLAIMED = ("#integrated", "#gradient x input")
_INSTEAD = {
    "mean": "each token in turn is replaced by the average of all embeddings",
    "zero": "each token's embedding in turn is replaced by zeros",
    "hidden": "no later token may look at it",
}
_HINT = (
    "Orange tokens speak for the answer, blue ones against it. Look whether what gradients claim is"
    " what happens when the token is taken out: where the two differ, believe the second."
)


class AttributionView(View):
    """What each token up to a position brings to the token after it: `effect`, measured by taking
    it out, beside what `integrated` gradients and `gradient` x input claim.

    The trace has the reading "occlusion" with these arguments, and "attribution" with `claims`, if
    they are given; raises ParameterError where it has not.
    """

    def __init__(
        self, trace: Trace, tested: Mapping[str, Any], claims: Mapping[str, Any] | None = None
    ) -> None:
        told = found.arrays(trace, "occlusion", tested)
        self._trace = trace
        self._claims = found.arrays(trace, "attribution", claims) if claims else None
        self.of: str = (claims or {}).get("of", "logprob")
        self.position: int = tested["position"]
        self.token = int(told["target_ids"][0])
        self.by: str | int = tested.get("by", "mean")
        self.logprob = float(told["logprob"][0])
        self.effect: Floats = np.full(self.position + 1, np.nan, np.float32)
        self.effect[told["places"]] = told[self.of] - told[f"{self.of}s"]

    @property
    def integrated(self) -> Floats | None:
        """What integrated gradients claim, `[position + 1]`."""
        return None if self._claims is None else self._claims["integrated"]

    @property
    def gradient(self) -> Floats | None:
        """What the slope times the input claims, `[position + 1]`."""
        return None if self._claims is None else self._claims["gradient"]

    @property
    def agreement(self) -> float | None:
        """Pearson's correlation of integrated gradients with what was measured, without the tokens
        that were held; None where there is too little to compare.
        """
        if self.integrated is None:
            return None
        both = np.isfinite(self.effect) & (self.integrated != 0)
        claimed, measured = self.integrated[both], self.effect[both]
        if both.sum() < 3 or not claimed.std() or not measured.std():
            return None
        return float(np.corrcoef(claimed, measured)[0, 1])

    def to_dict(self) -> dict[str, Any]:
        """`position, token {id, text, logprob}, of, by, tokens[] {id, text, effect, integrated,
        gradient}, scores[], gap, gradients, agreement`; what was not computed is null.
        """
        claims = self._claims
        return {
            "position": self.position,
            "token": {
                "id": self.token,
                "text": found.text(self._trace, self.token),
                "logprob": finite(self.logprob),
            },
            "of": self.of,
            "by": self.by,
            "tokens": [self._token(at) for at in range(self.position + 1)],
            "scores": claims and claims["scores"].tolist(),
            "gap": claims and float(claims["gap"][0]),
            "gradients": claims and int(claims["gradients"][0]),
            "agreement": finite(self.agreement),
        }

    def _token(self, at: int) -> dict[str, Any]:
        token = self._trace.ids[at]
        numbers = (self.effect, self.integrated, self.gradient)
        names = ("effect", "integrated", "gradient")
        told = {
            name: None if each is None else finite(float(each[at]))
            for name, each in zip(names, numbers, strict=True)
        }
        return {"id": token, "text": found.text(self._trace, token), **told}

    def terminal(self) -> RenderableType:
        shown = range(min(self.position + 1, _ROWS_IN_TERMINAL))
        pieces = self._trace.pieces
        running = terminal.Running((pieces[at], self._style(at)) for at in shown)
        rows = (
            self._terminal_row(at, effect, claims)
            for at, (effect, *claims) in self._rows(_ROWS_IN_TERMINAL)
        )
        said = terminal.words(self._says())
        notes = terminal.words("\n".join(self._notes(_ROWS_IN_TERMINAL)))
        return terminal.stack(said, running, terminal.table(self._headings, rows), notes)

    def _terminal_row(self, at: int, effect: str, claims: Sequence[str]) -> list[RenderableType]:
        piece = terminal.piece(self._trace.pieces[at], self._style(at))
        return [str(at), piece, effect, signed_bar(self._share(at)), *claims]

    def html(self) -> str:
        shown = range(min(self.position + 1, _ROWS_IN_HTML))
        rows = (
            (str(at), self._tinted(at), effect, html_bar(self._share(at)), *claims)
            for at, (effect, *claims) in self._rows(_ROWS_IN_HTML)
        )
        table = html.table(self._headings, rows, "What each token brings")
        notes = (html.element("p", note) for note in self._notes(_ROWS_IN_HTML))
        running = html.running(self._tinted(at) for at in shown)
        return html.fragment(html.element("p", self._says()), running, table, *notes)

    def _tinted(self, at: int) -> Html:
        depth = self._depth(at)
        kind = "h" if self._share(at) > 0 else "c"
        tint = f"{kind}{depth}" if depth else None
        return html.piece(self._trace.pieces[at], class_=tint)

    def _style(self, at: int) -> str:
        return (_MORE if self._share(at) > 0 else _LESS)[self._depth(at)]

    def _depth(self, at: int) -> int:
        return sum(abs(self._share(at)) >= step for step in _STEPS)

    def _share(self, at: int) -> float:
        """What was measured of a token, of the largest, -1 to 1; 0 where it was not tried."""
        if not np.isfinite(self.effect[at]):
            return 0.0
        most = float(np.nanmax(np.abs(self.effect))) or 1.0
        return float(self.effect[at]) / most

    def _rows(self, most: int) -> Iterator[tuple[int, list[str]]]:
        for at in range(min(self.position + 1, most)):
            each = [x for x in (self.effect, self.integrated, self.gradient) if x is not None]
            yield at, ["" if np.isnan(x[at]) else f"{x[at]:+.3f}" for x in each]

    @property
    def _headings(self) -> tuple[str, ...]:
        return _HEADINGS + (() if self._claims is None else _CLAIMED)

    def _says(self) -> str:
        token = visible(self._trace.bytes_of(self.token))
        after = visible(self._trace.pieces[self.position])
        return f"After {self.position} {after}, {token} has the log-probability {self.logprob:.3f}."

    def _notes(self, most: int) -> Iterator[str]:
        if self.position >= most:
            yield left_out(self.position + 1 - most)
        measure = "log-probability" if self.of == "logprob" else "logit"
        yield f"Without it: by how much the {measure} falls when {self._instead()}."
        if self._claims is None:
            return
        low, high = self._claims["scores"].tolist()
        gap = float(self._claims["gap"][0])
        yield (
            f"Integrated gradients add up to {high - low + gap:+.3f}, the {measure} rises by"
            f" {high - low:+.3f} from a text that says nothing"
            f" ({int(self._claims['gradients'][0])} gradients, gap {gap:+.3f})."
        )
        if self.agreement is not None:
            yield f"Claimed and measured go together with a correlation of {self.agreement:+.2f}."

    def _instead(self) -> str:
        if isinstance(self.by, str):
            return _INSTEAD[self.by]
        return f"each token in turn is replaced by {visible(self._trace.bytes_of(self.by))}"

    def figure(self) -> Figure:
        claims = {} if self._claims is None else {
            "integrated": self._claims["integrated"].astype(np.float32),
            "gradient": self._claims["gradient"].astype(np.float32),
        }  # fmt: skip
        title = f"What {visible(self._trace.bytes_of(self.token))} rests on"
        data = {
            "tokens": labels(self._trace.pieces[: self.position + 1]),
            "effect": self.effect,
            **claims,
            "of": self.of,
            "says": self._says(),
            "notes": [*self._notes(len(self._trace.ids))],
        }
        return Figure("attribution", title, _HINT, data)
