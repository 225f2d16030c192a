"""The table of model families: how each one's settings and tensor names map onto ours.

Adding a family is adding a row (and a test in `tests/model/test_families.py`). The sources are
transformers' configuration and modelling files, and llama.cpp's converter for GGUF.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.errors import UnsupportedError
from pellucid.model.config import Experts
from pellucid.model.keys import Keys
from pellucid.model.slots import (
    Names,
    Slot,
    half,
    part,
    part_of_each_head,
    plus_one,
    slots,
    transposed,
    unpermuted,
)

Fields = dict[str, Any]


def _nothing_more(keys: Keys, layers: int) -> Fields:
    return {}


@dataclass(frozen=True)
class Family:
    """A row: what a family is called, how it differs from Llama, and what its tensors are called.

    `traits` are fields of ModelConfig that are fixed for the family, `defaults` the settings
    that its files may leave out, `derive` the fields that follow from other settings.
    `names` are those in safetensors, after one of `prefixes`; `gguf` what GGUF does
    differently from the common names.
    """

    types: tuple[str, ...]  # config.json's model_type
    architecture: str  # GGUF's general.architecture
    names: Names
    prefixes: tuple[str, ...] = ("model.",)
    gguf: Mapping[str, Slot] = field(default_factory=dict)
    traits: Fields = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)  # our key -> this family's
    derive: Callable[[Keys, int], Fields] = _nothing_more


# ---- names -------------------------------------------------------------------------------------

LLAMA = slots({
    "embed": "embed_tokens",
    "layers.{i}.attn_norm": "layers.{i}.input_layernorm",
    "layers.{i}.attn.q": "layers.{i}.self_attn.q_proj",
    "layers.{i}.attn.k": "layers.{i}.self_attn.k_proj",
    "layers.{i}.attn.v": "layers.{i}.self_attn.v_proj",
    "layers.{i}.attn.o": "layers.{i}.self_attn.o_proj",
    "layers.{i}.attn.q_norm": "layers.{i}.self_attn.q_norm",
    "layers.{i}.attn.k_norm": "layers.{i}.self_attn.k_norm",
    "layers.{i}.mlp_norm": "layers.{i}.post_attention_layernorm",
    "layers.{i}.mlp.gate": "layers.{i}.mlp.gate_proj",
    "layers.{i}.mlp.up": "layers.{i}.mlp.up_proj",
    "layers.{i}.mlp.down": "layers.{i}.mlp.down_proj",
    "layers.{i}.mlp.router": "layers.{i}.mlp.gate",
    "layers.{i}.mlp.experts.{e}.gate": "layers.{i}.mlp.experts.{e}.gate_proj",
    "layers.{i}.mlp.experts.{e}.up": "layers.{i}.mlp.experts.{e}.up_proj",
    "layers.{i}.mlp.experts.{e}.down": "layers.{i}.mlp.experts.{e}.down_proj",
    "final_norm": "norm",
    "head": "lm_head",
})  # fmt: skip

MIXTRAL = LLAMA | slots({
    "layers.{i}.mlp.router": "layers.{i}.block_sparse_moe.gate",
    "layers.{i}.mlp.experts.{e}.gate": "layers.{i}.block_sparse_moe.experts.{e}.w1",
    "layers.{i}.mlp.experts.{e}.up": "layers.{i}.block_sparse_moe.experts.{e}.w3",
    "layers.{i}.mlp.experts.{e}.down": "layers.{i}.block_sparse_moe.experts.{e}.w2",
})  # fmt: skip

# A norm after as well as before.
SANDWICH = LLAMA | slots({
    "layers.{i}.attn_post_norm": "layers.{i}.post_attention_layernorm",
    "layers.{i}.mlp_norm": "layers.{i}.pre_feedforward_layernorm",
    "layers.{i}.mlp_post_norm": "layers.{i}.post_feedforward_layernorm",
})  # fmt: skip


def _less_one(names: Names) -> Names:
    return {
        ours: Slot(slot.name, (plus_one,)) if "norm" in ours else slot
        for ours, slot in names.items()
    }


PHI3 = LLAMA | {
    "layers.{i}.attn.q": Slot("layers.{i}.self_attn.qkv_proj", (part(0),)),
    "layers.{i}.attn.k": Slot("layers.{i}.self_attn.qkv_proj", (part(1),)),
    "layers.{i}.attn.v": Slot("layers.{i}.self_attn.qkv_proj", (part(2),)),
    "layers.{i}.mlp.gate": Slot("layers.{i}.mlp.gate_up_proj", (half(0),)),
    "layers.{i}.mlp.up": Slot("layers.{i}.mlp.gate_up_proj", (half(1),)),
}

GPT2 = slots({
    "embed": "wte",
    "positions": "wpe",
    "layers.{i}.attn_norm": "h.{i}.ln_1",
    "layers.{i}.attn.q": Slot("h.{i}.attn.c_attn", (transposed, part(0))),
    "layers.{i}.attn.k": Slot("h.{i}.attn.c_attn", (transposed, part(1))),
    "layers.{i}.attn.v": Slot("h.{i}.attn.c_attn", (transposed, part(2))),
    "layers.{i}.attn.o": Slot("h.{i}.attn.c_proj", (transposed,)),
    "layers.{i}.mlp_norm": "h.{i}.ln_2",
    "layers.{i}.mlp.up": Slot("h.{i}.mlp.c_fc", (transposed,)),
    "layers.{i}.mlp.down": Slot("h.{i}.mlp.c_proj", (transposed,)),
    "final_norm": "ln_f",
    "head": "lm_head",
})  # fmt: skip

NEOX = slots({
    "embed": "embed_in",
    "layers.{i}.attn_norm": "layers.{i}.input_layernorm",
    "layers.{i}.attn.q": Slot("layers.{i}.attention.query_key_value", (part_of_each_head(0),)),
    "layers.{i}.attn.k": Slot("layers.{i}.attention.query_key_value", (part_of_each_head(1),)),
    "layers.{i}.attn.v": Slot("layers.{i}.attention.query_key_value", (part_of_each_head(2),)),
    "layers.{i}.attn.o": "layers.{i}.attention.dense",
    "layers.{i}.mlp_norm": "layers.{i}.post_attention_layernorm",
    "layers.{i}.mlp.up": "layers.{i}.mlp.dense_h_to_4h",
    "layers.{i}.mlp.down": "layers.{i}.mlp.dense_4h_to_h",
    "final_norm": "final_layer_norm",
    "head": "embed_out",
})  # fmt: skip

# GGUF calls the tensors of every family by the same names.
GGUF = slots({
    "embed": "token_embd",
    "positions": "position_embd",
    "layers.{i}.attn_norm": "blk.{i}.attn_norm",
    "layers.{i}.attn.q": "blk.{i}.attn_q",
    "layers.{i}.attn.k": "blk.{i}.attn_k",
    "layers.{i}.attn.v": "blk.{i}.attn_v",
    "layers.{i}.attn.o": "blk.{i}.attn_output",
    "layers.{i}.attn.q_norm": "blk.{i}.attn_q_norm",
    "layers.{i}.attn.k_norm": "blk.{i}.attn_k_norm",
    "layers.{i}.attn_post_norm": "blk.{i}.post_attention_norm",
    "layers.{i}.mlp_norm": "blk.{i}.ffn_norm",
    "layers.{i}.mlp.gate": "blk.{i}.ffn_gate",
    "layers.{i}.mlp.up": "blk.{i}.ffn_up",
    "layers.{i}.mlp.down": "blk.{i}.ffn_down",
    "layers.{i}.mlp.router": "blk.{i}.ffn_gate_inp",
    "layers.{i}.mlp.experts.{e}.gate": Slot("blk.{i}.ffn_gate_exps", stacked=True),
    "layers.{i}.mlp.experts.{e}.up": Slot("blk.{i}.ffn_up_exps", stacked=True),
    "layers.{i}.mlp.experts.{e}.down": Slot("blk.{i}.ffn_down_exps", stacked=True),
    "layers.{i}.mlp_post_norm": "blk.{i}.post_ffw_norm",
    "final_norm": "output_norm",
    "head": "output",
})  # fmt: skip

_GGUF_PERMUTED = {
    "layers.{i}.attn.q": Slot("blk.{i}.attn_q", (unpermuted,)),
    "layers.{i}.attn.k": Slot("blk.{i}.attn_k", (unpermuted,)),
}
_GGUF_FUSED = {
    "layers.{i}.attn.q": Slot("blk.{i}.attn_qkv", (part(0),)),
    "layers.{i}.attn.k": Slot("blk.{i}.attn_qkv", (part(1),)),
    "layers.{i}.attn.v": Slot("blk.{i}.attn_qkv", (part(2),)),
}
_GGUF_GATE_ABOVE_UP = {
    "layers.{i}.mlp.gate": Slot("blk.{i}.ffn_up", (half(0),)),
    "layers.{i}.mlp.up": Slot("blk.{i}.ffn_up", (half(1),)),
}


# ---- fields that follow from other settings ----------------------------------------------------


def sliding(keys: Keys, layers: int, which: Callable[[int], bool], size: int | None) -> Fields:
    """`window` for each layer: `layer_types` says which layers slide, or else the family does."""
    types = keys.sequence("layer_types", layers)
    if types is not None:
        slides = [kind == "sliding_attention" for kind in types]
        unknown = [kind for kind in types if kind not in ("sliding_attention", "full_attention")]
        if unknown:
            raise UnsupportedError(f"{keys.path}: layer_types: {unknown[0]!r:.60} is unknown")
    else:
        slides = [which(i) for i in range(layers)]
    return {"window": tuple(size if slide else None for slide in slides)}


def _mistral(keys: Keys, layers: int) -> Fields:
    size = keys.count("sliding_window") if "sliding_window" in keys else None
    return sliding(keys, layers, lambda i: True, size)


def _mixtral(keys: Keys, layers: int) -> Fields:
    count = keys.count("num_local_experts", keys.get("num_experts"))
    return _mistral(keys, layers) | {"experts": Experts(
        count=count,
        chosen=keys.count("num_experts_per_tok", most=count),
        intermediate_size=keys.count("intermediate_size"),
        renormalise=True,
        layers=(True,) * layers,
    )}  # fmt: skip


def _llama(keys: Keys, layers: int) -> Fields:
    # llama.cpp's converter calls Mistral and Mixtral "llama" too.
    return _mixtral(keys, layers) if "num_experts" in keys else {}


def _qwen(keys: Keys, layers: int) -> Fields:
    if not keys.flag("use_sliding_window", False):
        return {}
    first = keys.count("max_window_layers", layers, least=0)
    return sliding(keys, layers, lambda i: i >= first, keys.count("sliding_window"))


def _qwen_moe(keys: Keys, layers: int) -> Fields:
    window = _mistral(keys, layers) if keys.flag("use_sliding_window", False) else {}
    step = keys.count("decoder_sparse_step", 1)
    plain = keys.layers("mlp_only_layers", layers)
    count = keys.count("num_experts", keys.get("num_local_experts"))
    return window | {"experts": Experts(
        count=count,
        chosen=keys.count("num_experts_per_tok", most=count),
        intermediate_size=keys.count("moe_intermediate_size"),
        renormalise=keys.flag("norm_topk_prob", False),
        layers=tuple(i not in plain and (i + 1) % step == 0 for i in range(layers)),
    )}  # fmt: skip


def _gemma(keys: Keys, layers: int) -> Fields:
    return {"embedding_scale": math.sqrt(keys.count("hidden_size"))}


def _gemma1(keys: Keys, layers: int) -> Fields:
    # The first release's files say "gelu" and mean its tanh form, as transformers knows too.
    legacy = keys.get("hidden_activation") is None and keys.get("hidden_act") == "gelu"
    return _gemma(keys, layers) | ({"activation": "gelu_tanh"} if legacy else {})


def _gemma2(keys: Keys, layers: int) -> Fields:
    # The query's scale is head_dim's, but for the 27B model, whose GGUF file does not say so.
    scale = keys.number("query_pre_attn_scalar", 144 if layers == 46 else keys.count("head_dim"))
    return (
        _gemma(keys, layers)
        | sliding(keys, layers, lambda i: i % 2 == 0, keys.count("sliding_window"))
        | {
            "attention_scale": scale**-0.5,
            "attention_softcap": keys.optional("attn_logit_softcapping"),
            "logit_softcap": keys.optional("final_logit_softcapping"),
        }
    )


def _gemma3(keys: Keys, layers: int) -> Fields:
    if keys.get("use_bidirectional_attention"):
        raise UnsupportedError(f"{keys.path}: use_bidirectional_attention: not a text generator")
    # transformers and llama.cpp both leave attn_logit_softcapping aside here; no release sets it.
    pattern = keys.count("sliding_window_pattern", 6)
    scale = keys.number("query_pre_attn_scalar", 168 if layers == 62 else keys.count("head_dim"))
    return (
        _gemma(keys, layers)
        | sliding(keys, layers, lambda i: (i + 1) % pattern > 0, keys.count("sliding_window"))
        | {
            "attention_scale": scale**-0.5,
            "logit_softcap": keys.optional("final_logit_softcapping"),
        }
    )


def _smollm3(keys: Keys, layers: int) -> Fields:
    interval = keys.count("no_rope_layer_interval", 4)
    turned = keys.sequence("no_rope_layers", layers)  # 1 where there is a rope, despite its name
    turned = turned or [(i + 1) % interval > 0 for i in range(layers)]
    size = keys.count("sliding_window") if keys.flag("use_sliding_window", False) else None
    return sliding(keys, layers, lambda i: not turned[i], size) | {
        "turned": tuple(bool(turn) for turn in turned)
    }


def _neox(keys: Keys, layers: int) -> Fields:
    bias = keys.flag("attention_bias", True)
    return {
        "parallel": keys.flag("use_parallel_residual", True),
        "qkv_bias": bias,
        "output_bias": bias,
    }


def _gpt2(keys: Keys, layers: int) -> Fields:
    for key in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if keys.flag(key, False):
            raise UnsupportedError(f"{keys.path}: {key} is not supported")
    if not keys.flag("scale_attn_weights", True):
        raise UnsupportedError(f"{keys.path}: scale_attn_weights must be true")
    return {"learned_positions": keys.count("max_position_embeddings")}


# ---- the table ---------------------------------------------------------------------------------

_LAYER_NORM: Fields = {
    "norm": "layer", "mlp": "plain", "mlp_bias": True, "qkv_bias": True, "output_bias": True,
}  # fmt: skip
_GEMMA: Mapping[str, Any] = {
    "head_dim": 256, "hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": True,
    "sliding_window": 4096,
}  # fmt: skip
# The published config.json of Gemma 3 4B says only where it differs from these.
_GEMMA3_4B: Mapping[str, Any] = {
    "vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4,
    "max_position_embeddings": 131_072,
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    "llama": Family(("llama",), "llama", LLAMA, gguf=_GGUF_PERMUTED, derive=_llama),
    "mistral": Family(("mistral",), "mistral", LLAMA, derive=_mistral,
        defaults={"sliding_window": 4096}),
    "mixtral": Family(("mixtral",), "mixtral", MIXTRAL, derive=_mixtral,
        defaults={"rope_theta": 1e6, "rms_norm_eps": 1e-5}),
    "qwen2": Family(("qwen2",), "qwen2", LLAMA, traits={"qkv_bias": True},
        defaults={"sliding_window": 4096}, derive=_qwen),
    "qwen3": Family(("qwen3",), "qwen3", LLAMA, traits={"qk_norm": "head"},
        defaults={"head_dim": 128, "sliding_window": 4096}, derive=_qwen),
    "qwen3_moe": Family(("qwen3_moe",), "qwen3moe", LLAMA, traits={"qk_norm": "head"},
        defaults={"sliding_window": 4096}, derive=_qwen_moe),
    "gemma": Family(("gemma",), "gemma", _less_one(LLAMA), defaults=_GEMMA, derive=_gemma1),
    "gemma2": Family(("gemma2",), "gemma2", _less_one(SANDWICH), traits={"post_norm": True},
        defaults={**_GEMMA, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
        derive=_gemma2),
    "gemma3": Family(("gemma3_text", "gemma3"), "gemma3", _less_one(SANDWICH),
        prefixes=("model.", "language_model.model.", "model.language_model."),
        traits={"post_norm": True, "qk_norm": "head"},
        defaults={**_GEMMA, **_GEMMA3_4B, "rope_theta": 1e6, "rope_local_base_freq": 1e4},
        derive=_gemma3),
    "phi3": Family(("phi3",), "phi3", PHI3, gguf={**_GGUF_FUSED, **_GGUF_GATE_ABOVE_UP},
        defaults={"rms_norm_eps": 1e-5}, derive=_mistral),
    "olmo2": Family(("olmo2",), "olmo2", SANDWICH,
        traits={"pre_norm": False, "post_norm": True, "qk_norm": "whole"},
        defaults={"rms_norm_eps": 1e-5}),
    "smollm3": Family(("smollm3",), "smollm3", LLAMA, gguf=_GGUF_PERMUTED,
        defaults={"tie_word_embeddings": True, "rope_theta": 2e6}, derive=_smollm3),
    "gpt2": Family(("gpt2",), "gpt2", GPT2, prefixes=("transformer.", ""), gguf=_GGUF_FUSED,
        traits=_LAYER_NORM, derive=_gpt2,
        defaults={"hidden_act": "gelu_new", "tie_word_embeddings": True},
        renamed={"hidden_size": "n_embd", "num_hidden_layers": "n_layer",
                 "num_attention_heads": "n_head", "intermediate_size": "n_inner",
                 "max_position_embeddings": "n_positions", "hidden_act": "activation_function",
                 "layer_norm_eps": "layer_norm_epsilon"}),
    "gpt_neox": Family(("gpt_neox",), "gptneox", NEOX, prefixes=("gpt_neox.",), gguf=_GGUF_FUSED,
        traits=_LAYER_NORM, derive=_neox,
        defaults={"hidden_act": "gelu", "partial_rotary_factor": 0.25},
        renamed={"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}),
}  # fmt: skip
