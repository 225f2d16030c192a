"""Choosing by a contrast: with the text so far, or with what fewer layers would say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.layers import Layers
from pellucid.choose.parameters.search import MOST_SEQUENCES
from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Number
from pellucid.errors import ParameterError

_FAR = 20  # layers from either end: transformers looks no further into a deep model


@dataclass(frozen=True, repr=False)
class Contrast:
    """The rows about contrasts."""

    heading: ClassVar[str] = "Contrast"

    penalty_alpha: float | None = row(
        Number(0, 1),
        "contrastive search: of the top_k likeliest tokens take the one with the best probability "
        "less its likeness to the text so far, which has this weight against it",
        neutral=0.0,
    )
    dola_layers: str | tuple[int, ...] | None = row(
        Layers(),
        "DoLa: favour what the last layer says more than an early one does, the one of these that "
        "differs most: every other of the low or the high half, or some by number",
    )

    @property
    def contrastive(self) -> bool:
        """Whether top_k counts candidates that are compared, and not what is drawn from."""
        return bool(self.penalty_alpha)

    def check_contrast(self, sampling: bool, candidates: int | None, answers: int | None) -> None:
        """Refuse a contrastive search that has nothing to compare, or that would be overruled."""
        if not self.contrastive:
            return
        name = "penalty_alpha"
        if sampling:
            raise ParameterError(name, "excludes sampling: the best of the candidates is taken")
        if not 2 <= (candidates or 0) <= MOST_SEQUENCES:
            reason = f"needs top_k from 2 to {MOST_SEQUENCES}: so many tokens are compared"
            raise ParameterError(name, reason)
        if (answers or 1) > 1:
            raise ParameterError(name, "excludes num_return_sequences: all would be the same")

    def early_layers(self, layers: int, tied: bool) -> tuple[int, ...] | None:
        """The numbers that `dola_layers` stands for in a model of so many layers, if it is given.

        Number i is what layer i is given, 0 the embedding. Where that is the output matrix too
        (`tied`), it only says the token itself again, and so, nearly, does the layer after it.
        Raises ParameterError for a number that the model does not have.

        >>> Contrast(dola_layers="low").early_layers(12, tied=True)
        (2, 4)
        >>> Contrast(dola_layers="high").early_layers(12, tied=True)
        (6, 8, 10)
        """
        half, given = layers // 2, self.dola_layers
        if given is None:
            return None
        if given == "low":
            first = min(2, layers - 1) if tied else 0
            return tuple(range(first, min(half, _FAR), 2)) or (first,)
        if isinstance(given, str):
            return tuple(range(max(half, layers - _FAR), layers, 2))
        if max(given) >= layers:
            reason = f"{max(given)} is no early layer; this model has 0 to {layers - 1}"
            raise ParameterError("dola_layers", reason)
        return given
