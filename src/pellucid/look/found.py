"""What views need of a trace: readings that must be there, and tokens by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pellucid.errors import ParameterError
from pellucid.trace.trace import Array, Trace


def arrays(trace: Trace, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Array]:
    """What was read. Raises ParameterError where it was not, or not so."""
    reading = trace.reading(name, **arguments)
    if reading is None:
        asked = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise ParameterError("trace", f"has no reading {name} with {asked}; ask a look of the run")
    return reading.arrays


def text(trace: Trace, token: int) -> str:
    """A token as JSON has it."""
    return trace.bytes_of(token).decode("utf-8", "replace")
