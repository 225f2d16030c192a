"""The forward: ids to logits, written once for every family and every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pellucid.model.config import ModelConfig, Rope
from pellucid.model.ops import Array, Linear, Norm, Ops
from pellucid.model.run import Run

At = Callable[
    [str, Array], Array
]  # a value at a site of that name -> what the forward goes on with


def _unseen(name: str, x: Array) -> Array:
    return x


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
        return self.onward(self.embed(run), run)

    def onward(self, x: Array, run: Run) -> Array:
        """The logits of the wanted rows, where the first residual `[rows, hidden]` is given."""
        ropes = {rope for rope in self.config.rope if rope}
        turns = {rope: self.ops.turns(rope, run.positions) for rope in ropes}
        x = self.ops.site(x, "embed", run)
        for i, layer in enumerate(self.weights.layers):
            x = self.block(x, i, layer, run, turns)
        x = self.ops.site(self.norm(x, self.weights.final_norm), "final_norm", run)
        return self.ops.site(self.capped(self.ops.take(x, run.wanted)), "logits", run)

    def embed(self, run: Run) -> Array:
        """The first residual: tokens, and their positions where those are learned."""
        c, w, ops = self.config, self.weights, self.ops
        x = ops.embed(w.embed, run.ids)  # [rows, hidden]
        if c.embedding_scale != 1:
            x = x * c.embedding_scale
        if w.positions is not None:
            x = x + ops.embed(w.positions, run.positions)
        return x

    def unembed(self, x: Array) -> Array:
        """The last residual's logits: `[rows, hidden]` -> `[rows, vocab]`."""
        return self.capped(self.norm(x, self.weights.final_norm))

    def capped(self, x: Array) -> Array:
        """The logits of normed rows, within their bound if the family has one."""
        logits, cap = self.project(x), self.config.logit_softcap
        return self.ops.softcap(logits, cap) if cap else logits

    def project(self, x: Array) -> Array:
        """The output matrix alone: `[rows, hidden]` -> `[rows, vocab]`."""
        return self.ops.linear(x, self.weights.head)

    def block(self, x: Array, i: int, layer: Layer, run: Run, turns: dict[Rope, Array]) -> Array:
        """Attention, then the MLP, each between its norms and added to the residual."""

        def at(name: str, value: Array) -> Array:
            return self.ops.site(value, f"layers.{i}.{name}", run)

        x = at("resid_pre", x)
        a = self.attention(at("attn_norm", self.norm(x, layer.attn_norm)), i, layer, run, turns, at)
        a = at("attn_out", self.norm(a, layer.attn_post_norm))
        after = x + a
        read = x if self.config.parallel else (after := at("resid_mid", after))
        m = self.mlp(at("mlp_norm", self.norm(read, layer.mlp_norm)), layer, at)
        return at("resid_post", after + at("mlp.out", self.norm(m, layer.mlp_post_norm)))

    def attention(
        self, x: Array, i: int, layer: Layer, run: Run, turns: dict[Rope, Array], at: At
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
            at("attn.q", q), at("attn.k", k), at("attn.v", v), run, i,
            window=c.window[i], scale=c.attention_scale, softcap=c.attention_softcap,
        )  # fmt: skip
        return ops.linear(at("attn.heads", mixed), layer.o)

    def mlp(self, x: Array, layer: Layer, at: At) -> Array:
        """The MLP of a layer, or its mixture of them."""
        if layer.mlp:
            return self.expert(x, layer.mlp, at)
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

    def expert(self, x: Array, mlp: Mlp, at: At = _unseen) -> Array:
        """One MLP, gated or plain."""
        ops, kind = self.ops, self.config.activation
        up = at("mlp.up", ops.linear(x, mlp.up))
        if mlp.gate is None:
            neurons = ops.activate(up, kind)
        else:
            neurons = ops.activate(at("mlp.gate", ops.linear(x, mlp.gate)), kind) * up
        return ops.linear(at("mlp.act", neurons), mlp.down)

    def norm(self, x: Array, norm: Norm | None) -> Array:
        """This model's kind of norm, or x itself where the family has none."""
        return x if norm is None else self.ops.norm(x, norm, self.config.norm, self.config.norm_eps)
