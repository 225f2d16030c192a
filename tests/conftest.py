"""Fixtures that every test may use: the two real models, as files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A developer's runs look for new examples; CI answers the same to the same commit.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def _model(alias: str, file: str) -> Path:
    """`file` in $PELLUCID_TEST_MODELS if that is set, else what the alias resolves to."""
    folder = os.environ.get("PELLUCID_TEST_MODELS")
    if folder:
        return Path(folder) / file
    from pellucid.weights.references import resolve

    return resolve(alias)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct: Llama family, Q4_1, byte-level BPE, a chat template."""
    return _model("smollm2", "smollm2.gguf")


@pytest.fixture(scope="session")
def gemma3() -> Path:
    """Gemma 3 270M: sliding windows, five kinds of tensors, a SentencePiece vocabulary."""
    return _model("gemma3-270m", "gemma3.gguf")
