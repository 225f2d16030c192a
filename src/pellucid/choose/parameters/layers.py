"""A kind of value: layers of a model, by number or as a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.choose.parameters.values import Ids, shown
from pellucid.errors import ParameterError

_MOST = 64
_PARTS = ("low", "high")


@dataclass(frozen=True)
class Layers:
    """Numbers of layers, none twice; or "low" or "high" for layers of that half."""

    def __str__(self) -> str:
        return f"low, high, or at most {_MOST} numbers of layers"

    def check(self, name: str, value: Any) -> str | tuple[int, ...]:
        """The word, or the numbers as a tuple; or ParameterError."""
        if isinstance(value, str):
            if value not in _PARTS:
                raise ParameterError(name, f"must be {self}, not {shown(value)}")
            return value
        layers = Ids(_MOST).check(name, value)
        for place, layer in enumerate(layers):
            if layer in layers[:place]:
                raise ParameterError(name, f"has {layer} twice")
        return layers
