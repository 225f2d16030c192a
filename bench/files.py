"""The files that are measured: two models, one of them in four packings; made once and kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from pellucid.errors import BackendError, ModelNotFoundError
from pellucid.weights.references import resolve
from pellucid.weights.store import home


@dataclass(frozen=True)
class ModelFile:
    """A GGUF file to measure: an alias' own, or that file packed anew by llama.cpp.

    `packing` names one of llama.cpp's file types. A file of one's own has no alias.
    """

    name: str
    alias: str | None = None
    packing: str | None = None
    own: Path | None = None

    def path(self) -> Path:
        """The file; fetched, or made and kept in the cache, where it is not there yet."""
        if self.own:
            return self.own
        assert self.alias
        source = _source(self.alias)
        if self.packing is None:
            return source
        packing = self.packing
        return _kept(f"{self.name}.gguf", lambda made: _pack(source, made, packing))

    def copy(self) -> Path:
        """The model as transformers saves it, float32, with its tokenizer: a directory."""
        assert self.alias
        source = _source(self.alias)
        version = import_module("transformers").__version__
        return _kept(f"{self.alias}-transformers-{version}", lambda made: _convert(source, made))


FILES = {
    file.name: file
    for file in (
        ModelFile("smollm2-q4_1", "smollm2"),
        ModelFile("smollm2-q4_0", "smollm2", "Q4_0"),
        ModelFile("smollm2-q8_0", "smollm2", "Q8_0"),
        ModelFile("smollm2-q4_k_m", "smollm2", "Q4_K_M"),
        ModelFile("gemma3-270m", "gemma3-270m"),
    )
}


def file(name: str) -> ModelFile:
    """A file by its name in the table, or a path.

    >>> file("smollm2-q8_0").packing
    'Q8_0'
    >>> file("nonsense")
    Traceback (most recent call last):
    pellucid.errors.ModelNotFoundError: no file 'nonsense': give a .gguf file or one of smollm2-...
    """
    if name in FILES:
        return FILES[name]
    path = Path(name)
    if path.suffix == ".gguf" and path.is_file():
        return ModelFile(path.stem, own=path)
    raise ModelNotFoundError(f"no file {name!r}: give a .gguf file or one of {', '.join(FILES)}")


def _source(alias: str) -> Path:
    """The alias' file; in $PELLUCID_TEST_MODELS, if that is set, as the tests have it."""
    folder = os.environ.get("PELLUCID_TEST_MODELS")
    return Path(folder) / f"{alias.partition('-')[0]}.gguf" if folder else resolve(alias)


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """`name` in the cache, made under another name first, so that it is whole or not there."""
    place = home() / "bench" / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        made = place.with_name(f"{os.getpid()}-{name}")
        try:
            make(made)
            made.rename(place)
        finally:
            shutil.rmtree(made, ignore_errors=True)
            made.unlink(missing_ok=True)
    return place


def _pack(source: Path, made: Path, packing: str) -> None:
    if find_spec("llama_cpp") is None:
        raise BackendError(f"packing a file to {packing} needs llama-cpp-python, not installed")
    llama = import_module("bench.peers.llama_cpp").library()
    params = llama.llama_model_quantize_default_params()
    params.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{packing}")
    params.allow_requantize = True
    if code := llama.llama_model_quantize(str(source).encode(), str(made).encode(), params):
        raise BackendError(f"llama.cpp cannot pack {source} to {packing}: code {code}")


def _convert(source: Path, made: Path) -> None:
    transformers = import_module("bench.peers.transformers").library()
    torch = import_module("torch")
    gguf = import_module("transformers.modeling_gguf_pytorch_utils")
    given = {"gguf_file": source.name}
    config = transformers.AutoConfig.from_pretrained(source.parent, **given)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    # from_pretrained does the same, but needs one more package, accelerate.
    read = gguf.load_gguf_checkpoint(str(source), return_tensors=True, model_to_load=model)
    left = model.load_state_dict(read["tensors"], strict=False, assign=True)
    if left.unexpected_keys or set(left.missing_keys) - {"lm_head.weight"}:
        raise BackendError(f"transformers cannot read {source}: {left}")
    model.tie_weights()
    model.save_pretrained(made)
    transformers.AutoTokenizer.from_pretrained(source.parent, **given).save_pretrained(made)
