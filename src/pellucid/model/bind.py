"""A checkpoint's tensors become the weights of the forward, each checked against its shape."""

from __future__ import annotations

import re
from collections.abc import Callable

from pellucid.errors import FormatError
from pellucid.model.backend import Backend
from pellucid.model.config import ModelConfig
from pellucid.model.describe import find_family
from pellucid.model.families import GGUF
from pellucid.model.forward import Layer, Mlp, Weights
from pellucid.model.ops import Array, Linear, Norm
from pellucid.model.slots import Names, Slot, unstacked
from pellucid.weights.checkpoint import Checkpoint
from pellucid.weights.tensor import Tensor

Shape = tuple[int, ...]
Bound = dict[str, Tensor]

# Tensors that a file may hold and the forward has no use for: buffers of old releases, the
# output matrix where it is the embedding, and what a model sees or speaks with.
_IGNORED = re.compile(
    r"(.*\.)?(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias|attention\.bias|attention\.masked_bias)"
    r"|rope_freqs\.weight|rope_factors_(long|short)\.weight"
    r"|(.*\.)?(vision_tower|multi_modal_projector|vision_model)\..*"
)


def expected(config: ModelConfig) -> dict[str, Shape]:
    """Our name and the shape of every tensor that a model of this configuration has."""
    c = config
    shapes: dict[str, Shape] = {"embed.weight": (c.vocab_size, c.hidden_size)}
    if c.learned_positions:
        shapes["positions.weight"] = (c.learned_positions, c.hidden_size)
    for i in range(c.layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in _layer_shapes(c, i).items()}
    shapes |= _norm_shapes(c, "final_norm", c.hidden_size)
    if not c.tied_embeddings:
        shapes |= _linear_shapes("head", c.vocab_size, c.hidden_size, c.head_bias)
    return shapes


def _layer_shapes(c: ModelConfig, i: int) -> dict[str, Shape]:
    query, key = c.heads * c.head_dim, c.kv_heads * c.head_dim
    shapes: dict[str, Shape] = {}
    norms = ["attn_norm", "mlp_norm"] * c.pre_norm + [
        "attn_post_norm",
        "mlp_post_norm",
    ] * c.post_norm
    for name in norms:
        shapes |= _norm_shapes(c, name, c.hidden_size)
    for name, width in (("q", query), ("k", key), ("v", key)):
        shapes |= _linear_shapes(f"attn.{name}", width, c.hidden_size, c.qkv_bias)
    shapes |= _linear_shapes("attn.o", c.hidden_size, query, c.output_bias)
    if c.qk_norm:
        whole = c.qk_norm == "whole"
        shapes["attn.q_norm.weight"] = (query if whole else c.head_dim,)
        shapes["attn.k_norm.weight"] = (key if whole else c.head_dim,)
    if c.experts and c.experts.layers[i]:
        shapes |= _linear_shapes("mlp.router", c.experts.count, c.hidden_size, False)
        for e in range(c.experts.count):
            shapes |= _mlp_shapes(c, f"mlp.experts.{e}", c.experts.intermediate_size)
    else:
        shapes |= _mlp_shapes(c, "mlp", c.intermediate_size)
    return shapes


def _mlp_shapes(c: ModelConfig, name: str, width: int) -> dict[str, Shape]:
    shapes = _linear_shapes(f"{name}.up", width, c.hidden_size, c.mlp_bias)
    if c.mlp == "gated":
        shapes |= _linear_shapes(f"{name}.gate", width, c.hidden_size, c.mlp_bias)
    return shapes | _linear_shapes(f"{name}.down", c.hidden_size, width, c.mlp_bias)


def _linear_shapes(name: str, rows: int, columns: int, bias: bool) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {f"{name}.weight": (rows, columns)}
    return shapes | ({f"{name}.bias": (rows,)} if bias else {})


def _norm_shapes(c: ModelConfig, name: str, width: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {f"{name}.weight": (width,)}
    return shapes | ({f"{name}.bias": (width,)} if c.norm == "layer" else {})


def bind(checkpoint: Checkpoint, config: ModelConfig) -> Bound:
    """Our name -> the stored tensor, still packed, for every tensor the forward needs.

    Raises FormatError that lists what is missing or left over, or names a tensor of another
    shape or with a number that is not finite: one of those makes every logit NaN.
    """
    _, family = find_family(checkpoint)
    gguf = checkpoint.format == "gguf"
    names: Names = {**GGUF, **family.gguf} if gguf else family.names
    prefixes = ("",) if gguf else (*family.prefixes, "")
    known: set[str] = set()
    used: dict[str, Tensor] = {}
    bound: Bound = {}
    missing: list[str] = []
    for ours, shape in expected(config).items():
        slot, theirs, number = _place(names, prefixes, ours)
        known.update(theirs)
        stored = next((name for name in theirs if name in checkpoint.tensors), None)
        if stored is None:
            missing.append(theirs[0])
        else:
            used[stored] = checkpoint.tensors[stored]
            bound[ours] = _changed(checkpoint, config, slot, used[stored], number, shape)
    extra = [n for n in checkpoint.tensors if n not in known and not _IGNORED.fullmatch(n)]
    if config.tied_embeddings:
        extra = [n for n in extra if not n.endswith(("lm_head.weight", "embed_out.weight"))]
    _complain(checkpoint, set(missing), "missing")
    _complain(checkpoint, set(extra), "of no use to this family")
    _complain(checkpoint, {n for n, t in used.items() if not t.is_finite()}, "not finite")
    return bound


def _place(names: Names, prefixes: tuple[str, ...], ours: str) -> tuple[Slot, list[str], int]:
    """The slot of one of our names, what the file may call it, and which expert it is."""
    stem, _, kind = ours.rpartition(".")
    numbers = re.findall(r"\.(\d+)", stem)
    i, e = (*numbers, "0", "0")[:2]
    general = re.sub(r"^layers\.\d+", "layers.{i}", stem)
    general = re.sub(r"experts\.\d+", "experts.{e}", general)
    slot = names[general]
    name = f"{slot.name.format(i=i, e=e)}.{kind}"
    # The output matrix stands beside the decoder, without its prefix.
    order = reversed(prefixes) if stem == "head" else prefixes
    return slot, [prefix + name for prefix in order], int(e)


def _changed(
    checkpoint: Checkpoint,
    config: ModelConfig,
    slot: Slot,
    stored: Tensor,
    expert: int,
    shape: Shape,
) -> Tensor:
    try:
        tensor = _undone(slot, stored, expert, config)
        if tensor.shape == shape:
            return tensor
        gives = f" and gives {list(tensor.shape)}" if tensor.shape != stored.shape else ""
    except (ValueError, IndexError):
        gives = ""  # of a shape that cannot even be taken apart
    reason = f"has shape {list(stored.shape)}{gives}, not {list(shape)} as the settings say"
    raise FormatError(checkpoint.path, stored.name, reason)


def _undone(slot: Slot, stored: Tensor, expert: int, config: ModelConfig) -> Tensor:
    tensor = unstacked(stored, expert, config) if slot.stacked else stored
    for change in slot.changes:
        tensor = change(tensor, config)
    return tensor


def _complain(checkpoint: Checkpoint, names: set[str], what: str) -> None:
    if names:
        listed = ", ".join(ascii(name[:80])[1:-1] for name in sorted(names)[:8])
        listed += f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise FormatError(checkpoint.path, "tensors", f"{len(names)} {what}: {listed}")


def load_weights(bound: Bound, config: ModelConfig, backend: Backend) -> Weights:
    """Place every bound tensor where the backend computes."""

    def array(name: str) -> Array:
        return backend.weight(bound[name], vocabulary=name in ("embed.weight", "head.weight"))

    def optional(name: str) -> Array | None:
        return array(name) if name in bound else None

    def linear(name: str) -> Linear:
        return Linear(array(f"{name}.weight"), optional(f"{name}.bias"))

    def norm(name: str) -> Norm | None:
        gain, bias = bound.get(f"{name}.weight"), bound.get(f"{name}.bias")
        if gain is None:
            return None
        return Norm(backend.norm_weight(gain), None if bias is None else backend.norm_weight(bias))

    embed = array("embed.weight")
    final = norm("final_norm")
    assert final
    return Weights(
        embed=embed,
        positions=optional("positions.weight"),
        layers=tuple(_layer(config, i, linear, norm) for i in range(config.layers)),
        final_norm=final,
        head=Linear(embed) if config.tied_embeddings else linear("head"),
    )


def _layer(
    config: ModelConfig, i: int, linear: Callable[[str], Linear], norm: Callable[[str], Norm | None]
) -> Layer:
    at = f"layers.{i}"

    def mlp(name: str) -> Mlp:
        gate = linear(f"{name}.gate") if config.mlp == "gated" else None
        return Mlp(linear(f"{name}.up"), linear(f"{name}.down"), gate)

    mixture = config.experts if config.experts and config.experts.layers[i] else None
    return Layer(
        q=linear(f"{at}.attn.q"),
        k=linear(f"{at}.attn.k"),
        v=linear(f"{at}.attn.v"),
        o=linear(f"{at}.attn.o"),
        mlp=None if mixture else mlp(f"{at}.mlp"),
        router=linear(f"{at}.mlp.router") if mixture else None,
        experts=tuple(mlp(f"{at}.mlp.experts.{e}") for e in range(mixture.count if mixture else 0)),
        attn_norm=norm(f"{at}.attn_norm"),
        attn_post_norm=norm(f"{at}.attn_post_norm"),
        mlp_norm=norm(f"{at}.mlp_norm"),
        mlp_post_norm=norm(f"{at}.mlp_post_norm"),
        q_norm=norm(f"{at}.attn.q_norm"),
        k_norm=norm(f"{at}.attn.k_norm"),
    )
