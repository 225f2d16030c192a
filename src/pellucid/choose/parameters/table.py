"""A row of the table of parameters, and how a field of a group becomes one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pellucid.choose.parameters.values import Kind


@dataclass(frozen=True)
class Parameter:
    """A row of the table.

    `kind` says which values are allowed (`str(kind)` in words) and checks them. `neutral` is the
    value that leaves everything as it is, and is taken where nothing is given; None where there is
    no such value. `sampling` marks what acts only on a draw: giving it asks for sampling.
    `needs` names the parameters of which one must act for this one to have an effect. `heading` is
    what the help lists it under.
    """

    name: str
    heading: str
    kind: Kind
    doc: str
    neutral: Any = None
    sampling: bool = False
    needs: tuple[str, ...] = ()


def row(kind: Kind, doc: str, **more: Any) -> Any:
    """A field that is a row of the table; None when it is not given. `more` as in `Parameter`."""
    return field(default=None, metadata={"kind": kind, "doc": doc, **more})
