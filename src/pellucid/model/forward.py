"""The forward: ids to logits, written once for every family and every backend."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.model.config import ModelConfig, Rope
from pellucid.model.ops import Array, Linear, Norm, Ops
from pellucid.model.run import Run


@dataclass(frozen=True)
class Mlp:
    """The three matrices of a gated MLP; a plain one has no `gate`."""

    up: Linear
    down: Linear
    gate: Linear | None = None


@dataclass(frozen=True)
class Layer:
    """The weights of one block. A norm that a family does not have is None."""

    q: Linear
    k: Linear
    v: Linear
    o: Linear
    mlp: Mlp | None  # or, in a mixture,
    router: Linear | None = None
    experts: tuple[Mlp, ...] = ()
    attn_norm: Norm | None = None
    attn_post_norm: Norm | None = None
    mlp_norm: Norm | None = None
    mlp_post_norm: Norm | None = None
    q_norm: Norm | None = None
    k_norm: Norm | None = None


@dataclass(frozen=True)
class Weights:
    """All that a checkpoint's tensors become."""

    embed: Array  # [vocab, hidden]
    positions: Array | None  # [context, hidden]
    layers: tuple[Layer, ...]
    final_norm: Norm
    head: Linear  # [vocab, hidden]


@dataclass(frozen=True)
class Forward:
    """One pass through a model, over rows of one or many sequences."""

    config: ModelConfig
    weights: Weights
    ops: Ops

    def __call__(self, run: Run) -> Array:
        """The logits of the wanted rows, `[wanted, vocab]`."""
        c, w, ops = self.config, self.weights, self.ops
        turns = {rope: ops.turns(rope, run.positions) for rope in set(c.rope) if rope}
        x = ops.embed(w.embed, run.ids)  # [rows, hidden]
        if c.embedding_scale != 1:
            x = x * c.embedding_scale
        if w.positions is not None:
            x = x + ops.embed(w.positions, run.positions)
        for i, layer in enumerate(w.layers):
            x = self.block(x, i, layer, run, turns)
        x = self.norm(ops.take(x, run.wanted), w.final_norm)
        logits = ops.linear(x, w.head)
        return ops.softcap(logits, c.logit_softcap) if c.logit_softcap else logits

    def block(self, x: Array, i: int, layer: Layer, run: Run, turns: dict[Rope, Array]) -> Array:
        """Attention, then the MLP, each between its norms and added to the residual."""
        a = self.attention(self.norm(x, layer.attn_norm), i, layer, run, turns)
        a = self.norm(a, layer.attn_post_norm)
        if self.config.parallel:
            return x + a + self.mlp(self.norm(x, layer.mlp_norm), layer)
        x = x + a
        return x + self.norm(self.mlp(self.norm(x, layer.mlp_norm), layer), layer.mlp_post_norm)

    def attention(
        self, x: Array, i: int, layer: Layer, run: Run, turns: dict[Rope, Array]
    ) -> Array:
        """Queries, keys and values; turned by position; mixed; projected back."""
        c, ops = self.config, self.ops
        q, k, v = (ops.linear(x, w) for w in (layer.q, layer.k, layer.v))
        if c.qk_norm == "whole":
            q, k = self.norm(q, layer.q_norm), self.norm(k, layer.k_norm)
        q, k, v = ops.split(q, c.heads), ops.split(k, c.kv_heads), ops.split(v, c.kv_heads)
        if c.qk_norm == "head":
            q, k = self.norm(q, layer.q_norm), self.norm(k, layer.k_norm)
        if rope := c.rope[i]:
            q, k = ops.rotate(q, turns[rope]), ops.rotate(k, turns[rope])
        mixed = ops.attend(
            q, k, v, run, i,
            window=c.window[i], scale=c.attention_scale, softcap=c.attention_softcap,
        )  # fmt: skip
        return ops.linear(mixed, layer.o)

    def mlp(self, x: Array, layer: Layer) -> Array:
        """The MLP of a layer, or its mixture of them."""
        if layer.mlp:
            return self.expert(x, layer.mlp)
        mixture = self.config.experts
        assert mixture
        assert layer.router
        return self.ops.mix_experts(
            x,
            self.ops.linear(x, layer.router),
            [lambda rows, mlp=mlp: self.expert(rows, mlp) for mlp in layer.experts],  # type: ignore[misc]
            mixture.chosen,
            mixture.renormalise,
        )

    def expert(self, x: Array, mlp: Mlp) -> Array:
        """One MLP, gated or plain."""
        ops = self.ops
        up = ops.linear(x, mlp.up)
        if mlp.gate is None:
            return ops.linear(ops.activate(up, self.config.activation), mlp.down)
        gate = ops.activate(ops.linear(x, mlp.gate), self.config.activation)
        return ops.linear(gate * up, mlp.down)

    def norm(self, x: Array, norm: Norm | None) -> Array:
        """This model's kind of norm, or x itself where the family has none."""
        return x if norm is None else self.ops.norm(x, norm, self.config.norm, self.config.norm_eps)
