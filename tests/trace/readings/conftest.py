"""The small models of the forward's tests, and the model that was built by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from pellucid.lm import LM, load

from ...model.conftest import opened, oracle_cache, tiny  # noqa: F401  (fixtures)
from .. import induction


@pytest.fixture(params=["reference", "native"])
def inducing(request: pytest.FixtureRequest, tmp_path: Path) -> LM:
    """The model of `induction`, on two backends."""
    return load(induction.write_model(tmp_path / "induction"), backend=request.param)
