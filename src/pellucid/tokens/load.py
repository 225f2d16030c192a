"""A model's tokenizer, from whichever of its files describe one."""

from __future__ import annotations

from pellucid.errors import FormatError
from pellucid.tokens import gguf
from pellucid.tokens.tokenizer import Tokenizer
from pellucid.weights.checkpoint import Checkpoint


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer of a model."""
    if checkpoint.format == "gguf":
        return gguf.tokenizer(checkpoint.metadata, checkpoint.path)
    raise FormatError(checkpoint.path, "", "no tokenizer")
