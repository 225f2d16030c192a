"""Where a trace comes from: which model it was, and how that was computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pellucid.model.backend import Backend
from pellucid.model.config import ModelConfig
from pellucid.weights.checkpoint import Checkpoint
from pellucid.weights.tensor import Tensor

_SAMPLES = 64  # of each tensor, whatever its size, so that a large model takes no longer
_SAMPLE_BYTES = 256


@dataclass(frozen=True)
class Origin:
    """The model of a run, by the `name` that it was asked for, and what decides its numbers.

    `fingerprint` tells two models apart (see `fingerprint`). `settings` are the backend's:
    the same model under the same settings gives the same bits.
    """

    name: str
    fingerprint: str
    backend: str
    settings: Mapping[str, str]
    config: ModelConfig

    @classmethod
    def of(cls, name: str, checkpoint: Checkpoint, config: ModelConfig, backend: Backend) -> Origin:
        """The origin of what this backend computes of this checkpoint."""
        return cls(name, fingerprint(checkpoint), backend.name, backend.settings(), config)

    def unlike(self, other: Origin) -> list[str]:
        """What decides numbers and is not the same here and there, each in a sentence."""
        mine, others = ({"backend": one.backend, **one.settings} for one in (self, other))
        return [
            f"It was computed with {name} {mine.get(name, 'unset')}, now with"
            f" {others.get(name, 'unset')}: bits may differ."
            for name in sorted(mine.keys() | others.keys())
            if mine.get(name) != others.get(name)
        ]


def fingerprint(checkpoint: Checkpoint) -> str:
    """A SHA-256 over every tensor's name, kind and shape, and 16 KiB of its bytes, evenly taken.

    Milliseconds where hashing all of a large model takes minutes. It tells models apart that were
    trained apart; one that somebody altered in a few weights only is told by what it computes.
    """
    digest = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        tensor = checkpoint.tensors[name]
        digest.update(json.dumps([name, tensor.kind.name, tensor.shape]).encode())
        digest.update(_sample(tensor))
    return digest.hexdigest()


def _sample(tensor: Tensor) -> bytes:
    data = tensor.data.reshape(-1)
    starts = np.linspace(0, max(0, len(data) - _SAMPLE_BYTES), _SAMPLES, dtype=np.int64)
    return b"".join(data[at : at + _SAMPLE_BYTES].tobytes() for at in np.unique(starts))
