"""Random matrices of every kind that GGML packs, and of the plain kinds."""

from __future__ import annotations

import numpy as np

from pellucid.weights.kinds import GGML
from pellucid.weights.tensor import Bytes, Kind, Tensor

KINDS = {kind.name: kind for kind in GGML.values() if kind.name[0] != "I" or "Q" in kind.name}
KINDS.pop("F64")


def random_matrix(name: str, seed: int, rows: int, columns: int) -> Tensor:
    """A matrix of random codes, with scales between 0.005 and 0.02, some negative."""
    kind = KINDS[name]
    random = np.random.default_rng(seed)
    if kind.block_size == 1:
        return Tensor(name, (rows, columns), kind, _plain(kind, random, rows, columns))
    blocks = random.integers(
        0, 256, (rows * columns // kind.block_size, kind.block_bytes), np.uint8
    )
    for at in kind.scales or ():
        scales = random.uniform(0.005, 0.02, len(blocks)) * random.choice([-1, 1], len(blocks))
        blocks[:, at : at + 2] = scales.astype("<f2").view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        blocks[:, 0] = random.integers(115, 125, len(blocks))
    return Tensor(name, (rows, columns), kind, blocks.reshape(rows, -1))


def _plain(kind: Kind, random: np.random.Generator, rows: int, columns: int) -> Bytes:
    numbers = random.standard_normal((rows, columns), np.float32)
    if kind.name == "F16":
        return numbers.astype("<f2").view(np.uint8)
    if kind.name == "BF16":
        return np.ascontiguousarray(numbers.view("<u2")[:, 1::2]).view(np.uint8)
    return numbers.view(np.uint8)
