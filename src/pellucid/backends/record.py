"""The forward, recorded once: a list of steps that holds for any number of rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

from pellucid.model.config import ModelConfig, Rope
from pellucid.model.forward import Forward, Weights
from pellucid.model.ops import Activation, Linear, Norm

Matrix = Any  # the native module's packed matrix
End = Literal["unembed", "project"]  # what `Forward` can do with rows alone


@dataclass(frozen=True)
class Step:
    """One operation: what it is called, the values it reads, the value it makes, its settings.

    Values are numbered in the order they are made.
    """

    kind: str
    reads: tuple[int, ...]
    made: int
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """Rows of numbers that a pass will have: `[rows, width]`, or a row for each wanted one."""

    recorder: Recorder = field(repr=False)
    number: int
    width: int
    wanted: bool
    heads: int = 1

    def __add__(self, other: Value) -> Value:
        return self.recorder.step("add", (self, other), self.width)

    def __mul__(self, other: Value | float) -> Value:
        if isinstance(other, Value):
            return self.recorder.step("multiply", (self, other), self.width)
        return self.recorder.step("scale", (self,), self.width, by=other)


class Recorder:
    """Operations that compute nothing and write down what was asked.

    A site is only marked, in `sites`; where it is one of `stops`, a step says that the pass stops.
    """

    def __init__(self, stops: Collection[str] = ()) -> None:
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self.sites: dict[str, int] = {}  # name -> the value there, in the order of computing
        self._stops = stops

    def record(self, config: ModelConfig, weights: Weights) -> Value:
        """Run the forward once; the value of its logits."""
        ops: Any = self  # its arrays are values that are not known yet
        unknown: Any = SimpleNamespace(ids="ids", positions="positions", wanted="wanted")
        result: Value = Forward(config, weights, ops)(unknown)
        return result

    def record_end(self, config: ModelConfig, weights: Weights, end: End) -> tuple[Value, Value]:
        """Run the end of the forward: the value of the rows it is given, and of their logits."""
        ops: Any = self
        given = self.step("given", (), config.hidden_size, wanted=True)
        result: Value = getattr(Forward(config, weights, ops), end)(given)
        return given, result

    def site(self, x: Value, name: str, run: Any) -> Value:
        if name in self._stops:
            x = self.split(self.step("stop", (x,), x.width, name=name), x.heads)
        self.sites[name] = x.number
        return x

    def step(self, kind: str, reads: tuple[Value, ...], width: int, **settings: Any) -> Value:
        """Write down a step, and number the value it makes."""
        wanted = settings.pop("wanted", bool(reads) and reads[0].wanted)
        made = Value(self, len(self.values), width, wanted)
        self.values.append(made)
        self.steps.append(Step(kind, tuple(v.number for v in reads), made.number, settings))
        return made

    def embed(self, table: Matrix, ids: str) -> Value:
        return self.step("embed", (), table.shape[1], table=table, by_position=ids == "positions")

    def linear(self, x: Value, linear: Linear) -> Value:
        width = linear.weight.shape[0]
        return self.step("linear", (x,), width, matrix=linear.weight, bias=linear.bias)

    def norm(self, x: Value, norm: Norm, kind: Literal["rms", "layer"], eps: float) -> Value:
        made = self.step(
            "norm", (x,), x.width,
            weight=norm.weight, bias=norm.bias, groups=x.heads, eps=eps, centre=kind == "layer",
        )  # fmt: skip
        return self.split(made, x.heads)

    def split(self, x: Value, heads: int) -> Value:
        return Value(self, x.number, x.width, x.wanted, heads)

    def turns(self, rope: Rope, positions: str) -> Value:
        return self.step("turns", (), rope.dims, frequencies=rope.frequencies(), gain=rope.gain)

    def rotate(self, x: Value, turns: Value) -> Value:
        return self.split(self.step("rotate", (x, turns), x.width, heads=x.heads), x.heads)

    def attend(
        self,
        q: Value,
        k: Value,
        v: Value,
        run: Any,
        layer: int,
        *,
        window: int | None,
        scale: float,
        softcap: float | None,
    ) -> Value:
        return self.step(
            "attend", (q, k, v), q.width,
            layer=layer, heads=q.heads, window=window or 0, scale=scale, softcap=softcap or 0.0,
        )  # fmt: skip

    def activate(self, x: Value, kind: Activation) -> Value:
        return self.step("activate", (x,), x.width, act=kind)

    def softcap(self, x: Value, cap: float) -> Value:
        return self.step("softcap", (x,), x.width, cap=cap)

    def mix_experts(
        self,
        x: Value,
        scores: Value,
        experts: Sequence[Callable[[Value], Value]],
        chosen: int,
        renormalise: bool,
    ) -> Value:
        recorded = [self._expert(expert, x) for expert in experts]
        return self.step(
            "experts", (x, scores), x.width,
            experts=[expert[:3] for expert in recorded], act=recorded[0][3],
            chosen=chosen, renormalise=renormalise,
        )  # fmt: skip

    def _expert(self, expert: Callable[[Value], Value], x: Value) -> tuple[Any, Any, Any, str]:
        """The three matrices and the activation that an expert would use."""
        steps, values = len(self.steps), len(self.values)
        expert(x)  # writes its steps down here, where they do not belong
        written = self.steps[steps:]
        del self.steps[steps:], self.values[values:]
        linears = [step.settings for step in written if step.kind == "linear"]
        assert all(linear["bias"] is None for linear in linears), "no family has biases here"
        (kind,) = (step.settings["act"] for step in written if step.kind == "activate")
        up, *gate, down = (linear["matrix"] for linear in linears)
        return (gate[0] if gate else None, up, down, kind)

    def take(self, x: Value, rows: str) -> Value:
        return self.step("take", (x,), x.width, wanted=True)
