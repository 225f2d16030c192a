"""The contestants: one interface, one file for each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from bench.files import ModelFile
from pellucid.weights.tensor import Floats


class Loaded(Protocol):
    """A model that a contestant has opened."""

    def start(self, prompts: Sequence[Sequence[int]]) -> None:
        """Forget what was; read prompts of one length together, as far as the logits that follow
        the last token of each.
        """

    def step(self, tokens: Sequence[int]) -> None:
        """Append one token to each sequence, and compute the logits that follow it."""

    def logits(self, ids: Sequence[int]) -> Floats:
        """The logits after each token of one sequence, `[tokens, vocab]`."""

    def close(self) -> None:
        """Give the memory back."""


class Contestant(Protocol):
    """One library, at one setting."""

    name: str

    def absent(self, file: ModelFile) -> str | None:
        """Why it cannot take part with this file, or None."""

    def open(self, file: ModelFile, threads: int, sequences: int, length: int) -> Loaded:
        """Load a file, with room for so many sequences of this length."""

    def cold(self, file: ModelFile, threads: int, text: str) -> list[str]:
        """The command line of a process that continues a text by one token."""


def contestants() -> list[Contestant]:
    """All of them, installed or not, in the order of their turns; Pellucid is the first."""
    pellucid = import_module("bench.peers.pellucid").Pellucid
    llama_cpp = import_module("bench.peers.llama_cpp").LlamaCpp
    transformers = import_module("bench.peers.transformers").Transformers
    return [pellucid(), llama_cpp(), transformers("bfloat16"), transformers("float32")]
