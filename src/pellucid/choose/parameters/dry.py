"""DRY: what is held against a token that would go on with a repetition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import MANY_TOKENS, Integer, Number, Texts

_NEEDS = ("dry_multiplier",)


@dataclass(frozen=True, repr=False)
class Dry:
    """The rows about DRY; names and neutral values are llama.cpp's."""

    heading: ClassVar[str] = 'Repeated sequences ("don\'t repeat yourself")'

    dry_multiplier: float | None = row(
        Number(0, 1000),
        "subtract this from the logit of a token that would go on with a repetition, times "
        "dry_base for each token by which that is longer than dry_allowed_length",
        neutral=0.0,
    )
    dry_base: float | None = row(
        Number(1, 1000),
        "how fast that grows with the repetition; 1.75 when not given",
        neutral=1.75,
        needs=_NEEDS,
    )
    dry_allowed_length: int | None = row(
        Integer(0, MANY_TOKENS),
        "a repetition is not penalised before it has this many tokens; 2 when not given",
        neutral=2,
        needs=_NEEDS,
    )
    dry_penalty_last_n: int | None = row(
        Integer(-1, MANY_TOKENS),
        "look for repetitions in this many last tokens; 0 for none, -1 (or nothing) for all",
        neutral=-1,
        needs=_NEEDS,
    )
    dry_sequence_breakers: tuple[str, ...] | None = row(
        Texts(),
        'a repetition begins again behind this text; behind a line feed, :, " and * when not given',
        neutral=("\n", ":", '"', "*"),
        needs=_NEEDS,
    )
