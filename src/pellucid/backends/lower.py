"""A recorded forward becomes a native plan: its values become buffers, its steps operations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pellucid.backends import _native
from pellucid.backends.record import End, Recorder, Step, Value
from pellucid.errors import UnsupportedError
from pellucid.model.config import ModelConfig
from pellucid.model.forward import Weights

_LARGEST_HEAD = 512  # dimensions; the native attention has room for so many
_ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu")


@dataclass(frozen=True)
class Place:
    """Where a site's rows lie."""

    site: str
    buffer: int
    width: int


@dataclass(frozen=True)
class Lowered:
    """A plan; sites it stops at, in order; those to read after it; the buffer it is given."""

    plan: Any
    stops: tuple[Place, ...] = ()
    reads: tuple[Place, ...] = ()
    given: int = -1


def lower(
    engine: Any,
    config: ModelConfig,
    weights: Weights,
    full: bool = False,
    reads: Collection[str] = (),
    stops: Collection[str] = (),
) -> Lowered:
    """Record the forward, share out buffers by lifetime, and write the native plan.

    `full` keeps keys and values as float32. The plan stops where the sites `stops` are; the buffers
    of `reads` hold their rows when it ends. Raises UnsupportedError for heads beyond 512.
    """
    if config.head_dim > _LARGEST_HEAD:
        raise UnsupportedError(
            f"heads of {config.head_dim} dimensions: the native backend has room for "
            f"{_LARGEST_HEAD}; the reference backend takes any"
        )
    recorder = Recorder(stops)
    result = recorder.record(config, weights)
    plan = _native.Plan(engine, config.layers, config.kv_heads, config.head_dim, full)
    places = {name: number for name, number in recorder.sites.items() if name in reads}
    buffer_of = _write(plan, recorder, result, set(places.values()))

    def place(name: str) -> Place:
        value = recorder.values[recorder.sites[name]]
        return Place(name, buffer_of[value.number], value.width)

    stopped = [step.settings["name"] for step in recorder.steps if step.kind == "stop"]
    return Lowered(plan, tuple(map(place, stopped)), tuple(map(place, places)))


def lower_end(engine: Any, config: ModelConfig, weights: Weights, end: End) -> Lowered:
    """The plan of the forward's end alone; its rows are written into the buffer `given`."""
    recorder = Recorder()
    given, result = recorder.record_end(config, weights, end)
    plan = _native.Plan(engine, config.layers, config.kv_heads, config.head_dim)
    buffer_of = _write(plan, recorder, result)
    return Lowered(plan, given=buffer_of[given.number])


def _write(
    plan: Any, recorder: Recorder, result: Value, kept: Collection[int] = ()
) -> dict[int, int]:
    """Every step as an operation; the buffer of each value, of which `kept` are not used again."""
    lowering = _Lowering(plan, recorder, kept)
    for place, step in enumerate(recorder.steps):
        lowering.write(place, step)
    plan.finish(lowering.buffer_of[result.number])
    return lowering.buffer_of


class _Lowering:
    """Values become buffers: one is free again after the last step that reads its value."""

    def __init__(self, plan: Any, recorder: Recorder, kept: Collection[int]) -> None:
        self.plan = plan
        self.kept = kept
        self.values = recorder.values
        self.last_read: dict[int, int] = {}
        for place, step in enumerate(recorder.steps):
            for number in step.reads:
                self.last_read[number] = place
        self.buffer_of: dict[int, int] = {}
        self.free: dict[tuple[int, bool], list[int]] = {}
        self.quantised: dict[int, int] = {}  # value -> its 16-bit form
        self.free_quantised: dict[tuple[int, bool], list[int]] = {}

    def write(self, place: int, step: Step) -> None:
        value = self.values[step.made]
        reads = [self.buffer_of[number] for number in step.reads]
        out = self._buffer(value)
        getattr(self, "_" + step.kind)(out, reads, step)
        for number in set(step.reads):
            if self.last_read[number] == place and number not in self.kept:
                done = self.values[number]
                size = (done.width, done.wanted)
                self.free.setdefault(size, []).append(self.buffer_of[number])
                if number in self.quantised:
                    self.free_quantised.setdefault(size, []).append(self.quantised[number])

    def _buffer(self, value: Value) -> int:
        free = self.free.get((value.width, value.wanted))
        number = free.pop() if free else self.plan.buffer(value.width, value.wanted)
        self.buffer_of[value.number] = number
        return number

    def _given(self, out: int, reads: list[int], step: Step) -> None:
        """Written from outside, before the plan is executed."""

    def _stop(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.scale(out, *reads, 1.0)  # a copy, since others may read the value as it was
        self.plan.stop()

    def _embed(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.embed(out, step.settings["table"], step.settings["by_position"])

    def _linear(self, out: int, reads: list[int], step: Step) -> None:
        matrix, bias = step.settings["matrix"], step.settings["bias"]
        quantised = -1
        if matrix.coded:
            (number,) = step.reads
            if number not in self.quantised:
                self.quantised[number] = self._quantise(number)
            quantised = self.quantised[number]
        self.plan.linear(out, reads[0], matrix, _listed(bias), quantised)

    def _quantise(self, number: int) -> int:
        value, buffer = self.values[number], self.buffer_of[number]
        free = self.free_quantised.get((value.width, value.wanted))
        into: int = free.pop() if free else self.plan.quantised(buffer)
        self.plan.quantise(buffer, into)
        return into

    def _norm(self, out: int, reads: list[int], step: Step) -> None:
        s = step.settings
        self.plan.norm(
            out,
            reads[0],
            _listed(s["weight"]),
            _listed(s["bias"]),
            s["groups"],
            s["eps"],
            s["centre"],
        )

    def _turns(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.turns(out, _listed(step.settings["frequencies"]), step.settings["gain"])

    def _rotate(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.rotate(out, *reads, step.settings["heads"])

    def _attend(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.attend(out, *reads, **step.settings)

    def _activate(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.activate(out, *reads, _ACTIVATIONS.index(step.settings["act"]))

    def _add(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.add(out, *reads)

    def _multiply(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.multiply(out, *reads)

    def _scale(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.scale(out, *reads, step.settings["by"])

    def _softcap(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.softcap(out, *reads, step.settings["cap"])

    def _take(self, out: int, reads: list[int], step: Step) -> None:
        self.plan.take(out, *reads)

    def _experts(self, out: int, reads: list[int], step: Step) -> None:
        s = step.settings
        experts = s["experts"]
        self.plan.experts(
            out, *reads, experts, s["chosen"], s["renormalise"], _ACTIVATIONS.index(s["act"])
        )


def _listed(vector: Any) -> list[float]:
    return [] if vector is None else vector.tolist()
