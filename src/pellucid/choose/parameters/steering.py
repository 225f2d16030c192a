"""Steering draws by how likely the tokens were that were drawn before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Integer, Number


@dataclass(frozen=True, repr=False)
class Steering:
    """The rows about steering; names and neutral values are llama.cpp's."""

    heading: ClassVar[str] = "Steering"

    mirostat: int | None = row(
        Integer(0, 2),
        "keep the surprise of the tokens drawn near mirostat_tau: version 1 or 2; 0 is off",
        neutral=0,
        sampling=True,
    )
    mirostat_tau: float | None = row(
        Number(0, 100),
        "the surprise to aim at, in bits; 5 when not given",
        neutral=5.0,
        needs=("mirostat",),
    )
    mirostat_eta: float | None = row(
        Number(0, 1),
        "how fast to correct what misses it; 0.1 when not given",
        neutral=0.1,
        needs=("mirostat",),
    )
    adaptive_target: float | None = row(
        Number(0, 1),
        "favour tokens of about this probability, so that what is drawn has it on average",
        sampling=True,
    )
    adaptive_decay: float | None = row(
        Number(0, 0.99),
        "how much of that average is kept from one token to the next; 0.9 when not given",
        neutral=0.9,
        needs=("adaptive_target",),
    )
