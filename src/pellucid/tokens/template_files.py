"""Where a model keeps its chat template, and the special tokens that templates refer to."""

from __future__ import annotations

from typing import NamedTuple

from pellucid.errors import FormatError
from pellucid.weights.checkpoint import Checkpoint

_CONFIG = "tokenizer_config.json"
_GGUF_TEMPLATE = "tokenizer.chat_template"
_GGUF_SPECIAL = {  # the key's middle in GGUF, misspelt there in one case; the template's name
    "bos": "bos_token",
    "eos": "eos_token",
    "unknown": "unk_token",
    "seperator": "sep_token",
    "padding": "pad_token",
    "cls": "cls_token",
    "mask": "mask_token",
}


class Found(NamedTuple):
    """A model's template; the one for conversations with tools if it has two; its special tokens
    under the names that templates use, such as `bos_token`.
    """

    source: str
    tool_use: str | None
    special_tokens: dict[str, str]


def found(checkpoint: Checkpoint) -> Found | None:
    """The chat template of a model, or None where there is none.

    A GGUF file brings its own template (`tokenizer.chat_template`), and files beside it may belong
    to another model. A directory has it, in transformers' order, in chat_template.jinja or in
    tokenizer_config.json, whose "chat_template" is a text or a list of named texts; of these,
    "default" and "tool_use" are used. FormatError where there is something else in its place.
    """
    if checkpoint.format == "gguf":
        named, special_tokens = _gguf_templates(checkpoint), _gguf_special_tokens
    else:
        named, special_tokens = _templates(checkpoint), _special_tokens
    if "default" not in named:
        return None
    return Found(named["default"], named.get("tool_use"), special_tokens(checkpoint))


def _gguf_templates(checkpoint: Checkpoint) -> dict[str, str]:
    keys = {"default": _GGUF_TEMPLATE, "tool_use": f"{_GGUF_TEMPLATE}.tool_use"}
    metadata = checkpoint.metadata
    return {
        name: _text(checkpoint, key, metadata[key]) for name, key in keys.items() if key in metadata
    }


def _gguf_special_tokens(checkpoint: Checkpoint) -> dict[str, str]:
    metadata, named = checkpoint.metadata, {}
    texts = metadata.get("tokenizer.ggml.tokens", ())
    for middle, name in _GGUF_SPECIAL.items():
        key = f"tokenizer.ggml.{middle}_token_id"
        if key not in metadata:
            continue
        try:
            index = int(metadata[key])
            if index < 0:
                raise IndexError
            named[name] = str(texts[index])
        except (IndexError, OverflowError, TypeError, ValueError):
            raise FormatError(checkpoint.path, key, f"there is no token {metadata[key]}") from None
    return named


def _templates(checkpoint: Checkpoint) -> dict[str, str]:
    data = checkpoint.read("chat_template.jinja")
    if data is not None:
        return {"default": _decoded(checkpoint, "chat_template.jinja", data)}
    place = f"{_CONFIG}: chat_template"
    known = checkpoint.read_json(_CONFIG).get("chat_template")
    if known is None:
        return {}
    if not isinstance(known, list):
        return {"default": _text(checkpoint, place, known)}
    named = dict(_named(checkpoint, place, entry) for entry in known)
    if "default" not in named:
        names = ", ".join(sorted(named)) or "nothing"
        raise FormatError(checkpoint.path, place, f"has no default among: {names}")
    return named


def _named(checkpoint: Checkpoint, place: str, entry: object) -> tuple[str, str]:
    if not isinstance(entry, dict) or not set(entry) >= {"name", "template"}:
        raise FormatError(checkpoint.path, place, "an entry is not {name, template}")
    name = _text(checkpoint, f"{place}: name", entry["name"])
    return name, _text(checkpoint, f"{place}: {name}", entry["template"])


def _special_tokens(checkpoint: Checkpoint) -> dict[str, str]:
    """Entries such as `bos_token`: a text, or an object with the text as its "content"."""
    config = checkpoint.read_json("special_tokens_map.json") | checkpoint.read_json(_CONFIG)
    extra = config.get("extra_special_tokens")
    entries = {**config, **extra} if isinstance(extra, dict) else config
    texts = {
        name: entry.get("content") if isinstance(entry, dict) else entry
        for name, entry in entries.items()
        if name.endswith("_token")
    }
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _decoded(checkpoint: Checkpoint, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(checkpoint.path, name, f"byte {error.start}: not UTF-8") from None


def _text(checkpoint: Checkpoint, place: str, value: object) -> str:
    if not isinstance(value, str):
        raise FormatError(checkpoint.path, place, f"is not a text but {type(value).__name__}")
    return value
