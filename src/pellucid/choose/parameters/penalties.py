"""What is held against tokens that were used already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Number


@dataclass(frozen=True, repr=False)
class Penalties:
    """The rows about repetition."""

    heading: ClassVar[str] = "Penalties"

    repetition_penalty: float | None = row(
        Number(0.001, 1000),
        "divide positive logits (multiply negative ones) of tokens in prompt or answer by this; "
        "above 1 discourages repetition",
        neutral=1.0,
    )
    presence_penalty: float | None = row(
        Number(-2, 2), "subtract this from the logit of each token in the answer", neutral=0.0
    )
    frequency_penalty: float | None = row(
        Number(-2, 2),
        "subtract this from the logit of a token for each time it stands in the answer",
        neutral=0.0,
    )
