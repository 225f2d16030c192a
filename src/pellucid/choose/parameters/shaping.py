"""What is drawn from, by llama.cpp's means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import MANY_TOKENS, Integer, Number


@dataclass(frozen=True, repr=False)
class Shaping:
    """The rows about draws that llama.cpp has beside; names and neutral values are its own."""

    heading: ClassVar[str] = "Sampling, as in llama.cpp"

    dynatemp_range: float | None = row(
        Number(0, 1000),
        "let the temperature follow the model's entropy, so far down and up from what is given",
        neutral=0.0,
        sampling=True,
    )
    dynatemp_exponent: float | None = row(
        Number(0, 100),
        "above 1 keeps a temperature that does so low for longer, below 1 raises it sooner; "
        "1 when not given",
        neutral=1.0,
        needs=("dynatemp_range",),
    )
    top_n_sigma: float | None = row(
        Number(0, 1000),
        "draw from tokens within this many standard deviations of the highest logit; 0 means all",
        neutral=0.0,
        sampling=True,
    )
    xtc_probability: float | None = row(
        Number(0, 1),
        "with this probability, leave out the likeliest tokens, all but the least of those that "
        "reach xtc_threshold",
        neutral=0.0,
        sampling=True,
    )
    xtc_threshold: float | None = row(
        Number(0, 0.5, above=True),
        "from this probability on a token counts among the likeliest; 0.1 when not given",
        neutral=0.1,
        needs=("xtc_probability",),
    )
    min_keep: int | None = row(
        Integer(0, MANY_TOKENS),
        "top_p, min_p, typical_p and xtc_probability leave at least so many tokens",
        neutral=0,
        needs=("top_p", "min_p", "typical_p", "xtc_probability"),
    )
