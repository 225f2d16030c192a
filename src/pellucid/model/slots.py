"""Where each of a model's tensors lies in a file, and what a format did to it on the way.

Our own names are those of the canonical list in `expected`; a family's table says which tensor of
the file fills each, and which rows of it, where several were fused into one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pellucid.model.config import ModelConfig
from pellucid.weights.tensor import Tensor

# Undoes what a format did. Raises ValueError or IndexError for a shape that it cannot come from.
Change = Callable[[Tensor, ModelConfig], Tensor]


@dataclass(frozen=True)
class Slot:
    """A tensor's name in the file, `{i}` standing for the layer and `{e}` for the expert.

    The name stands for its `.weight` and its `.bias`. `changes` undo, in order, what the format
    did; rows are taken without unpacking. A `stacked` tensor `[experts, out, in]` holds all
    experts of a layer.
    """

    name: str
    changes: tuple[Change, ...] = ()
    stacked: bool = False


Names = Mapping[str, Slot]


def slots(names: Mapping[str, str | Slot]) -> dict[str, Slot]:
    """A table of slots from one in which plain names stand for themselves."""
    return {ours: Slot(slot) if isinstance(slot, str) else slot for ours, slot in names.items()}


def transposed(tensor: Tensor, config: ModelConfig) -> Tensor:
    """GPT-2's Conv1D keeps matrices as `[in, out]`; a bias is left alone."""
    if len(tensor.shape) != 2 or tensor.kind.block_size != 1:
        return tensor
    rows, columns = tensor.shape
    numbers = tensor.data.reshape(rows, columns, tensor.kind.block_bytes)
    data = numbers.transpose(1, 0, 2).reshape(columns, -1)
    return replace(tensor, shape=(columns, rows), data=data)


def plus_one(tensor: Tensor, config: ModelConfig) -> Tensor:
    """Gemma stores a norm's gain less one."""
    return Tensor.of(tensor.name, tensor.float32() + np.float32(1))


def part(number: int) -> Change:
    """Queries, keys or values (0, 1, 2) of one matrix that holds them one below the other."""

    def change(tensor: Tensor, config: ModelConfig) -> Tensor:
        query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
        edges = (0, query, query + key, query + 2 * key)
        _expect(tensor, edges[-1])
        return taken(tensor, slice(edges[number], edges[number + 1]))

    return change


def part_of_each_head(number: int) -> Change:
    """Queries, keys or values of one matrix that holds the three of each head together."""

    def change(tensor: Tensor, config: ModelConfig) -> Tensor:
        rows = np.arange(3 * config.heads * config.head_dim).reshape(config.heads, 3, -1)
        _expect(tensor, rows.size)
        return taken(tensor, rows[:, number].ravel())

    return change


def half(number: int) -> Change:
    """Gate or up (0, 1) of one matrix that holds one above the other."""

    def change(tensor: Tensor, config: ModelConfig) -> Tensor:
        size = config.intermediate_size
        _expect(tensor, 2 * size)
        return taken(tensor, slice(number * size, (number + 1) * size))

    return change


def unpermuted(tensor: Tensor, config: ModelConfig) -> Tensor:
    """llama.cpp pairs neighbouring rows of q and k for its rope; transformers pairs halves."""
    heads = tensor.shape[0] // config.head_dim
    rows = np.arange(tensor.shape[0]).reshape(heads, config.head_dim // 2, 2)
    return taken(tensor, rows.swapaxes(1, 2).ravel())


def unstacked(tensor: Tensor, expert: int, config: ModelConfig) -> Tensor:
    """One expert of a stack `[experts, out, in]`."""
    _, rows, columns = tensor.shape
    assert config.experts
    _expect(tensor, config.experts.count)
    data = tensor.data[expert * rows : (expert + 1) * rows]
    return replace(tensor, shape=(len(data), columns), data=data)


def _expect(tensor: Tensor, rows: int) -> None:
    if tensor.shape[0] != rows:
        raise ValueError


def taken(tensor: Tensor, rows: slice | np.ndarray[tuple[int], np.dtype[np.intp]]) -> Tensor:
    """Some rows of a matrix, or some numbers of a vector (whose `data` is one row)."""
    if len(tensor.shape) > 1:
        return tensor.take(rows)
    return Tensor.of(tensor.name, tensor.float32()[rows])
