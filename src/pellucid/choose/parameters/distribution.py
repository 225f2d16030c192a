"""What changes the distribution as a whole: guidance by a second prompt, and a watermark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Flag, Ids, Number, Text
from pellucid.choose.parameters.watermark import Watermark, Watermarking
from pellucid.errors import ParameterError

if TYPE_CHECKING:
    from pellucid.tokens.vocabulary import Vocabulary

_LONGEST = 2**20  # characters or ids; what fits into the context is known with a model


@dataclass(frozen=True, repr=False)
class Distribution:
    """The rows about guidance and watermarks."""

    heading: ClassVar[str] = "Guidance and watermarks"

    guidance_scale: float | None = row(
        Number(0, 1000),
        "move away from what the model says after the negative prompt: above 1 follows the prompt "
        "more closely, 0 follows the negative one",
        neutral=1.0,
    )
    negative_prompt: str | None = row(
        Text(_LONGEST),
        "what guidance moves away from; the prompt's last token when not given",
        needs=("guidance_scale",),
    )
    negative_prompt_ids: tuple[int, ...] | None = row(
        Ids(_LONGEST), "the same as token ids", needs=("guidance_scale",)
    )
    watermarking_config: Watermark | None = row(  # noqa: RUF009  (a field, like its neighbours)
        Watermarking(),
        "favour pseudo-random green tokens, by which the text is known again; settings as in "
        "transformers' WatermarkingConfig, such as bias=2",
    )
    renormalize_logits: bool | None = row(
        Flag(),
        "make scores log-probabilities after all filters, as sums over several tokens need them",
        neutral=False,
    )

    def check_negative(self) -> None:
        """Refuse two negative prompts."""
        if self.negative_prompt is not None and self.negative_prompt_ids is not None:
            raise ParameterError("negative_prompt", "excludes negative_prompt_ids: give one")

    def negative_ids(
        self, vocabulary: Vocabulary | None, context_length: int
    ) -> tuple[int, ...] | None:
        """The negative prompt as ids; None without one.

        Raises ParameterError where there are none, or more than the context holds.
        """
        ids = self.negative_prompt_ids
        if self.negative_prompt is not None:
            if vocabulary is None:
                raise ParameterError("negative_prompt", "needs a tokenizer; this engine has none")
            ids = tuple(vocabulary.encode(self.negative_prompt))
            if not ids:
                raise ParameterError("negative_prompt", "has no tokens; leave it out")
        if ids and len(ids) >= context_length:
            reason = f"has {len(ids)} tokens; the model's context of {context_length}"
            raise ParameterError("negative_prompt", f"{reason} must hold it and at least one more")
        return ids
