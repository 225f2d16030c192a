"""What is held against tokens that were used already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import MANY_TOKENS, Integer, Number


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
    repeat_last_n: int | None = row(
        Integer(-1, MANY_TOKENS),
        "let these three penalties look at the last tokens of prompt and answer alone, so many; "
        "0 is none of them, -1 all",
        needs=("repetition_penalty", "presence_penalty", "frequency_penalty"),
    )
    encoder_repetition_penalty: float | None = row(
        Number(0.001, 1000),
        "multiply positive logits (divide negative ones) of the prompt's tokens by this; above 1 "
        "keeps the answer to the prompt's words",
        neutral=1.0,
    )
    no_repeat_ngram_size: int | None = row(
        Integer(0, MANY_TOKENS),
        "let no run of this many tokens come a second time, the prompt's included; 0 means all may",
        neutral=0,
    )
    encoder_no_repeat_ngram_size: int | None = row(
        Integer(0, MANY_TOKENS),
        "let no run of this many tokens come that the prompt has; 0 means all may",
        neutral=0,
    )
