"""What is kept of how each token was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Integer

DEFAULT_LEDGER = 50


@dataclass(frozen=True, repr=False)
class Account:
    """The rows about what is kept."""

    heading: ClassVar[str] = "What is kept"

    ledger: int | None = row(
        Integer(0, 1000),
        "keep, for each token, what every filter did to this many leading candidates; "
        f"{DEFAULT_LEDGER} when not given, 0 for none",
    )
