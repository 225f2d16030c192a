"""An opened model: what its files say, with the tensors still packed in the memory map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pellucid.weights.tensor import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """What the files of a model say, nothing interpreted.

    `metadata` is the object in config.json, or the key/value pairs of a GGUF file (arrays of
    strings are sequences that decode lazily; arrays of numbers are numpy arrays).
    `generation` is generation_config.json, or empty. `read` returns the bytes of a small file
    beside the weights ("tokenizer.json"), or None where there is none.
    """

    path: Path
    format: Literal["safetensors", "gguf"]
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    generation: Mapping[str, Any]
    read: Callable[[str], bytes | None]
