"""How long an answer may be, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.phrases import Decay
from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import MANY_TOKENS, Ids, Integer, Texts
from pellucid.errors import ParameterError

DEFAULT_NEW_TOKENS = 256  # when no length is given; a base model may never stop by itself


@dataclass(frozen=True, repr=False)
class Lengths:
    """The rows about lengths and stops."""

    heading: ClassVar[str] = "Lengths and stops"

    max_new_tokens: int | None = row(
        Integer(1, MANY_TOKENS),
        f"generate at most this many tokens; {DEFAULT_NEW_TOKENS} when no length is given",
    )
    max_length: int | None = row(
        Integer(1, MANY_TOKENS), "prompt and answer together have at most this many tokens"
    )
    min_new_tokens: int | None = row(
        Integer(0, MANY_TOKENS),
        "no stop token before this many tokens, and no stop string in their text",
        neutral=0,
    )
    min_length: int | None = row(
        Integer(0, MANY_TOKENS),
        "like min_new_tokens, but counted with the prompt",
        neutral=0,
    )
    exponential_decay_length_penalty: tuple[int, float] | None = row(
        Decay(100),
        "beyond so many tokens raise the logits of stop tokens by this factor, again at each token",
    )
    stop: tuple[str, ...] | None = row(Texts(), "end before this text appears in the answer")
    stop_token_ids: tuple[int, ...] | None = row(
        Ids(), "end at this token, as at the model's own end tokens"
    )

    def check_lengths(self) -> None:
        """Refuse two ways to say one length, and a least above a most."""
        for total, new in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
            if getattr(self, total) is not None and getattr(self, new) is not None:
                raise ParameterError(total, f"excludes {new}: give one of the two")
        for least, most in (("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise ParameterError(least, f"must be at most {most}, {high}, not {low}")

    def most_tokens(self, prompt_length: int, context_length: int) -> int:
        """How many tokens may follow the prompt: prompt and answer fill at most the context."""
        most = self.max_new_tokens or DEFAULT_NEW_TOKENS
        if self.max_length is not None:
            most = self.max_length - prompt_length
            if most <= 0:
                reason = (
                    f"must be above {prompt_length}, the prompt's length, not {self.max_length}"
                )
                raise ParameterError("max_length", reason)
        return min(most, context_length - prompt_length)
