"""A checkpoint's settings become a ModelConfig, by its family's row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pellucid.errors import ParameterError, UnsupportedError
from pellucid.model.config import MOST_HEADS, MOST_LAYERS, ModelConfig, Rope
from pellucid.model.families import FAMILIES, Family
from pellucid.model.keys import Keys, settings
from pellucid.model.rope import longest_context, opened_context, read_rope
from pellucid.weights.checkpoint import Checkpoint

_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
_EXPERT_LIMIT = 1 << 16  # of all layers together; the largest model has 23,424


def find_family(checkpoint: Checkpoint) -> tuple[str, Family]:
    """The family of a checkpoint, by config.json's model_type or GGUF's architecture.

    Raises UnsupportedError for one that is not in the table.
    """
    gguf = checkpoint.format == "gguf"
    key = "general.architecture" if gguf else "model_type"
    kind = checkpoint.metadata.get(key)
    for name, family in FAMILIES.items():
        if isinstance(kind, str) and kind in ((family.architecture,) if gguf else family.types):
            return name, family
    known = ", ".join(FAMILIES)
    raise UnsupportedError(
        f"{checkpoint.path}: {key} {str(kind)[:80]!r} is not a family that Pellucid knows;"
        f" known are {known}"
    )


def describe(checkpoint: Checkpoint, context_length: int | None = None) -> ModelConfig:
    """The configuration of a checkpoint, opened for `context_length` positions.

    Raises FormatError for a setting that is missing or makes no sense, UnsupportedError for a
    family or a variant that Pellucid does not have, and ParameterError for a context that the
    model cannot have.
    """
    name, family = find_family(checkpoint)
    keys = _prepared(checkpoint, family)
    _refuse_packed(keys)
    layers = keys.count("num_hidden_layers", most=MOST_LAYERS)
    derived = family.derive(keys, layers)
    turned = derived.pop("turned", (True,) * layers)
    config = _shape(name, family, keys, layers, derived)
    config = replace(config, context_length=_context(keys, context_length))
    if not config.learned_positions:
        config = replace(config, rope=_ropes(config, keys, turned))
    return config


def longest(checkpoint: Checkpoint) -> int:
    """The greatest context that a checkpoint can be opened for; it has been described already."""
    return longest_context(_prepared(checkpoint, find_family(checkpoint)[1]))


def _prepared(checkpoint: Checkpoint, family: Family) -> Keys:
    gguf = checkpoint.format == "gguf"
    return settings(checkpoint).over(family.defaults, {} if gguf else family.renamed)


def _refuse_packed(keys: Keys) -> None:
    # GPTQ, AWQ, bitsandbytes and the like keep their numbers in tensors of other names.
    if "quantization_config" in keys:
        method = keys.below("quantization_config").get("quant_method")
        raise UnsupportedError(
            f"{keys.path}: weights packed by {method!r:.60} are not read;"
            " use the original weights, or a GGUF file"
        )


def _shape(
    name: str, family: Family, keys: Keys, layers: int, derived: dict[str, Any]
) -> ModelConfig:
    hidden = keys.count("hidden_size")
    heads, kv_heads, head_dim = _heads(keys, hidden)
    traits = _defaults(keys, layers, head_dim) | family.traits | derived
    if (mixture := traits["experts"]) and mixture.count * layers > _EXPERT_LIMIT:
        raise keys.error("num_experts", f"{mixture.count:,} in each of {layers:,} layers")
    wide = 4 * hidden if traits["learned_positions"] else None  # GPT-2's, where unsaid
    epsilon = "layer_norm_eps" if traits["norm"] == "layer" else "rms_norm_eps"
    return ModelConfig(
        family=name,
        vocab_size=keys.count("vocab_size"),
        hidden_size=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=keys.count("intermediate_size", wide),
        context_length=0,
        norm_eps=keys.number(epsilon, 1e-5 if traits["norm"] == "layer" else 1e-6),
        rope=(None,) * layers,
        tied_embeddings=keys.flag("tie_word_embeddings", False),
        **traits,
    )


def _heads(keys: Keys, hidden: int) -> tuple[int, int, int]:
    """The heads of queries, those of keys and values, and the dimensions of each."""
    heads = keys.count("num_attention_heads")
    kv_heads = keys.count("num_key_value_heads", heads)
    if heads % kv_heads:
        raise keys.error(
            "num_key_value_heads", f"{kv_heads} must divide num_attention_heads, {heads}"
        )
    if "head_dim" not in keys and hidden % heads:
        raise keys.error("num_attention_heads", f"{heads} must divide hidden_size, {hidden}")
    return heads, kv_heads, keys.count("head_dim", hidden // heads, most=MOST_HEADS)


def _defaults(keys: Keys, layers: int, head_dim: int) -> dict[str, Any]:
    """The traits of a family that states none: Llama's."""
    return {
        "norm": "rms",
        "pre_norm": True,
        "post_norm": False,
        "qk_norm": None,
        "parallel": False,
        "learned_positions": 0,
        "window": (None,) * layers,
        "attention_scale": keys.number("attention_multiplier", head_dim**-0.5),
        "attention_softcap": None,
        "mlp": "gated",
        "activation": _activation(keys),
        "experts": None,
        "qkv_bias": keys.flag("attention_bias", False),
        "output_bias": keys.flag("attention_bias", False),
        "mlp_bias": keys.flag("mlp_bias", False),
        "head_bias": False,
        "embedding_scale": 1.0,
        "logit_softcap": None,
    }


def _activation(keys: Keys) -> Any:
    name = keys.get("hidden_activation") or keys.get("hidden_act") or "silu"
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise UnsupportedError(
            f"{keys.path}: hidden_act {name!r:.60} is unknown; known are {', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]


def _context(keys: Keys, asked: int | None) -> int:
    if asked is None:
        return opened_context(keys)
    longest = longest_context(keys)
    if not 0 < asked <= longest:
        raise ParameterError(
            "context_length",
            f"must be from 1 to {longest}, which this model can reach, not {asked}",
        )
    return asked


def _ropes(config: ModelConfig, keys: Keys, turned: tuple[bool, ...]) -> tuple[Rope | None, ...]:
    share = keys.number("partial_rotary_factor", 1.0)
    share = keys.below("rope_parameters").number("partial_rotary_factor", share)
    if share > 1:
        raise keys.error("partial_rotary_factor", f"must be at most 1, not {share}")
    dims = keys.count("rotary_dim", int(config.head_dim * share))
    if dims > config.head_dim or dims % 2:
        raise keys.error(
            "rotary_dim", f"{dims} must be even and at most the head's {config.head_dim}"
        )
    everywhere = read_rope(keys, dims, config.context_length)
    in_windows = everywhere
    if "rope_local_base_freq" in keys:  # Gemma 3: layers that slide turn faster, unscaled
        base = keys.number("rope_local_base_freq")
        local = keys.below("rope_parameters").below("sliding_attention")
        in_windows = Rope(dims, local.number("rope_theta", base))
    return tuple(
        (in_windows if window else everywhere) if turn else None
        for window, turn in zip(config.window, turned, strict=True)
    )
