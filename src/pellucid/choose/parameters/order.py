"""In which order the filters are applied: that of another system, or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.names import Names
from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Choice
from pellucid.errors import ParameterError

# Each system's own order holds between the filters that it has; those that it does not have stand
# where they do the least to that. Sources: transformers' `_get_logits_processor`; `samplers` in
# llama.cpp's common/common.h, and what common/sampling.cpp puts before and behind them; the steps
# in the docstring of vLLM's v1 `Sampler`.
ORDERS: dict[str, tuple[str, ...]] = {
    "transformers": (
        "diversity_penalty",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "min_new_tokens",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
    ),
    "llama.cpp": (
        "diversity_penalty",
        "min_new_tokens",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "top_k",
        "typical_p",
        "top_p",
        "min_p",
        "temperature",
    ),
    "vllm": (
        "diversity_penalty",
        "min_new_tokens",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "temperature",
        "min_p",
        "top_k",
        "top_p",
        "typical_p",
    ),
}

# What llama.cpp calls them.
_ALIASES = {
    "penalties": ("repetition_penalty", "frequency_penalty", "presence_penalty"),
    "temp": ("temperature",),
    "nucleus": ("top_p",),
    "typ": ("typical_p",),
    "typ_p": ("typical_p",),
    "typical": ("typical_p",),
}


@dataclass(frozen=True, repr=False)
class Order:
    """The rows about the order of the filters."""

    heading: ClassVar[str] = "Order of the filters"

    dialect: str | None = row(
        Choice(tuple(ORDERS)),
        "apply the filters in the order of this system",
        neutral="transformers",
    )
    samplers: tuple[str, ...] | None = row(
        Names(ORDERS["transformers"], _ALIASES),
        "apply the filters in this order; all that act must be in it",
    )

    @property
    def order(self) -> tuple[str, ...]:
        """The names of filters in the order in which they are applied."""
        return self.samplers or ORDERS[self.dialect or "transformers"]

    def check_order(self) -> None:
        """Refuse two orders at once."""
        if self.samplers and self.dialect not in (None, "transformers"):
            raise ParameterError("samplers", "excludes dialect: give one of the two")
