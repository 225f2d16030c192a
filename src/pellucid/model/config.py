"""One frozen description that covers every decoder family, by orthogonal fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

# Ten times what the largest models have. A hostile file claims 10**9, and every layer and pair of
# dimensions costs memory before the first tensor is looked at.
MOST_LAYERS = 2048
MOST_HEADS = 8192  # and dimensions of a head


@dataclass(frozen=True)
class Rope:
    """Rotary positions (Su et al. 2021, arXiv:2104.09864): each pair of dimensions turns with the
    position, at `base ** (-2i / dims)` radians a token, divided by what scaling asks for.

    `dims` of each head turn, paired half against half (the layout of transformers); the rest of
    the head stays. `divisors`, one a pair, hold all of linear, llama3, YaRN and LongRoPE scaling;
    `gain` multiplies the turned values (YaRN's attention factor).
    """

    dims: int
    base: float = 10_000.0
    divisors: tuple[float, ...] | None = None
    gain: float = 1.0

    def frequencies(self) -> npt.NDArray[np.float32]:
        """Radians a token for each pair, `[dims / 2]`, in float32 as transformers computes them.

        >>> Rope(dims=4, base=100.0, divisors=(1.0, 2.0)).frequencies()
        array([1.  , 0.05], dtype=float32)
        """
        exponents = np.arange(0, self.dims, 2, dtype=np.float32) / np.float32(self.dims)
        frequencies: npt.NDArray[np.float32] = 1 / np.power(np.float32(self.base), exponents)
        if self.divisors is not None:
            frequencies /= np.asarray(self.divisors, np.float32)
        return frequencies


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: each row goes through the `chosen` likeliest of `count` MLPs.

    `renormalise` makes the chosen weights sum to one. `layers` says which layers are mixtures.
    """

    count: int
    chosen: int
    intermediate_size: int
    renormalise: bool
    layers: tuple[bool, ...]


@dataclass(frozen=True)
class ModelConfig:
    """What the forward needs to know about a decoder. Names are transformers' where it has them.

    `rope[i]` and `window[i]` belong to layer i: None means no rotation, and no window. A window
    of w lets a row see itself and the w - 1 rows before it.
    """

    family: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    context_length: int

    norm: Literal["rms", "layer"]
    norm_eps: float
    pre_norm: bool  # a norm before attention and MLP
    post_norm: bool  # a norm after each, before it joins the residual
    qk_norm: Literal["head", "whole"] | None  # over each head, or over all heads together
    parallel: bool  # attention and MLP read the same residual

    rope: tuple[Rope | None, ...]
    learned_positions: int  # rows of a position table; 0 means none
    window: tuple[int | None, ...]
    attention_scale: float
    attention_softcap: float | None

    mlp: Literal["gated", "plain"]
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"]
    experts: Experts | None

    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    head_bias: bool
    embedding_scale: float
    logit_softcap: float | None
    tied_embeddings: bool  # the output matrix is the embedding
