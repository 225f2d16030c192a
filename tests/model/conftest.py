"""The small models, each made once a session."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pellucid.model.model import Model

from .hooked import BACKENDS
from .tiny import Tiny, make_tiny
from .variants import VARIANTS


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tiny]:
    """A small random model of a variant, by its name in the table."""
    made: dict[str, Tiny] = {}

    def get(name: str) -> Tiny:
        if name not in made:
            folder = tmp_path_factory.mktemp(re.sub(r"\W+", "-", name))
            made[name] = make_tiny(name, VARIANTS[name], folder)
        return made[name]

    return get


@pytest.fixture(params=BACKENDS)
def opened(request: pytest.FixtureRequest, tiny: Callable[[str], Tiny]) -> Callable[[str], Model]:
    """A variant's model, on each backend in turn."""
    return lambda name: tiny(name).open(BACKENDS[request.param](request.param))


@pytest.fixture(scope="session")
def oracle_cache(pytestconfig: pytest.Config) -> Path:
    """Where transformers' reading of the real models is kept: beside them, or with pytest's."""
    folder = os.environ.get("PELLUCID_TEST_MODELS")
    return Path(folder) if folder else pytestconfig.cache.mkdir("oracle")


@pytest.fixture(autouse=True)
def _few_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small matrices are done on one thread before they are handed out to two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if request.node.get_closest_marker("slow") else 1)
    yield
    torch.set_num_threads(threads)
