"""Run an open language model at full speed, and see, prove and change every step from text to text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.lm import LM, load

__all__ = ["LM", "__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `pellucid --help` imports this package and must not pay for numpy.
    if name in ("LM", "load"):
        from pellucid import lm

        return getattr(lm, name)
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
