"""Settings mean what transformers takes them to mean, in every style they are written in."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import transformers
from huggingface_hub.errors import StrictDataclassError

from pellucid.errors import FormatError, ParameterError, PellucidError, UnsupportedError
from pellucid.model.config import ModelConfig
from pellucid.model.describe import describe
from pellucid.model.describe import longest as longest_of
from pellucid.weights.checkpoint import Checkpoint
from pellucid.weights.tensor import Tensor

from .tiny import configuration
from .variants import VARIANTS

Settings = dict[str, Any]


def described(
    metadata: Mapping[str, Any],
    context_length: int | None = None,
    *,
    gguf: bool = False,
    tensors: Mapping[str, Tensor] | None = None,
) -> ModelConfig:
    """The configuration of a checkpoint that says this, and has no weights."""
    kind: Literal["gguf", "safetensors"] = "gguf" if gguf else "safetensors"
    checkpoint = Checkpoint(Path("m"), kind, metadata, tensors or {}, {}, lambda name: None)
    return describe(checkpoint, context_length)


@cache
def _saved(name: str) -> str:
    text: str = configuration(VARIANTS[name]).to_json_string()
    return text


def saved(name: str) -> Settings:
    """The config.json that transformers 5 writes for a variant."""
    settings: Settings = json.loads(_saved(name))
    return settings


# ---- transformers 4 ----------------------------------------------------------------------------


def _version_4(config: Settings, *, type_key: str, layer_types: bool) -> Settings:
    """The same settings as transformers 4 wrote them; its first releases said no `layer_types`."""
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    if "text_config" in config:
        inner = _version_4(config["text_config"], type_key=type_key, layer_types=layer_types)
        return config | {"text_config": inner}
    if not layer_types:
        config.pop("layer_types", None)
    rope = config.pop("rope_parameters", None)
    if rope is None:
        return config
    if "full_attention" in rope:
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    theta, share = rope.pop("rope_theta"), rope.pop("partial_rotary_factor", None)
    neox = config["model_type"] == "gpt_neox"
    config["rotary_emb_base" if neox else "rope_theta"] = theta
    if share is not None:
        config["rotary_pct" if neox else "partial_rotary_factor"] = share
    kind = rope.pop("rope_type")
    return config | {"rope_scaling": None if kind == "default" else {type_key: kind, **rope}}


@pytest.mark.parametrize("layer_types", [True, False])
@pytest.mark.parametrize("type_key", ["type", "rope_type"])
@pytest.mark.parametrize("name", VARIANTS)
def test_settings_of_transformers_4_mean_the_same(
    name: str, type_key: str, layer_types: bool
) -> None:
    if name == "smollm3, windows":
        layer_types = True  # the list of its layers has no rule
    asked = VARIANTS[name].context_length
    old = _version_4(saved(name), type_key=type_key, layer_types=layer_types)
    assert "rope_parameters" not in json.dumps(old)
    assert described(old, asked) == described(saved(name), asked)


# ---- what a file leaves out --------------------------------------------------------------------

# Where transformers' own defaults contradict each other or the rest of the settings.
_NOT_COMPARED = {
    "model_type", "text_config",
    "query_pre_attn_scalar",  # 256, though a head has 32 here; released heads have 256
    "original_max_position_embeddings",  # Phi-3's 4096 would overrule the one in rope_parameters
}  # fmt: skip
# Sizes: transformers has some large model's, which would only lead to tensors of another shape.
_REQUIRED = {
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "moe_intermediate_size", "num_local_experts", "num_experts_per_tok",
    "n_embd", "n_layer", "n_head", "n_positions",
}  # fmt: skip

_GEMMA3_HAS = {"vocab_size", "num_attention_heads", "max_position_embeddings"}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_setting_left_out_is_as_transformers_takes_it_or_refused(name: str) -> None:
    nested = "text_config" in saved(name)
    for key in (saved(name)["text_config"] if nested else saved(name)).keys() - _NOT_COMPARED:
        ours = saved(name)
        del (ours["text_config"] if nested else ours)[key]
        try:
            theirs = configuration(VARIANTS[name]).from_dict(copy.deepcopy(ours)).to_json_string()
            truth = described(json.loads(theirs))
        except (StrictDataclassError, FormatError):
            continue  # transformers' default contradicts another setting
        if key in _REQUIRED and not (name.startswith("gemma3") and key in _GEMMA3_HAS):
            with pytest.raises(FormatError, match=r"(\w+): is missing"):
                described(ours)
        else:
            assert described(ours) == truth, key


def test_sizes_that_published_gemma_3_files_leave_out() -> None:
    # The text_config of the 4B model, as released.
    text = {
        "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }  # fmt: skip
    whole = transformers.Gemma3Config.from_dict({"model_type": "gemma3", "text_config": text})
    ours = described({"model_type": "gemma3", "text_config": text})
    assert ours == described(json.loads(whole.to_json_string()))
    assert (ours.heads, ours.kv_heads, ours.head_dim, ours.vocab_size) == (8, 4, 256, 262_208)


def test_the_first_gemma_files_say_gelu_and_mean_its_tanh_form() -> None:
    legacy = saved("gemma") | {"hidden_act": "gelu", "hidden_activation": None}
    assert described(legacy).activation == "gelu_tanh"


@pytest.mark.parametrize("kind", ["su", "yarn", "longrope"])
def test_the_first_phi_3_files_call_longrope_otherwise(kind: str) -> None:
    name = "phi3 longrope, within"
    old = _version_4(saved(name), type_key="type", layer_types=True)
    old["rope_scaling"]["type"] = kind
    assert described(old) == described(saved(name))


# ---- the context -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "longest"), [
    ("llama", 128), ("linear rope", 128), ("phi3 longrope, within", 128), ("gpt2", 128),
    ("dynamic rope", 4 * 128), ("dynamic rope, stretched", 4 * 32), ("yarn rope", 4 * 32),
])  # fmt: skip
def test_a_model_opens_for_any_context_it_can_reach(name: str, longest: int) -> None:
    assert described(saved(name), longest).context_length == longest
    checkpoint = Checkpoint(Path("m"), "safetensors", saved(name), {}, {}, lambda name: None)
    assert longest_of(checkpoint) == longest
    with pytest.raises(ParameterError, match=f"context_length: .* from 1 to {longest}, .* not"):
        described(saved(name), longest + 1)
    with pytest.raises(ParameterError, match="context_length"):
        described(saved(name), 0)


def test_longrope_opens_for_its_original_length_unless_asked_for_more() -> None:
    name = "phi3 longrope, within"
    own, longer = described(saved(name)), described(saved(name), 65)
    assert own == replace(described(saved(name), 64), context_length=64)
    assert own.context_length == 64
    assert own.rope != longer.rope


# ---- settings that make no sense ---------------------------------------------------------------

_ROPE = {"rope_theta": 1e4, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
         "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
NAN, INFINITY = float("nan"), float("inf")

HOSTILE: list[tuple[str, Settings, type[PellucidError], str]] = [
    ("llama", {"num_attention_heads": 0}, FormatError,
     "num_attention_heads: must be a whole number from 1 to .*, not 0"),
    ("llama", {"num_attention_heads": 6, "head_dim": None}, FormatError,
     "6 must divide hidden_size, 64"),
    ("llama", {"num_key_value_heads": 3}, FormatError, "3 must divide num_attention_heads, 4"),
    ("llama", {"num_key_value_heads": 0}, FormatError, "num_key_value_heads"),
    ("llama", {"num_hidden_layers": 10**9}, FormatError,
     "num_hidden_layers: must be a whole number from 1 to 2,048, not 1000000000"),
    ("llama", {"num_hidden_layers": 4.0}, FormatError, "num_hidden_layers: .* not 4.0"),
    ("llama", {"num_hidden_layers": True}, FormatError, "num_hidden_layers: .* not True"),
    ("llama", {"vocab_size": -1}, FormatError, "vocab_size"),
    ("llama", {"vocab_size": 1 << 63}, FormatError, "vocab_size"),
    ("llama", {"hidden_size": "64"}, FormatError, "hidden_size: .* not '64'"),
    ("llama", {"hidden_size": None}, FormatError, "hidden_size: is missing"),
    ("llama", {"head_dim": 1 << 20}, FormatError, "head_dim"),
    ("llama", {"head_dim": 15}, FormatError, "rotary_dim: 15 must be even"),
    ("llama", {"rms_norm_eps": NAN}, FormatError, "rms_norm_eps: .* above 0, not nan"),
    ("llama", {"rms_norm_eps": 10**400}, FormatError, "rms_norm_eps: .* not 10000"),
    ("llama", {"tie_word_embeddings": "no"}, FormatError, "tie_word_embeddings: must be true or"),
    ("llama", {"hidden_act": "quick_gelu"}, UnsupportedError, "hidden_act 'quick_gelu' is unknown"),
    ("llama", {"hidden_act": ["silu"]}, UnsupportedError, "hidden_act"),
    ("llama", {"rope_parameters": [1]}, FormatError, r"rope_parameters: must be an object"),
    ("llama", {"rope_parameters": {"rope_theta": INFINITY}}, FormatError, "rope_theta: .* not inf"),
    ("llama", {"rope_parameters": {"rope_theta": 1e-300}}, FormatError, "rope"),
    ("llama", {"rope_parameters": _ROPE | {"rope_type": "mrope"}}, UnsupportedError,
     "rope scaling 'mrope' is unknown; known are default, linear, dynamic, llama3, yarn, longrope"),
    ("llama", {"rope_parameters": _ROPE | {"rope_type": ["yarn"]}}, UnsupportedError, "unknown"),
    ("llama", {"rope_parameters": _ROPE | {"factor": NAN}}, FormatError, "factor: .* not nan"),
    ("llama", {"rope_parameters": _ROPE | {"low_freq_factor": 4.0}}, FormatError, "llama3 scaling"),
    ("llama", {"rope_parameters": _ROPE | {"rope_type": "yarn", "rope_theta": 1}}, FormatError,
     "rope_scaling: yarn scaling with these numbers"),
    ("llama", {"rope_parameters": _ROPE | {"rope_type": "dynamic", "factor": 1e308}}, FormatError,
     "dynamic scaling"),
    ("phi3 longrope, within", {"rope_parameters": {"rope_type": "longrope", "short_factor": [1],
     "long_factor": [1]}}, FormatError, "short_factor: must be a list of 8 values"),
    ("phi3 longrope, within", {"rope_parameters": {"rope_type": "longrope",
     "short_factor": [NAN] * 8, "long_factor": [1.0] * 8}}, FormatError, "short_factor.* not nan"),
    ("phi3", {"partial_rotary_factor": 1e308, "rope_parameters": None}, FormatError,
     "partial_rotary_factor: must be at most 1"),
    ("phi3", {"sliding_window": -1}, FormatError, "sliding_window"),
    ("qwen2, windows above", {"layer_types": ["sliding_attention"] * 3}, FormatError,
     "layer_types: must be a list of 4 values"),
    ("qwen2, windows above", {"layer_types": [["sliding_attention"]] * 4}, UnsupportedError,
     "layer_types"),
    ("qwen2, windows above", {"layer_types": ["linear_attention"] * 4}, UnsupportedError,
     "layer_types: 'linear_attention' is unknown"),
    ("qwen3 experts", {"num_experts": 10**7, "num_local_experts": None}, FormatError,
     "num_experts: 10,000,000 in each of 4 layers"),
    ("qwen3 experts", {"num_experts_per_tok": 7}, FormatError,
     "num_experts_per_tok: must be a whole number from 1 to 6, not 7"),
    ("mixtral", {"num_experts_per_tok": 6}, FormatError, "num_experts_per_tok: .* from 1 to 5"),
    ("qwen3 experts", {"mlp_only_layers": 1}, FormatError, "mlp_only_layers: must be a list of"),
    ("qwen3 experts", {"mlp_only_layers": [[0]]}, FormatError, "mlp_only_layers"),
    ("qwen3 experts", {"decoder_sparse_step": 0}, FormatError, "decoder_sparse_step"),
    ("gemma3", {"use_bidirectional_attention": True}, UnsupportedError, "use_bidirectional_attent"),
    ("gpt2", {"scale_attn_weights": False}, UnsupportedError, "scale_attn_weights"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, UnsupportedError, "inverse_layer_idx"),
    ("gpt2", {"n_head": 0}, FormatError, "n_head: must be a whole number"),
    ("llama", {"quantization_config": {"quant_method": "gptq"}}, UnsupportedError,
     "packed by 'gptq' are not read; use the original weights, or a GGUF file"),
    ("llama", {"model_type": "llama9"}, UnsupportedError,
     "model_type 'llama9' is not a family that Pellucid knows; known are llama, mistral"),
    ("llama", {"model_type": ["llama"]}, UnsupportedError, "is not a family"),
    ("llama", {"model_type": None}, UnsupportedError, "model_type 'None' is not a family"),
    ("llama", {"model_type": "custom", "auto_map": {"AutoModel": "evil.Model"}}, UnsupportedError,
     "model_type 'custom' is not a family"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said", "error", "words"), HOSTILE)
def test_settings_that_make_no_sense_are_refused_by_name(
    name: str, said: Settings, error: type[PellucidError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        described(saved(name) | said)
    assert str(caught.value).startswith("m: ")
    assert len(str(caught.value)) < 300


def test_code_that_a_model_brings_is_never_followed() -> None:
    brings = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "trust_remote_code": True}
    assert described(saved("llama") | brings) == described(saved("llama"))


_NASTY: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 0.5, 1e308, NAN, INFINITY, 1 << 63, 10**400, "", "x", [],
    [1], [[1]], [None] * 4, {}, {"rope_type": []}, {"full_attention": {}}, {"rope_type": "yarn"},
    {"rope_type": "longrope", "short_factor": 1}, {"type": "dynamic", "factor": 1e-300},
    {"rope_type": "linear", "factor": 1e-308, "rope_theta": 1e308},
]  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_whatever_a_setting_says_the_answer_is_a_configuration_or_a_typed_error(name: str) -> None:
    whole = saved(name)
    keys = (whole.get("text_config") or whole).keys() | {"rope_scaling", "rotary_dim"}
    for key in keys - {"model_type"}:
        for value in _NASTY:
            said = {**(whole.get("text_config") or whole), key: value}
            try:
                config = described(said | {"model_type": whole["model_type"]})
            except PellucidError:
                continue
            assert config.context_length > 0


# ---- GGUF keys ---------------------------------------------------------------------------------

_ARRAY = np.array([1, 2], np.uint32)  # which has no truth value, and compares number by number
_LLAMA_GGUF = {
    "general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 64,
    "llama.embedding_length": 32, "llama.feed_forward_length": 48, "llama.vocab_size": 100,
    "llama.attention.head_count": 4, "llama.attention.layer_norm_rms_epsilon": 1e-5,
}  # fmt: skip


@pytest.mark.parametrize(("said", "error", "words"), [
    ({"llama.block_count": 10**9}, FormatError, "llama.block_count: .* 1 to 2,048, not 1000000000"),
    ({"llama.attention.head_count": 0}, FormatError, "llama.attention.head_count"),
    ({"llama.attention.head_count": 5}, FormatError, "5 must divide hidden_size, 32"),
    ({"llama.context_length": None}, FormatError, "llama.context_length: is missing"),
    ({"llama.vocab_size": None, "tokenizer.ggml.tokens": 7}, FormatError, "vocab_size: is missing"),
    ({"llama.rope.freq_base": NAN}, FormatError, "llama.rope.freq_base: .* not nan"),
    ({"llama.rope.dimension_count": 10}, FormatError, "rope.dimension_count: 10 must be even"),
    ({"llama.rope.scaling.type": "mystery"}, UnsupportedError, "rope scaling 'mystery' is unknown"),
    ({"llama.attention.layer_norm_rms_epsilon": -1.0}, FormatError, "rms_epsilon: .* not -1.0"),
    ({"general.architecture": "mamba"}, UnsupportedError, "architecture 'mamba' is not a family"),
    ({"llama.rope.scaling.type": _ARRAY}, FormatError, "llama.rope.scaling.type: must be a string"),
    ({"llama.attention.head_count": _ARRAY}, FormatError, "head_count: .* not array"),
    ({"general.architecture": _ARRAY}, UnsupportedError, r"'\[1 2\]' is not a family"),
    ({"general.architecture": None}, UnsupportedError, "architecture 'None' is not a family"),
])  # fmt: skip
def test_gguf_keys_that_make_no_sense_are_refused_by_their_own_names(
    said: Settings, error: type[PellucidError], words: str
) -> None:
    assert described(_LLAMA_GGUF, gguf=True).layers == 2
    with pytest.raises(error, match=words):
        described(_LLAMA_GGUF | said, gguf=True)


def test_a_gguf_window_that_is_an_array_is_refused_by_name() -> None:
    said = {key.replace("llama", "phi3"): value for key, value in _LLAMA_GGUF.items()}
    said |= {"general.architecture": "phi3", "phi3.attention.sliding_window": _ARRAY}
    with pytest.raises(FormatError, match=r"phi3.attention.sliding_window: .* not array"):
        described(said, gguf=True)


def test_rope_factors_that_are_no_list_are_refused() -> None:
    for shape in [(2, 2), (1 << 17,)]:
        factors = Tensor.of("rope_freqs.weight", np.ones(shape, np.float32))
        with pytest.raises(FormatError, match=r"rope_freqs.weight: has shape"):
            described(_LLAMA_GGUF, gguf=True, tensors={factors.name: factors})
