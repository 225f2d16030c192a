"""Guesses that the model checks several at a time: the same answer, sooner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import MANY_TOKENS, Integer, Number
from pellucid.errors import ParameterError

MOST_DRAFTED = 64  # in one pass, each a row of logits over the vocabulary
DEFAULT_NGRAM = 2
DEFAULT_DRAFTED = 4


@dataclass(frozen=True, repr=False)
class Speculation:
    """The rows about drafts; a draft model is no row, but comes with the request."""

    heading: ClassVar[str] = "Speculation"

    prompt_lookup_num_tokens: int | None = row(
        Integer(1, MOST_DRAFTED),
        "guess this many tokens from what followed the last ones before; the answer is the same, "
        "sooner where it repeats the prompt or itself",
    )
    max_matching_ngram_size: int | None = row(
        Integer(1, MOST_DRAFTED),
        f"look up at most this many of the last tokens; {DEFAULT_NGRAM} when not given",
        needs=("prompt_lookup_num_tokens",),
    )
    assistant_early_exit: int | None = row(
        Integer(1, MANY_TOKENS),
        "guess with this many first layers of the model itself; the answer is the same",
    )
    num_assistant_tokens: int | None = row(
        Integer(1, MOST_DRAFTED),
        "guess this many tokens with a draft model or assistant_early_exit; "
        f"{DEFAULT_DRAFTED} when not given",
    )
    assistant_confidence_threshold: float | None = row(
        Number(0, 1),
        "guess no further where the likeliest guess is less probable than this",
        neutral=0.0,
    )

    def check_drafting(self, drafting: bool) -> None:
        """Refuse what has no effect where no model is `drafting`."""
        for name in ("num_assistant_tokens", "assistant_confidence_threshold"):
            if getattr(self, name) is not None and not drafting:
                reason = "has no effect without assistant_early_exit or a draft model"
                raise ParameterError(name, reason)
