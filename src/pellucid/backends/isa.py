"""Which instruction set the native module computes with."""

from __future__ import annotations

import os
from functools import cache

from pellucid.backends import _native
from pellucid.errors import ParameterError


def instruction_set(isa: str | None = None) -> str:
    """The one asked for here, or by the environment variable PELLUCID_ISA; "" is the best.

    Raises ParameterError for one that this processor, or this build, does not have.
    """
    return _known("isa", isa) if isa else _known("PELLUCID_ISA", os.environ.get("PELLUCID_ISA", ""))


@cache
def _known(name: str, isa: str) -> str:
    known = _native.available()
    if isa and isa not in known:
        raise ParameterError(name, f"must be one of {', '.join(known)} here, not {isa!r}")
    return isa
