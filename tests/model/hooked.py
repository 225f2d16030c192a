"""What transformers has at each of our sites: hooks on its modules, and on its attention."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from pellucid.backends import backend
from pellucid.model.backend import Backend
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment

from .tiny import Floats

BACKENDS: dict[str, Callable[[str], Backend]] = {
    "torch": backend,
    "reference": backend,
    "native": partial(backend, threads=2, cache_dtype="float32"),
}
BOUND = 1e-4  # of `relative_error`

# Our site -> its module, and whether it is what that is given or what it makes.
_LLAMA = {
    "resid_pre": ("", "in"), "attn_norm": ("input_layernorm", "out"),
    "attn_out": ("self_attn", "out"), "resid_mid": ("post_attention_layernorm", "in"),
    "mlp_norm": ("post_attention_layernorm", "out"), "mlp.out": ("mlp", "out"),
    "resid_post": ("", "out"),
}  # fmt: skip
_GATED = {
    "mlp.gate": ("mlp.gate_proj", "out"), "mlp.up": ("mlp.up_proj", "out"),
    "mlp.act": ("mlp.down_proj", "in"),
}  # fmt: skip
MODULES: dict[str, dict[str, tuple[str, str]]] = {
    "llama": _LLAMA | _GATED,
    "qwen3": _LLAMA | _GATED,
    "mistral": _LLAMA | _GATED,
    "mixtral": _LLAMA,
    "phi3": _LLAMA | {"mlp.act": ("mlp.down_proj", "in")},
    "gemma2": _LLAMA | _GATED | {
        "attn_out": ("post_attention_layernorm", "out"),
        "resid_mid": ("pre_feedforward_layernorm", "in"),
        "mlp_norm": ("pre_feedforward_layernorm", "out"),
        "mlp.out": ("post_feedforward_layernorm", "out")},
    "olmo2": _GATED | {
        "resid_pre": ("", "in"), "attn_out": ("post_attention_layernorm", "out"),
        "resid_mid": ("mlp", "in"), "mlp_norm": ("mlp", "in"),
        "mlp.out": ("post_feedforward_layernorm", "out"), "resid_post": ("", "out")},
    "gpt2": {
        "resid_pre": ("", "in"), "attn_norm": ("ln_1", "out"), "attn_out": ("attn", "out"),
        "resid_mid": ("ln_2", "in"), "mlp_norm": ("ln_2", "out"), "mlp.up": ("mlp.c_fc", "out"),
        "mlp.act": ("mlp.c_proj", "in"), "mlp.out": ("mlp", "out"), "resid_post": ("", "out")},
    "gpt neox": {
        "resid_pre": ("", "in"), "attn_norm": ("input_layernorm", "out"),
        "attn_out": ("attention", "out"), "mlp_norm": ("post_attention_layernorm", "out"),
        "mlp.up": ("mlp.dense_h_to_4h", "out"), "mlp.act": ("mlp.dense_4h_to_h", "in"),
        "mlp.out": ("mlp", "out"), "resid_post": ("", "out")},
}  # fmt: skip
MODULES["gemma3, soft cap"] = MODULES["gemma2"]
_STACKS = {
    "gpt2": ("transformer", "h", "ln_f"),
    "gpt neox": ("gpt_neox", "layers", "final_layer_norm"),
}


def stack(oracle: Any, name: str) -> tuple[Any, Any]:
    """The layers of a model of transformers, and its final norm."""
    base, layers, norm = _STACKS.get(name, ("model", "layers", "norm"))
    inner = getattr(oracle, base)
    return getattr(inner, layers), getattr(inner, norm)


def values(oracle: Any, name: str, ids: list[int]) -> dict[str, Floats]:
    """Our site -> what transformers computes there for a whole sequence."""
    seen: dict[str, Floats] = {}

    def keep(site: str, x: Any) -> None:
        x = x[0] if isinstance(x, tuple) else x
        seen[site] = x.detach()[0].float().numpy().copy()

    layers, norm = stack(oracle, name)
    with ExitStack() as hooks:
        for i, layer in enumerate(layers):
            for site, (path, side) in MODULES[name].items():
                module = layer.get_submodule(path)
                _hook(hooks, module, side, lambda x, s=f"layers.{i}.{site}": keep(s, x))
        _hook(hooks, norm, "out", lambda x: keep("final_norm", x))
        hooks.enter_context(attention(layers[0], lambda i, found: _keep_attention(keep, i, found)))
        with torch.no_grad():
            keep("logits", oracle(torch.tensor([ids]), use_cache=False).logits)
    seen["embed"] = seen["layers.0.resid_pre"]
    return seen


def _hook(hooks: ExitStack, module: Any, side: str, keep: Callable[[Any], None]) -> None:
    if side == "in":
        handle = module.register_forward_pre_hook(
            lambda _, args, kwargs: keep(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
    else:
        handle = module.register_forward_hook(lambda _, args, out: keep(out))
    hooks.callback(handle.remove)


def _keep_attention(keep: Callable[[str, Any], None], i: int, found: dict[str, Any]) -> None:
    for name in ("q", "k", "v"):
        keep(f"layers.{i}.attn.{name}", found[name].transpose(1, 2))
    keep(f"layers.{i}.attn.heads", found["heads"])
    keep(f"layers.{i}.attn.pattern", found["pattern"].transpose(1, 2))


@contextmanager
def attention(layer: Any, seen: Callable[[int, dict[str, Any]], Any]) -> Iterator[None]:
    """While this lasts, `seen` is told of each attention that transformers writes out.

    What it returns instead of None is the pattern to go on with.
    """
    place = sys.modules[type(layer).__module__]
    theirs = place.eager_attention_forward

    def told(module: Any, q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
        heads, pattern = theirs(module, q, k, v, *args, **kwargs)
        other = seen(module.layer_idx, {"q": q, "k": k, "v": v, "heads": heads, "pattern": pattern})
        if other is None:
            return heads, pattern
        group = q.shape[1] // v.shape[1]
        return (other @ v.repeat_interleave(group, 1)).transpose(1, 2).contiguous(), other

    place.eager_attention_forward = told
    try:
        yield
    finally:
        place.eager_attention_forward = theirs


def capped_scores(q: Floats, k: Floats, scale: float, cap: float | None) -> Floats:
    """Scores by their formula, pair by pair: `[rows, heads, n]`, nothing hidden."""
    group = q.shape[1] // k.shape[1]
    fit = np.einsum("rhd,nhd->rhn", q.astype(np.float64), np.repeat(k, group, 1)) * scale
    return (np.tanh(fit / cap) * cap if cap else fit).astype(np.float32)


def watched(model: Model, ids: list[int], *patterns: str, **given: Any) -> dict[str, Floats]:
    """What a pass over a whole sequence sees there."""
    run = Run([Segment(ids, None, "all", watch=patterns, **given)])
    model.forward(run)
    return run.seen[0]


def edited(model: Model, ids: list[int], *edits: Edit, **given: Any) -> Floats:
    """The logits of a whole sequence that is changed inside, `[tokens, vocab]`."""
    return model.forward(Run([Segment(ids, None, "all", edits=edits, **given)]))
