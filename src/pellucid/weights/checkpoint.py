"""An opened model: what its files say, with the tensors still packed in the memory map."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from pellucid.errors import FormatError, ModelNotFoundError, PellucidError, UnsupportedError
from pellucid.weights.gguf import gguf_shards, read_gguf
from pellucid.weights.safetensors import read_safetensors, read_sharded
from pellucid.weights.strict_json import parse_object
from pellucid.weights.tensor import Tensor

# The largest published tokenizer.json is about 35 MB.
_MAX_SIDE_FILE_BYTES = 64 << 20
_MAX_CONFIG_BYTES = 4 << 20

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r".+-\d{5}-of-\d{5}")


@dataclass(frozen=True)
class Checkpoint:
    """What the files of a model say, nothing interpreted.

    `metadata` is the object in config.json, or the key/value pairs of a GGUF file (arrays of
    strings are sequences that decode lazily; arrays of numbers are numpy arrays).
    `generation` is generation_config.json, or empty. `read` returns the bytes of a small file
    beside the weights ("tokenizer.json"), or None where there is none.
    """

    path: Path
    format: Literal["safetensors", "gguf"]
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    generation: Mapping[str, Any]
    read: Callable[[str], bytes | None]

    def read_json(self, name: str) -> dict[str, Any]:
        """The object in a small JSON file beside the weights; empty where there is no such file.

        Raises FormatError for what is no JSON object.
        """
        data = self.read(name)
        return {} if data is None else parse_object(data, self.path / name)


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a model: a .gguf file, a directory with config.json and safetensors, a directory with
    one .gguf, or a .safetensors file with config.json beside it. Of a split model any file will
    do.

    Raises ModelNotFoundError where there is no model or no single one, FormatError for damaged
    or incomplete files, and UnsupportedError for pickled weights, which are never opened.
    """
    try:
        if path.is_dir():
            return _open_directory(path)
        if path.exists():
            return _open_file(path)
    except OSError as error:
        raise ModelNotFoundError(f"{path}: cannot be read: {error.strerror or error}") from None
    raise ModelNotFoundError(f"{path}: no such file or directory")


def read_beside(folder: Path, name: str) -> bytes | None:
    """The bytes of a small file in a model's directory, or None where there is none.

    Links are followed, because the hub's cache is made of them. Raises FormatError for a name
    that leads out of the directory, and for files that are too large to be what they should be.
    """
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    if ".." in parts or PureWindowsPath(name).anchor or "\0" in name:
        raise FormatError(folder, ascii(name)[1:81], "leads out of the model's directory")
    file = folder / name
    if not file.is_file():
        return None
    size = file.stat().st_size
    if size > _MAX_SIDE_FILE_BYTES:
        raise FormatError(file, "", f"{size} bytes, at most {_MAX_SIDE_FILE_BYTES} are read")
    try:
        return file.read_bytes()
    except OSError as error:
        raise FormatError(file, "", f"cannot be read: {error.strerror or error}") from None


def _open_file(path: Path) -> Checkpoint:
    if path.suffix == ".gguf":
        return _open_gguf(path)
    if path.suffix == ".safetensors":
        index = path.with_name(_INDEX)
        is_part = _SHARD.fullmatch(path.stem) and index.is_file()
        return _open_safetensors(path.parent, index if is_part else path)
    if path.suffix in _PICKLED:
        raise _pickled(path)
    raise FormatError(path, "", "a model is a .gguf file, a .safetensors file or a directory")


def _open_directory(folder: Path) -> Checkpoint:
    if (folder / "config.json").is_file():
        weights = _safetensors_in(folder)
        if weights:
            return _open_safetensors(folder, weights)
    ggufs = _ggufs_in(folder)
    if len(ggufs) == 1:
        return _open_gguf(ggufs[0])
    if ggufs:
        names = ", ".join(file.name for file in ggufs)
        raise ModelNotFoundError(f"{folder}: holds several models, name one of them: {names}")
    raise _why_no_model(folder)


def _open_gguf(path: Path) -> Checkpoint:
    metadata, tensors = read_gguf(path)
    return Checkpoint(path, "gguf", metadata, tensors, {}, lambda name: None)


def _open_safetensors(folder: Path, weights: Path) -> Checkpoint:
    config = _json_beside(folder, "config.json")
    if config is None:
        raise _no_config(folder)
    generation = _json_beside(folder, "generation_config.json") or {}
    sharded = weights.name.endswith(".json")
    tensors = read_sharded(weights) if sharded else read_safetensors(weights)
    read = partial(read_beside, folder)
    return Checkpoint(folder, "safetensors", config, tensors, generation, read)


def _safetensors_in(folder: Path) -> Path | None:
    """The one file that stands for a directory's weights, in transformers' order of preference."""
    for name in (_SINGLE, _INDEX):
        if (folder / name).is_file():
            return folder / name
    others = sorted(f for f in folder.glob("*.safetensors") if not f.name.startswith("adapter_"))
    if len(others) > 1:
        names = ", ".join(file.name for file in others[:10])
        raise FormatError(folder, _INDEX, f"missing, so it is unclear what is the model: {names}")
    return others[0] if others else None


def _ggufs_in(folder: Path) -> list[Path]:
    """The GGUF files of a directory; of a split model, only the first file."""
    return sorted({gguf_shards(file)[0] for file in folder.glob("*.gguf")})


def _json_beside(folder: Path, name: str) -> dict[str, Any] | None:
    data = read_beside(folder, name)
    if data is None:
        return None
    if len(data) > _MAX_CONFIG_BYTES:
        reason = f"{len(data)} bytes, at most {_MAX_CONFIG_BYTES} are read"
        raise FormatError(folder / name, "", reason)
    return parse_object(data, folder / name)


def _why_no_model(folder: Path) -> PellucidError:
    """The most helpful error for a directory without a model."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    if not files:
        return ModelNotFoundError(f"{folder}: the directory holds no files")
    if (folder / "adapter_config.json").is_file():
        return UnsupportedError(f"{folder}: an adapter, not a whole model; give its base model")
    if any(file.suffix == ".safetensors" for file in files):
        return _no_config(folder)
    pickled = [file for file in files if file.suffix in _PICKLED]
    if pickled:
        return _pickled(pickled[0])
    return ModelNotFoundError(f"{folder}: no weights (.safetensors or .gguf) in this directory")


def _no_config(folder: Path) -> FormatError:
    reason = "missing; it describes the model, and belongs beside the weights"
    return FormatError(folder, "config.json", reason)


def _pickled(file: Path) -> UnsupportedError:
    return UnsupportedError(
        f"{file}: pickled weights are not opened, since they can run code; convert them where "
        "you trust them, with transformers: model.save_pretrained(..., safe_serialization=True)"
    )
