"""How a logit changes with what the model is given: the one forward, under torch's autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from pellucid.backends.torch import Torch
from pellucid.model.forward import Forward
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.tensor import Floats

Of = Literal["logit", "logprob"]

_ROWS_AT_ONCE = 256  # under autograd: SmolLM2 keeps 2 MB of each


class Differentiable:
    """A model on the torch backend, as a function of the first residual of a text's rows.

    `ids` are the text; the score is the logit, or log-probability, of `token` after it.
    """

    def __init__(self, model: Model, ids: Sequence[int], token: int, of: Of) -> None:
        assert isinstance(model.backend, Torch), "no other backend knows gradients"
        self._forward = Forward(model.config, model.weights, model.backend)
        self._ops = model.backend
        self._ids = ids
        self._token = token
        self._of = of

    def embedded(self) -> Floats:
        """The first residual of the text itself, `[rows, hidden]`."""
        with torch.inference_mode():
            return self._ops.numpy(self._forward.embed(Run([Segment(self._ids)])))

    def gradients(self, inputs: Floats) -> tuple[Floats, Floats]:
        """The score of each of some first residuals `[n, rows, hidden]`: `[n]`, and its gradient
        there, `[n, rows, hidden]`.
        """
        each = [self._gradient(x) for x in self._chunks(inputs)]
        scores, gradients = (np.concatenate(kind) for kind in zip(*each, strict=True))
        return scores, gradients

    def _gradient(self, inputs: Floats) -> tuple[Floats, Floats]:
        with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has switched
            x = self._ops.array(inputs).requires_grad_()
            scores = self._scored(x)
            total = scores.sum()  # each depends on its own input alone
            (gradient,) = torch.autograd.grad(total, x)
        return self._ops.numpy(scores), self._ops.numpy(gradient)

    def _chunks(self, inputs: Floats) -> list[Floats]:
        at_once = max(1, _ROWS_AT_ONCE // len(self._ids))
        return [inputs[at : at + at_once] for at in range(0, len(inputs), at_once)]

    def _scored(self, x: torch.Tensor) -> torch.Tensor:
        run = Run([Segment(self._ids)] * len(x))
        logits = self._forward.onward(x.flatten(0, 1), run).float()  # [n, vocab]
        scores: torch.Tensor = logits if self._of == "logit" else logits.log_softmax(-1)
        return scores[:, self._token]
