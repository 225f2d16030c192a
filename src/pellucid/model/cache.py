"""The keys and values of one sequence: appended to, forked and trimmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

import numpy as np

from pellucid.weights.tensor import Floats


class KeyValues(Protocol):
    """The keys and values of one sequence, whoever keeps them."""

    @property
    def length(self) -> int:
        """How many positions are held."""

    def advance(self, rows: int) -> None:
        """Count rows that every layer has written."""

    def trim(self, length: int) -> None:
        """Forget all but the first `length` positions."""

    def read(self, layer: int, stop: int) -> tuple[Floats, Floats]:
        """Keys and values of a layer, `[stop, kv_heads, head_dim]` each: the first that it holds.

        Those that a running pass has written there can be read already.
        """

    def fork(self) -> Self:
        """A second one with the same past; memory is shared until one of the two is written."""


Array = Any  # the backend's own: numpy or torch, alike in slicing
Allocate = Callable[[tuple[int, ...]], Array]

_FIRST_ROWS = 64


class Cache:
    """Keys and values of every layer, `[rows, kv_heads, head_dim]` each, for one sequence.

    `fork` shares the rows with a new cache until either is written to; `trim` forgets the last
    rows. A pass that is interrupted leaves `length` as it was, and so the cache intact.
    """

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        allocate: Allocate,
        numpy: Callable[[Array], Floats] = np.asarray,
    ) -> None:
        self.length = 0
        self._shape = (kv_heads, head_dim)
        self._allocate = allocate
        self._numpy = numpy
        self._layers: list[tuple[Array, Array] | None] = [None] * layers
        self._capacity = [0] * layers  # rows that this cache may write without disturbing a fork

    def write(self, layer: int, keys: Array, values: Array) -> tuple[Array, Array]:
        """Put new rows behind the `length` known ones; return all rows of that layer so far."""
        stop = self.length + len(keys)
        if stop > self._capacity[layer]:
            self._grow(layer, stop)
        held = self._layers[layer]
        assert held is not None
        for kept, new in zip(held, (keys, values), strict=True):
            kept[self.length : stop] = new
        return held[0][:stop], held[1][:stop]

    def read(self, layer: int, stop: int) -> tuple[Floats, Floats]:
        """Keys and values of a layer on the host, `[stop, kv_heads, head_dim]` each."""
        held = self._layers[layer]
        assert held is not None
        assert stop <= len(held[0])
        return self._numpy(held[0][:stop]), self._numpy(held[1][:stop])

    def advance(self, rows: int) -> None:
        """Count rows that every layer has written."""
        self.length += rows

    def trim(self, length: int) -> None:
        """Forget all but the first `length` rows."""
        assert 0 <= length <= self.length
        self.length = length

    def fork(self) -> Cache:
        """A second cache with the same rows; memory is shared until one of the two is written."""
        twin = Cache(len(self._layers), *self._shape, self._allocate, self._numpy)
        twin.length = self.length
        twin._layers = list(self._layers)
        self._capacity = [0] * len(self._layers)
        return twin

    def _grow(self, layer: int, rows: int) -> None:
        held = self._layers[layer]
        capacity = max(_FIRST_ROWS, 1 << (rows - 1).bit_length())
        grown = tuple(self._allocate((capacity, *self._shape)) for _ in range(2))
        if held is not None:
            for new, old in zip(grown, held, strict=True):
                new[: self.length] = old[: self.length]
        self._layers[layer] = (grown[0], grown[1])
        self._capacity[layer] = capacity
