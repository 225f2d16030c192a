"""A small model whose distributions are known exactly, so that the loop is tested alone."""

from __future__ import annotations

import pytest

from pellucid.engine.engine import Engine

from .toy import ByteTokenizer, ToyModel


@pytest.fixture
def model() -> ToyModel:
    return ToyModel()


@pytest.fixture
def engine(model: ToyModel) -> Engine:
    return Engine(model, ByteTokenizer())
