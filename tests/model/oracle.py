"""The two real models as transformers reads them from their GGUF files, kept as safetensors.

transformers takes about half a minute a file, so what it read is kept from one session to the next.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import modeling_gguf_pytorch_utils

_AUTO: Any = transformers.AutoModelForCausalLM
_READER: Any = modeling_gguf_pytorch_utils

# As published beside the original weights.
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm2": ("LlamaConfig", {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e5},
    }),
    "gemma3": ("Gemma3TextConfig", {
        "vocab_size": 262144, "hidden_size": 640, "intermediate_size": 2048,
        "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1,
        "head_dim": 256, "max_position_embeddings": 32768, "sliding_window": 512,
        "query_pre_attn_scalar": 256, "tie_word_embeddings": True,
    }),
}  # fmt: skip


def oracle_folder(name: str, gguf: Path, cache: Path) -> Path:
    """A directory with transformers' reading of a GGUF file, float32; made where it is missing."""
    folder = cache / f"transformers-{transformers.__version__}-{name}"
    if not folder.exists():
        unfinished = cache / f"{folder.name}.{os.getpid()}"
        try:
            _read(name, gguf).save_pretrained(unfinished)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _read(name: str, gguf: Path) -> Any:
    kind, settings = CONFIGURATIONS[name]
    config = getattr(transformers, kind)(**settings)
    with torch.device("meta"):
        model = _AUTO.from_config(config)
    read = _READER.load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=model)
    # Its from_pretrained does the same, but needs another package, and reads the file three times.
    left = model.load_state_dict(read["tensors"], strict=False, assign=True)
    assert not left.unexpected_keys
    assert left.missing_keys == ["lm_head.weight"]  # which is the embedding
    model.tie_weights()
    return model


def load_oracle(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """transformers' model, with the attention that is written out."""
    return _AUTO.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
