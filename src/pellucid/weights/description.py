"""What a model is, read from its files: for a person who wonders what a reference stands for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pellucid.weights import hub, packages
from pellucid.weights.checkpoint import Checkpoint, open_checkpoint
from pellucid.weights.gguf import gguf_shards
from pellucid.weights.hub import Repository
from pellucid.weights.licences import card_licence
from pellucid.weights.packages import Package
from pellucid.weights.references import Reference
from pellucid.weights.selection import choose
from pellucid.weights.store import digest

# config.json's names for the context, over the families; GGUF has `<architecture>.context_length`.
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def describe(reference: Reference, path: Path, *, tensors: bool = False) -> dict[str, Any]:
    """The facts of the model at `path`; `sha256` is that of the files as they are now.

    `kinds` counts the tensors of each way of packing. With `tensors`, each one is listed. Values
    that the files do not state are None. Raises what `open_checkpoint` raises.
    """
    checkpoint = open_checkpoint(path)
    found = checkpoint.tensors.values()
    kinds = Counter(tensor.kind.name for tensor in found)
    files = files_of(path)
    facts: dict[str, Any] = {
        "reference": reference.text,
        "format": checkpoint.format,
        "architecture": _architecture(checkpoint),
        "parameters": sum(tensor.size for tensor in found),
        "bytes": sum(file.stat().st_size for file in files),
        "kinds": dict(kinds.most_common()),
        "context_length": _context_length(checkpoint),
        "licence": _licence(reference, checkpoint),
        "licence_url": reference.alias.licence_url if reference.alias else None,
        "chat_template": _has_template(checkpoint),
        "path": str(path),
        "sha256": {file.name: digest(file) for file in files},
    }
    if tensors:
        facts["tensors"] = [
            {"name": t.name, "kind": t.kind.name, "shape": list(t.shape), "bytes": t.nbytes}
            for t in found
        ]
    return facts


def files_of(path: Path) -> list[Path]:
    """The files of weights at a path that `open_checkpoint` opens."""
    if path.suffix == ".gguf":
        return gguf_shards(path)
    if path.is_file():
        return [path]
    names = [file.name for file in path.iterdir() if file.is_file()]
    if "config.json" not in names:  # without it, safetensors are not what is opened
        names = [name for name in names if name.endswith(".gguf")]
    weights = (".safetensors", ".gguf")
    return [path / name for name in choose(names, None, str(path)) if name.endswith(weights)]


def _architecture(checkpoint: Checkpoint) -> str | None:
    key = "general.architecture" if checkpoint.format == "gguf" else "model_type"
    value = checkpoint.metadata.get(key)
    return value if isinstance(value, str) else None


def _context_length(checkpoint: Checkpoint) -> int | None:
    metadata = checkpoint.metadata
    if checkpoint.format == "gguf":
        value = metadata.get(f"{_architecture(checkpoint)}.context_length")
    else:
        # Multimodal configurations keep the language model's in a part of their own.
        text = metadata.get("text_config")
        text = text if isinstance(text, dict) else {}
        stated = (place.get(key) for place in (metadata, text) for key in _CONTEXT_KEYS)
        value = next((length for length in stated if length is not None), None)
    return int(value) if isinstance(value, int) else None


def _has_template(checkpoint: Checkpoint) -> bool:
    if checkpoint.format == "gguf":
        return "tokenizer.chat_template" in checkpoint.metadata
    if checkpoint.read("chat_template.jinja") is not None:
        return True
    try:
        settings = json.loads(checkpoint.read("tokenizer_config.json") or b"{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(settings, dict) and bool(settings.get("chat_template"))


def _licence(reference: Reference, checkpoint: Checkpoint) -> str | None:
    """Whoever says it first: our list, the package, the model card, the file itself."""
    if reference.alias:
        return reference.alias.licence
    stated: str | None = None
    match reference.target:
        case Package():
            manifest = packages.stored(reference.target)
            stated = manifest.licence if manifest else None
        case Repository():
            stated = hub.licence_of(checkpoint.path)
        case Path():
            stated = card_licence(checkpoint.path)
    own = checkpoint.metadata.get("general.license")
    return stated or (own if isinstance(own, str) else None)
