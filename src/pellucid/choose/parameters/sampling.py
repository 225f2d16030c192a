"""Drawing a token instead of taking the likeliest, and what is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import MANY_TOKENS, Flag, Integer, Number


@dataclass(frozen=True, repr=False)
class Sampling:
    """The rows about draws."""

    heading: ClassVar[str] = "Sampling"

    do_sample: bool | None = row(
        Flag(), "draw each token by its probability instead of taking the likeliest"
    )
    temperature: float | None = row(
        Number(0, 1_000_000),
        "divide the logits by this: below 1 favours likely tokens, above 1 evens out; 0 is greedy",
        neutral=1.0,
        sampling=True,
    )
    top_k: int | None = row(
        Integer(0, MANY_TOKENS),
        "draw from this many likeliest tokens, 0 means all; with penalty_alpha, compare so many",
        neutral=0,
        sampling=True,
    )
    top_p: float | None = row(
        Number(0, 1, above=True),
        "draw from the fewest likeliest tokens that together have this probability",
        neutral=1.0,
        sampling=True,
    )
    min_p: float | None = row(
        Number(0, 1),
        "draw from tokens at least this fraction as probable as the likeliest",
        neutral=0.0,
        sampling=True,
    )
    typical_p: float | None = row(
        Number(0, 1, above=True),
        "draw from the tokens whose surprise is nearest to the expected, up to this probability",
        neutral=1.0,
        sampling=True,
    )
    top_h: float | None = row(
        Number(0, 1, above=True),
        "draw from the likeliest tokens that hold this share of the entropy, of the first 100",
        sampling=True,
    )
    epsilon_cutoff: float | None = row(
        Number(0, 1),
        "draw from tokens of at least this probability",
        neutral=0.0,
        sampling=True,
    )
    eta_cutoff: float | None = row(
        Number(0, 1),
        "like epsilon_cutoff, but lower where the model is uncertain",
        neutral=0.0,
        sampling=True,
    )
    seed: int | None = row(
        Integer(0, 2**64 - 1), "repeat the draws of an earlier run; drawn and reported when absent"
    )
