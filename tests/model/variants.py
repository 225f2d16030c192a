"""The families, and the variants of each that real checkpoints use: one row each.

A row is a configuration of transformers, small enough to run in a millisecond. Windows and
original lengths are shorter than the sequences, and the numbers of heads, layers and experts
differ from one another, so that a mix-up of any two shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VOCAB_SIZE = 120

_TINY = {
    "vocab_size": VOCAB_SIZE, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "max_position_embeddings": 128,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
_GPT2 = {
    "vocab_size": VOCAB_SIZE, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_NEOX = {key: value for key, value in _TINY.items() if key != "num_key_value_heads"}
_GEMMA = _TINY | {"head_dim": 32, "tie_word_embeddings": True}
_GEMMA3 = _GEMMA | {"sliding_window": 6, "sliding_window_pattern": 3, "query_pre_attn_scalar": 20}
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 64,
    "short_factor": [1.0 + 0.1 * i for i in range(8)],
    "long_factor": [2.0 + i for i in range(8)],
}  # fmt: skip
_VISION = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A configuration class of transformers, its settings, and how the model is tried.

    `lengths` are those of the sequences, `context_length` what the model is opened for (None is
    its own). `model` is the class that computes it.
    """

    config: str
    settings: Mapping[str, Any]
    lengths: tuple[int, ...] = (40, 17, 9)
    context_length: int | None = None
    model: str = "AutoModelForCausalLM"
    nested: Mapping[str, Any] = field(default_factory=dict)  # what stands around `text_config`


def _scaled(kind: str, **scaling: Any) -> dict[str, Any]:
    return _TINY | {"rope_parameters": {"rope_type": kind, "rope_theta": 5e4, **scaling}}


VARIANTS: dict[str, Variant] = {
    "llama": Variant("LlamaConfig", _TINY),
    "llama, tied, with biases": Variant("LlamaConfig", _TINY | {
        "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama, heads wider than the residual": Variant("LlamaConfig", _TINY | {"head_dim": 24}),
    "llama 3 rope": Variant("LlamaConfig", _scaled("llama3", factor=8.0, low_freq_factor=1.0,
        high_freq_factor=4.0, original_max_position_embeddings=32)),
    "linear rope": Variant("LlamaConfig", _scaled("linear", factor=4.0)),
    "dynamic rope": Variant("LlamaConfig", _scaled("dynamic", factor=4.0)),
    "dynamic rope, stretched": Variant("LlamaConfig",
        _scaled("dynamic", factor=4.0) | {"max_position_embeddings": 32},
        lengths=(50, 50), context_length=50),
    "yarn rope": Variant("Qwen2Config", _scaled("yarn", factor=4.0,
        original_max_position_embeddings=32)),
    "yarn rope, all settings": Variant("LlamaConfig", _scaled("yarn", factor=4.0,
        original_max_position_embeddings=32, beta_fast=4.0, beta_slow=0.5, mscale=0.7,
        mscale_all_dim=0.4, truncate=False)),
    "mistral": Variant("MistralConfig", _TINY | {"sliding_window": 7, "head_dim": 32}),
    "mistral, no window": Variant("MistralConfig", _TINY | {"sliding_window": None}),
    "mixtral": Variant("MixtralConfig", _TINY | {"num_local_experts": 5, "sliding_window": 7}),
    "qwen2": Variant("Qwen2Config", _TINY),
    "qwen2, windows above": Variant("Qwen2Config", _TINY | {"use_sliding_window": True,
        "sliding_window": 6, "max_window_layers": 1}),
    "qwen3": Variant("Qwen3Config", _TINY | {"head_dim": 24}),
    "qwen3 experts": Variant("Qwen3MoeConfig", _TINY | {"head_dim": 16, "num_experts": 6,
        "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}),
    "qwen3 experts, some layers": Variant("Qwen3MoeConfig", _TINY | {"head_dim": 16,
        "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
        "norm_topk_prob": False, "mlp_only_layers": [1]}),
    "qwen3 experts, every other layer": Variant("Qwen3MoeConfig", _TINY | {"head_dim": 16,
        "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "decoder_sparse_step": 2, "use_sliding_window": True, "sliding_window": 5}),
    "gemma": Variant("GemmaConfig", _GEMMA),
    "gemma2": Variant("Gemma2Config", _GEMMA | {"sliding_window": 6, "query_pre_attn_scalar": 20}),
    "gemma3": Variant("Gemma3TextConfig", _GEMMA3),
    "gemma3, soft cap": Variant("Gemma3TextConfig", _GEMMA3 | {
        "attn_logit_softcapping": 5.0, "final_logit_softcapping": 4.0}),
    "gemma3, stretched": Variant("Gemma3TextConfig", _GEMMA3 | {"rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    "gemma3 that sees": Variant("Gemma3Config", _GEMMA3, model="Gemma3ForConditionalGeneration",
        nested={"vision_config": _VISION, "mm_tokens_per_image": 4}),
    "phi3": Variant("Phi3Config", _TINY | {"sliding_window": 9}),
    "phi3, part of each head turns": Variant("Phi3Config", _TINY | {"partial_rotary_factor": 0.75,
        "tie_word_embeddings": True}),
    "phi3 longrope, within": Variant("Phi3Config", _TINY | {"rope_parameters": _LONGROPE,
        "original_max_position_embeddings": 64}),
    "phi3 longrope, beyond": Variant("Phi3Config", _TINY | {"rope_parameters": _LONGROPE,
        "original_max_position_embeddings": 64}, lengths=(90, 66, 81), context_length=128),
    "olmo2": Variant("Olmo2Config", _TINY),
    "smollm3": Variant("SmolLM3Config", _TINY | {"no_rope_layer_interval": 3}),
    "smollm3, windows": Variant("SmolLM3Config", _TINY | {"use_sliding_window": True,
        "sliding_window": 6, "no_rope_layers": [1, 0, 1, 0]}),
    "gpt2": Variant("GPT2Config", _GPT2),
    "gpt2, relu, narrow": Variant("GPT2Config", _GPT2 | {"n_inner": 72,
        "activation_function": "relu"}),
    "gpt neox": Variant("GPTNeoXConfig", _NEOX),
    "gpt neox, serial": Variant("GPTNeoXConfig", _NEOX | {"use_parallel_residual": False,
        "rotary_pct": 0.5, "attention_bias": False}),
}  # fmt: skip
