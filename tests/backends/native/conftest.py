"""Engines of every instruction set this machine has."""

from __future__ import annotations

from typing import Any

import pytest

from pellucid.backends import _native

from ...model.conftest import _few_threads, tiny  # noqa: F401


@pytest.fixture(scope="session", params=_native.available())
def engine(request: pytest.FixtureRequest) -> Any:
    """An engine of two threads, for each instruction set."""
    return _native.Engine(2, request.param)
