"""The settings of a model, read strictly: config.json's keys, whatever file they came from."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.errors import FormatError
from pellucid.weights.checkpoint import Checkpoint

# What GGUF calls a setting, after the architecture's prefix, and what config.json calls it.
# Source: the GGUF specification and llama.cpp's converter.
_GGUF_NAMES = {
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "use_parallel_residual": "use_parallel_residual",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attention.scale": "attention_multiplier",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.freq_base": "rope_theta",
    "rope.freq_base_swa": "rope_local_base_freq",
    "rope.dimension_count": "rotary_dim",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
}
_COUNT_LIMIT = 1 << 24  # far above any real width or vocabulary
_FACTORS_LIMIT = 1 << 16  # half of the widest head there could be, many times over


class Keys:
    """Settings by config.json's names, each checked as it is read.

    Raises FormatError that names the file, the key and what it should be. `names` are those of
    the file, where it calls a setting otherwise.

    >>> keys = Keys("config.json", {"num_attention_heads": 0})
    >>> keys.count("num_attention_heads")
    Traceback (most recent call last):
    pellucid.errors.FormatError: config.json: num_attention_heads: must be a whole number ...
    """

    def __init__(
        self, path: str, values: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self._values = values
        self._names = names or {}

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def get(self, key: str) -> Any:
        """The value as it stands, or None."""
        return self._values.get(key)

    def count(
        self, key: str, default: int | None = None, *, least: int = 1, most: int = _COUNT_LIMIT
    ) -> int:
        """A whole number of things, from `least` to `most`."""
        value = self._required(key, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not least <= value <= most:
            raise self.error(
                key, f"must be a whole number from {least} to {most:,}, not {_shown(value)}"
            )
        return int(value)

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number above zero."""
        value = self._required(key, default)
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not 0 < value <= sys.float_info.max:
            raise self.error(key, f"must be a finite number above 0, not {_shown(value)}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._required(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {_shown(value)}")
        return value

    def optional(self, key: str) -> float | None:
        """A finite number above zero, or None."""
        return self.number(key) if key in self else None

    def layers(self, key: str, count: int) -> frozenset[int]:
        """A list of some of `count` layers; none where there is no list."""
        values = self._values.get(key) or []
        each = range(count)
        if not isinstance(values, list) or not all(type(v) is int and v in each for v in values):
            raise self.error(key, f"must be a list of layers, 0 to {count - 1}")
        return frozenset(values)

    def sequence(self, key: str, length: int) -> list[Any] | None:
        """A list with one value a layer (or pair, ...), or None."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != length:
            raise self.error(key, f"must be a list of {length} values")
        return value

    def below(self, key: str) -> Keys:
        """The settings inside an object; empty where there is none."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(key, f"must be an object, not {_shown(value)}")
        return Keys(f"{self.path}: {key}", value or {})

    def over(self, defaults: Mapping[str, Any], renamed: Mapping[str, str]) -> Keys:
        """These settings, and `defaults` for those left out; a null says that there is none.

        `renamed` says which go by another name here.
        """
        ours = {ours: self._values[name] for ours, name in renamed.items() if name in self._values}
        names = {**renamed, **self._names}
        return Keys(self.path, {**defaults, **ours, **self._values}, names)

    def error(self, key: str, reason: str) -> FormatError:
        """A FormatError at this key, by the file's own name for it."""
        return FormatError(self.path, self._names.get(key, key), reason)

    def _required(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        value = default if value is None else value
        if value is None:
            raise self.error(key, "is missing")
        return value


def _shown(value: object) -> str:
    return f"{value!r:.60}"


def settings(checkpoint: Checkpoint) -> Keys:
    """The settings of a checkpoint under config.json's names."""
    if checkpoint.format == "gguf":
        prefix = _prefix(checkpoint)
        names = {ours: prefix + theirs for theirs, ours in _GGUF_NAMES.items()}
        return Keys(str(checkpoint.path), _from_gguf(checkpoint, prefix), names)
    values = checkpoint.metadata
    text = values.get("text_config")  # a model that also sees keeps its decoder's settings here
    if isinstance(text, Mapping):
        values = {**values, **text}
    return Keys(f"{checkpoint.path}: config.json", values)


def _prefix(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.metadata.get('general.architecture')}."


def _from_gguf(checkpoint: Checkpoint, prefix: str) -> dict[str, Any]:
    metadata = checkpoint.metadata
    values = {ours: metadata.get(prefix + theirs) for theirs, ours in _GGUF_NAMES.items()}
    values["rope_scaling"] = _gguf_scaling(checkpoint, f"{prefix}rope.scaling.")
    values["model_type"] = metadata.get("general.architecture")
    # Settings that a file shows by the tensors it has, or that llama.cpp has as constants.
    values["tie_word_embeddings"] = "output.weight" not in checkpoint.tensors
    values["attention_bias"] = "blk.0.attn_output.bias" in checkpoint.tensors
    values["mlp_bias"] = "blk.0.ffn_up.bias" in checkpoint.tensors
    values["norm_topk_prob"] = True
    tokens = metadata.get("tokenizer.ggml.tokens")
    if values["vocab_size"] is None and isinstance(tokens, Sequence):
        values["vocab_size"] = len(tokens)
    values = {key: value for key, value in values.items() if value is not None}
    size = values.get("sliding_window")
    if isinstance(size, int) and not size:  # how the converter writes Phi-3's null
        values["sliding_window"] = None
    return values


def _gguf_scaling(checkpoint: Checkpoint, prefix: str) -> dict[str, Any] | None:
    # Scaling by a list of factors is stored as tensors, not as settings.
    def factors(name: str) -> list[float] | None:
        tensor = checkpoint.tensors.get(name)
        if tensor is None:
            return None
        if len(tensor.shape) != 1 or tensor.size > _FACTORS_LIMIT:
            reason = f"has shape {list(tensor.shape)}, but must be a short list"
            raise FormatError(checkpoint.path, name, reason)
        each: list[float] = tensor.float32().tolist()
        return each

    if (divisors := factors("rope_freqs.weight")) is not None:
        return {"rope_type": "divisors", "divisors": divisors}
    kind = checkpoint.metadata.get(f"{prefix}type")
    if kind is not None and not isinstance(kind, str):
        raise FormatError(checkpoint.path, f"{prefix}type", "must be a string")
    scaling = {
        "rope_type": kind,
        "factor": checkpoint.metadata.get(f"{prefix}factor"),
        "original_max_position_embeddings": checkpoint.metadata.get(
            f"{prefix}original_context_length"
        ),
        "beta_fast": checkpoint.metadata.get(f"{prefix}yarn_beta_fast"),
        "beta_slow": checkpoint.metadata.get(f"{prefix}yarn_beta_slow"),
    }
    if (short := factors("rope_factors_short.weight")) is not None:
        scaling |= {
            "rope_type": "longrope",
            "short_factor": short,
            "long_factor": factors("rope_factors_long.weight"),
            "attention_factor": checkpoint.metadata.get(f"{prefix}attn_factor"),
        }
    return None if scaling["rope_type"] in (None, "none") else scaling
