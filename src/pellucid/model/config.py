"""One frozen description that covers every decoder family, by orthogonal fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
    pre_norm: bool                              # a norm before attention and MLP
    post_norm: bool                             # a norm after each, before it joins the residual
    qk_norm: Literal["head", "whole"] | None    # over each head, or over all heads together
    parallel: bool                              # attention and MLP read the same residual

    rope: tuple[Rope | None, ...]
    learned_positions: int                      # rows of a position table; 0 means none
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
    tied_embeddings: bool                       # the output matrix is the embedding
