"""Run an open language model at full speed; see, prove and change every step of its answers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.errors import PellucidError
    from pellucid.lm import LM, load
    from pellucid.look.looking import Look, open_trace
    from pellucid.model import changes

__all__ = ["LM", "Look", "PellucidError", "__version__", "changes", "load", "open_trace"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `pellucid --help` imports this package and must not pay for numpy.
    if name in ("LM", "load"):
        return getattr(import_module("pellucid.lm"), name)
    if name in ("Look", "open_trace"):
        return getattr(import_module("pellucid.look.looking"), name)
    if name == "changes":
        return import_module("pellucid.model.changes")
    if name == "PellucidError":
        return import_module("pellucid.errors").PellucidError
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "errors"]
