"""From a logit back to who wrote it: the direction in which a write to the residual moves it.

The residual is a sum of what every head and MLP wrote, and but for its scale the final norm is
linear. With the scale held as it was in the run, a logit is a sum over writers (Elhage et al. 2021,
"A Mathematical Framework for Transformer Circuits"; TransformerLens' logit attribution).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.model.config import ModelConfig
from pellucid.model.matrices import Matrices
from pellucid.model.ops import Linear, Norm
from pellucid.weights.tensor import Floats

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Direction:
    """What a write adds to a logit: `vector . write`; and what is there without any: `constant`."""

    vector: Doubles
    constant: float = 0.0

    def behind(self, norm: Norm | None, x: Floats | Doubles, config: ModelConfig) -> Direction:
        """The direction for what a norm is given, whose scale stays as it was for x.

        Centring and gain are linear; the bias joins the constant.
        """
        if norm is None:
            return self
        x = np.asarray(x, np.float64)
        centred = x - x.mean() if config.norm == "layer" else x
        vector = self.vector * norm.weight / np.sqrt(np.square(centred).mean() + config.norm_eps)
        if config.norm == "layer":
            vector = vector - vector.mean()
        bias = 0.0 if norm.bias is None else float(self.vector @ norm.bias)
        return Direction(vector, self.constant + bias)

    def through(self, linear: Linear) -> Direction:
        """The direction for what a matrix is given."""
        bias = 0.0 if linear.bias is None else float(self.vector @ linear.bias)
        return Direction(self.vector @ linear.weight, self.constant + bias)


def of_logit(
    matrices: Matrices, config: ModelConfig, last: Floats, token: int, versus: int | None
) -> Direction:
    """The direction of a token's logit, before a soft cap; or of its difference to another's.

    `last` `[hidden]` is the last residual of the row, before the final norm.
    """
    tokens = [token] if versus is None else [token, versus]
    signs = np.array([1.0, -1.0][: len(tokens)])
    rows = matrices.unembedding(tokens)
    constant = 0.0 if rows.bias is None else float(signs @ rows.bias)
    direction = Direction(signs @ rows.weight, constant)
    return direction.behind(matrices.norm("final_norm"), last, config)


def of_writer(
    direction: Direction, norm: Norm | None, linear: Linear, given: Floats, config: ModelConfig
) -> Direction:
    """The direction for what a head's or MLP's last matrix is given, with the norm behind it.

    The constant is what the matrix' and the norm's biases write.
    """
    writes = Direction(direction.vector)
    if norm is not None:
        made = linear.weight @ given.astype(np.float64)
        made = made if linear.bias is None else made + linear.bias
        writes = writes.behind(norm, made, config)
    return writes.through(linear)


def gained(norm: Norm | None, writes: Floats, config: ModelConfig) -> Floats:
    """Writes `[n, hidden]` behind a norm, but for the scale, which all of a row share."""
    if norm is None:
        return writes
    if config.norm == "layer":
        writes = writes - writes.mean(-1, keepdims=True)
    gained: Floats = writes * norm.weight
    return gained
