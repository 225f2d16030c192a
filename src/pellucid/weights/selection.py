"""Which of many files make one model: the same rules for a hub repository and for a wheel."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from pellucid.errors import ModelNotFoundError, UnsupportedError

# Data only. Never *.py, nor *.bin, *.pt, *.pkl: those would run code when loaded.
_BESIDE = (
    *("*.json", "*.jinja", "*.tiktoken", "tokenizer.model", "merges.txt", "vocab.txt"),
    *("README.md", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*"),
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
_LISTED = 12


def choose(names: Iterable[str], pick: str | None, where: str) -> list[str]:
    """The files to fetch for one model, among `names` ("/" between folders).

    Safetensors with their companions where there are some, in the folder nearest the root; else the
    one GGUF file, or all pieces of a split one. `pick` asks for a GGUF file instead, by its name or
    its quantisation ("Q4_K_M"). `where` is what errors call the place.

    Raises ModelNotFoundError for no weights, nothing that `pick` names, or several and none picked;
    UnsupportedError where the weights are only there pickled.

    >>> choose(["config.json", "model.safetensors", "model.bin", "run.py"], None, "org/name")
    ['config.json', 'model.safetensors']
    >>> choose(["m-Q4_K_M.gguf", "m-Q8_0.gguf"], "q8_0", "org/name")
    ['m-Q8_0.gguf']
    """
    files = sorted(names)
    folder = _weights_folder(files)
    if pick is None and folder is not None:
        return _safetensors(files, folder)
    # Projectors of images for multimodal models are GGUF files too, but no language models.
    gguf = [f for f in files if f.endswith(".gguf") and not _base(f).startswith("mmproj")]
    return _gguf(gguf, files, pick, where)


def is_complete(folder: Path) -> bool:
    """Whether a folder has all that a model needs: weights (every shard), config and tokenizer.

    Other programs fetch parts of repositories into the shared cache, and fetches are cut.
    """
    names = [path.name for path in folder.iterdir() if path.exists()]
    index = folder / "model.safetensors.index.json"
    if "config.json" not in names or not any(_like(name, _TOKENIZERS) for name in names):
        return False
    if "model.safetensors" in names:
        return True
    if not index.exists():
        return any(n.endswith(".safetensors") and not _SHARD.fullmatch(n) for n in names)
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return True  # whole but unsound: opening it says how
    return shards <= set(names)


def _weights_folder(files: Sequence[str]) -> str | None:
    """The folder nearest the root that holds safetensors."""
    folders = {_parent(file) for file in files if file.endswith(".safetensors")}
    return min(folders, key=lambda folder: (folder.count("/") + bool(folder), folder), default=None)


def _safetensors(files: Sequence[str], folder: str) -> list[str]:
    here = [file for file in files if _parent(file) == folder]
    weights = [file for file in here if file.endswith(".safetensors")]
    shards = [file for file in weights if _SHARD.fullmatch(_base(file))]
    whole = [file for file in weights if _base(file) == "model.safetensors"]
    # Some repositories hold a second copy in another layout, "consolidated.safetensors".
    beside = [file for file in here if _like(_base(file), _BESIDE)]
    return sorted({*(whole or shards or weights), *beside})


def _gguf(gguf: Sequence[str], files: Sequence[str], pick: str | None, where: str) -> list[str]:
    found = [file for file in gguf if pick is None or _is_picked(file, pick)]
    if len({_SPLIT.sub("", file) for file in found}) == 1:
        return _all_pieces(found, where)
    if gguf:
        wish = f"{len(found) or 'no'} GGUF files match {pick!r}" if pick else "several GGUF files"
        raise ModelNotFoundError(
            f"{where}: {wish}: add :FILE or :QUANTISATION to name one of {_listing(gguf)}"
        )
    if pick is None and any(_like(_base(file), _PICKLED) for file in files):
        raise UnsupportedError(
            f"{where}: has only pickled weights, which can run any code when they are read; look "
            "for a revision or a copy with *.safetensors, or convert them where you trust them"
        )
    kinds = "*.gguf" if pick else "*.safetensors or *.gguf"
    raise ModelNotFoundError(f"{where}: has no {kinds} file")


def _all_pieces(found: list[str], where: str) -> list[str]:
    split = _SPLIT.search(found[0])
    if split and len(found) != int(split[1]):
        raise ModelNotFoundError(
            f"{where}: has {len(found)} of the {split[1]} pieces of {found[0]}"
        )
    return found


def _is_picked(file: str, pick: str) -> bool:
    if pick.lower().endswith(".gguf"):
        return pick in (file, _base(file))
    stem = _base(file).lower().removesuffix(".gguf")
    return re.search(rf"(^|[-._]){re.escape(pick.lower())}($|-\d{{5}}-of-)", stem) is not None


def _listing(files: Sequence[str]) -> str:
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return ", ".join(files[:_LISTED]) + more


def _like(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _parent(file: str) -> str:
    parent = str(PurePosixPath(file).parent)
    return "" if parent == "." else parent


def _base(file: str) -> str:
    return PurePosixPath(file).name
