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
        "guidance_scale",
        "constraint",
        "logit_bias",
        "sequence_bias",
        "diversity_penalty",
        "encoder_repetition_penalty",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "dry",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "allowed_token_ids",
        "min_new_tokens",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "exponential_decay_length_penalty",
        "suppress_tokens",
        "begin_suppress_tokens",
        "temperature",
        "top_n_sigma",
        "top_h",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "epsilon_cutoff",
        "eta_cutoff",
        "xtc",
        "watermarking_config",
        "mirostat",
        "adaptive_p",
        "renormalize_logits",
    ),
    "llama.cpp": (
        "guidance_scale",
        "constraint",
        "logit_bias",
        "sequence_bias",
        "diversity_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "allowed_token_ids",
        "suppress_tokens",
        "begin_suppress_tokens",
        "min_new_tokens",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "exponential_decay_length_penalty",
        "encoder_repetition_penalty",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "dry",
        "top_n_sigma",
        "top_k",
        "typical_p",
        "top_p",
        "min_p",
        "xtc",
        "top_h",
        "epsilon_cutoff",
        "eta_cutoff",
        "temperature",
        "watermarking_config",
        "mirostat",
        "adaptive_p",
        "renormalize_logits",
    ),
    "vllm": (
        "guidance_scale",
        "constraint",
        "allowed_token_ids",
        "bad_words_ids",
        "suppress_tokens",
        "begin_suppress_tokens",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "diversity_penalty",
        "min_new_tokens",
        "logit_bias",
        "sequence_bias",
        "exponential_decay_length_penalty",
        "encoder_repetition_penalty",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "dry",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "temperature",
        "top_n_sigma",
        "min_p",
        "top_k",
        "top_p",
        "typical_p",
        "xtc",
        "top_h",
        "epsilon_cutoff",
        "eta_cutoff",
        "watermarking_config",
        "mirostat",
        "adaptive_p",
        "renormalize_logits",
    ),
}

# common/sampling.cpp: with mirostat, only logit_bias and the plain temperature come before it.
REPLACED_BY_MIROSTAT = (
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "dry_multiplier",
    "top_n_sigma",
    "top_k",
    "typical_p",
    "top_p",
    "min_p",
    "xtc_probability",
    "dynatemp_range",
    "adaptive_target",
)

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

    def check_unordered(self) -> None:
        """Refuse an order where there are not two filters to be put in order."""
        for name in ("samplers", "dialect"):
            if getattr(self, name) not in (None, "transformers"):
                raise ParameterError(
                    name, "has no effect: fewer than two filters act, and one has no order"
                )

    def check_order(self) -> None:
        """Refuse two orders at once."""
        if self.samplers and self.dialect not in (None, "transformers"):
            raise ParameterError("samplers", "excludes dialect: give one of the two")
