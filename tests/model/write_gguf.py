"""Writes a saved transformers model as GGUF, as llama.cpp's convert_hf_to_gguf.py would.

What happens to each family's tensors on the way is written down here once more, apart from the
tables that undo it, and `test_gguf.py` has llama.cpp itself read the files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

Floats = npt.NDArray[np.float32]
Settings = dict[str, Any]

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA, "mistral": gguf.MODEL_ARCH.LLAMA,
    "mixtral": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3, "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "gemma": gguf.MODEL_ARCH.GEMMA, "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3, "phi3": gguf.MODEL_ARCH.PHI3,
    "olmo2": gguf.MODEL_ARCH.OLMO2, "smollm3": gguf.MODEL_ARCH.SMOLLM3,
    "gpt2": gguf.MODEL_ARCH.GPT2, "gpt_neox": gguf.MODEL_ARCH.GPTNEOX,
}  # fmt: skip


def write_gguf(folder: Path, target: Path, kind: str = "F32") -> None:
    """Write the model in `folder` with its matrices as `kind`: F32, F16 or Q8_0."""
    said = json.loads((folder / "config.json").read_text())
    said |= said.get("text_config", {})
    arch = ARCHITECTURES[said["model_type"]]
    writer = gguf.GGUFWriter(target, gguf.MODEL_ARCH_NAMES[arch])
    settings = _Settings(said)
    _write_settings(writer, settings)
    names = gguf.get_tensor_name_map(arch, settings.layers)
    for name, numbers in _converted(settings, load_file(folder / "model.safetensors")):
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias")) or name
        _add(writer, mapped, numbers, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class _Settings:
    """config.json, with the sizes that its families call differently under one name."""

    def __init__(self, said: Settings) -> None:
        self.get: Callable[..., Any] = said.get
        self.kind = said["model_type"]
        self.layers: int = said.get("num_hidden_layers") or said["n_layer"]
        self.hidden: int = said.get("hidden_size") or said["n_embd"]
        self.heads: int = said.get("num_attention_heads") or said["n_head"]
        self.kv_heads: int = said.get("num_key_value_heads") or self.heads
        self.head_dim: int = said.get("head_dim") or self.hidden // self.heads
        self.context: int = said.get("max_position_embeddings") or said["n_positions"]
        self.inner: int = said.get("intermediate_size") or said.get("n_inner") or 4 * self.hidden
        rope: Any = said.get("rope_parameters") or {}
        self.rope: Settings = rope.get("full_attention", rope)
        self.local_rope: Settings = rope.get("sliding_attention", {})
        self.turned = int(self.head_dim * self.rope.get("partial_rotary_factor", 1.0))
        self.experts = said.get("num_local_experts") or said.get("num_experts")


# ---- settings ----------------------------------------------------------------------------------


def _write_settings(writer: gguf.GGUFWriter, s: _Settings) -> None:
    writer.add_block_count(s.layers)
    writer.add_context_length(s.context)
    writer.add_embedding_length(s.hidden)
    writer.add_feed_forward_length(s.inner)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.kv_heads)
    writer.add_vocab_size(s.get("vocab_size"))
    writer.add_tokenizer_model("no_vocab")
    if s.get("head_dim"):
        writer.add_key_length(s.head_dim)
        writer.add_value_length(s.head_dim)
    if (epsilon := s.get("rms_norm_eps")) is not None:
        writer.add_layer_norm_rms_eps(epsilon)
    if (epsilon := s.get("layer_norm_eps", s.get("layer_norm_epsilon"))) is not None:
        writer.add_layer_norm_eps(epsilon)
    if s.experts:
        writer.add_expert_count(s.experts)
        writer.add_expert_used_count(s.get("num_experts_per_tok"))
    if s.kind == "qwen3_moe":
        writer.add_expert_feed_forward_length(s.get("moe_intermediate_size"))
    if s.kind == "gpt_neox":
        writer.add_parallel_residual(s.get("use_parallel_residual"))
    if s.kind in ("gemma2", "gemma3_text"):
        writer.add_sliding_window(s.get("sliding_window"))
    if s.kind == "gemma2":
        writer.add_attn_logit_softcapping(s.get("attn_logit_softcapping"))
        writer.add_final_logit_softcapping(s.get("final_logit_softcapping"))
    if s.kind == "phi3":
        writer.add_sliding_window(s.get("sliding_window") or 0)
    if s.kind != "gpt2":
        _write_rope(writer, s)


def _write_rope(writer: gguf.GGUFWriter, s: _Settings) -> None:
    writer.add_rope_freq_base(s.rope["rope_theta"])
    if s.kind in ("llama", "mistral", "mixtral", "smollm3", "phi3", "gpt_neox"):
        writer.add_rope_dimension_count(s.turned)
    kind: str = s.rope["rope_type"]
    original: Any = s.rope.get("original_max_position_embeddings")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(s.rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(original)
    if kind == "longrope":
        stretch = s.context / original
        gain = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(gain)


# ---- tensors -----------------------------------------------------------------------------------


def _converted(s: _Settings, state: dict[str, Floats]) -> Iterator[tuple[str, Floats]]:
    yield from _rope_factors(s)
    gathered: dict[str, list[Floats]] = {}
    for name, numbers in state.items():
        if name.startswith(("vision_tower.", "multi_modal_projector.")):
            continue
        ours = name.removeprefix("language_model.")
        if expert := re.fullmatch(r"(.*)\.experts\.(\d+)\.(\w+)\.weight", ours):
            stack, number, part = expert.groups()
            gathered.setdefault(f"{stack}.experts.{part}", [])
            assert len(gathered[f"{stack}.experts.{part}"]) == int(number)
            gathered[f"{stack}.experts.{part}"].append(numbers)
        else:
            change = _CHANGES.get(s.kind, _unchanged)
            yield ours, change(s, ours, numbers)
    for name, parts in gathered.items():
        # The converter's name for a stack of Mixtral's experts.
        stacked = name.replace("block_sparse_moe", "feed_forward").removeprefix("model.")
        yield (stacked if s.kind == "mixtral" else name) + ".weight", np.stack(parts)


def _unchanged(s: _Settings, name: str, numbers: Floats) -> Floats:
    return numbers


def _permuted(s: _Settings, name: str, numbers: Floats) -> Floats:
    heads = {"q_proj": s.heads, "k_proj": s.kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return numbers
    halves = numbers.reshape(heads, 2, s.head_dim // 2, *numbers.shape[1:])
    return halves.swapaxes(1, 2).reshape(numbers.shape)


def _norm_plus_one(s: _Settings, name: str, numbers: Floats) -> Floats:
    return numbers + np.float32(1) if name.endswith("norm.weight") else numbers


def _conv1d(s: _Settings, name: str, numbers: Floats) -> Floats:
    turned = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    return np.ascontiguousarray(numbers.T) if turned else numbers


def _heads_apart(s: _Settings, name: str, numbers: Floats) -> Floats:
    if "query_key_value" not in name:
        return numbers
    each = numbers.reshape(s.heads, 3, s.head_dim, *numbers.shape[1:])
    return np.concatenate([each[:, i].reshape(-1, *numbers.shape[1:]) for i in range(3)])


_CHANGES: dict[str, Callable[[_Settings, str, Floats], Floats]] = {
    "llama": _permuted, "mistral": _permuted, "mixtral": _permuted, "smollm3": _permuted,
    "gemma": _norm_plus_one, "gemma2": _norm_plus_one, "gemma3_text": _norm_plus_one,
    "gpt2": _conv1d, "gpt_neox": _heads_apart,
}  # fmt: skip


def _rope_factors(s: _Settings) -> Iterator[tuple[str, Floats]]:
    if s.rope.get("rope_type") == "longrope":
        for which in ("long", "short"):
            factors = np.asarray(s.rope[f"{which}_factor"], np.float32)
            yield f"rope_factors_{which}.weight", factors
    if s.rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", np.asarray([_llama3(s, i) for i in range(s.head_dim // 2)], "f4")


def _llama3(s: _Settings, pair: int) -> float:
    """By how much Llama 3.1 slows a pair, by its wavelength in tokens."""
    rope = s.rope
    original, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    wavelength = 2 * math.pi * rope["rope_theta"] ** (2 * pair / s.head_dim)
    if wavelength < original / high:
        return 1.0
    if wavelength > original / low:
        return float(factor)
    smooth = (original / wavelength - low) / (high - low)
    return float(1 / ((1 - smooth) / factor + smooth))


def _add(writer: gguf.GGUFWriter, name: str, numbers: Floats, kind: str) -> None:
    whole = numbers.ndim == 1 or name.startswith(("position_embd", "rope_f"))
    if kind == "F32" or whole or "ffn_gate_inp" in name:
        writer.add_tensor(name, numbers)
        return
    packed = gguf.quants.quantize(numbers, gguf.GGMLQuantizationType[kind])
    writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType[kind])
