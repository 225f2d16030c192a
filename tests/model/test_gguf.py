"""GGUF files give transformers' logits, whatever the converter did to the tensors on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pellucid.backends import backend
from pellucid.model.describe import describe
from pellucid.model.model import Model
from pellucid.weights.checkpoint import open_checkpoint

from .oracle import load_oracle
from .tiny import BOUNDS, Floats, Tiny, logits_of, make_tiny, relative_error, whole
from .variants import VARIANTS, Variant
from .write_gguf import write_gguf

# What GGUF cannot say, and llama.cpp therefore has as constants: the scale of Gemma's queries,
# which of its layers slide, which of SmolLM3's do not turn. Mistral's window is not written.
_PATTERN = {"num_hidden_layers": 7, "sliding_window_pattern": 6, "query_pre_attn_scalar": 32}
CONVERTED: dict[str, dict[str, Any]] = {
    "llama": {}, "llama, tied, with biases": {}, "llama, heads wider than the residual": {},
    "llama 3 rope": {}, "linear rope": {}, "yarn rope": {}, "mistral, no window": {},
    "mixtral": {"sliding_window": None}, "qwen2": {}, "qwen3": {}, "qwen3 experts": {}, "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 32}, "gemma3": _PATTERN, "gemma3, stretched": _PATTERN,
    "gemma3 that sees": _PATTERN, "phi3": {}, "phi3, part of each head turns": {},
    "phi3 longrope, within": {}, "phi3 longrope, beyond": {}, "olmo2": {},
    "smollm3": {"num_hidden_layers": 5, "no_rope_layer_interval": 4}, "gpt2": {}, "gpt neox": {},
}  # fmt: skip
# llama.cpp has Phi-3's windows switched off, and takes the long factors for any context here.
_NOT_IN_LLAMA_CPP = {"phi3", "phi3 longrope, within"}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tiny]:
    """A small model of a variant as the converter leaves it, with `model.gguf` beside it."""
    made: dict[str, Tiny] = {}

    def get(name: str) -> Tiny:
        if name not in made:
            variant = VARIANTS[name]
            variant = replace(variant, settings={**variant.settings, **CONVERTED[name]})
            made[name] = make_tiny(name, variant, tmp_path_factory.mktemp("converted"))
            write_gguf(made[name].folder, made[name].folder / "model.gguf")
        return made[name]

    return get


def _open(tiny: Tiny, backend_name: str, file: str = "model.gguf") -> Model:
    checkpoint = open_checkpoint(tiny.folder / file)
    context = tiny.variant.context_length
    return Model.open(checkpoint, backend(backend_name), context_length=context)


@pytest.mark.parametrize("backend_name", BOUNDS)
@pytest.mark.parametrize("name", CONVERTED)
def test_logits_are_those_of_transformers(
    converted: Callable[[str], Tiny], name: str, backend_name: str
) -> None:
    tiny = converted(name)
    model = _open(tiny, backend_name)
    for ids, truth in zip(tiny.sequences, tiny.logits, strict=True):
        assert relative_error(whole(model, ids), truth) <= BOUNDS[backend_name]


@pytest.mark.parametrize("name", sorted(CONVERTED.keys() - _NOT_IN_LLAMA_CPP))
def test_llama_cpp_reads_these_files_as_we_do(converted: Callable[[str], Tiny], name: str) -> None:
    """So the files are what the converter writes. llama.cpp's gelu is a table of float16."""
    tiny = converted(name)
    bound = 5e-3 if name.startswith(("gemma", "gpt")) else 1e-4
    theirs = _llama_cpp_logits(tiny.folder / "model.gguf", tiny.sequences[0])
    ours = whole(_open(tiny, "torch"), tiny.sequences[0])
    assert relative_error(ours, theirs) <= bound
    assert relative_error(ours[::-1], theirs) > 20 * bound  # so the bound says something


def _llama_cpp_logits(file: Path, ids: list[int]) -> Floats:
    llama_cpp = pytest.importorskip("llama_cpp")
    model = llama_cpp.Llama(
        str(file), n_ctx=128, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False,
        type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32, flash_attn=False,
    )  # fmt: skip
    model.eval(ids)
    logits: Floats = np.array(model.scores[: len(ids)], np.float32)
    model.close()
    return logits


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
@pytest.mark.parametrize("name", ["llama", "mixtral", "qwen3", "phi3", "gpt2", "gpt neox"])
def test_packed_weights_give_the_logits_of_their_numbers(
    tiny: Callable[[str], Tiny], tmp_path: Path, name: str, kind: str
) -> None:
    original = tiny(name) if name != "mixtral" else make_tiny(name, _NO_WINDOW, tmp_path / "m")
    write_gguf(original.folder, tmp_path / "model.gguf", kind)
    oracle = _rounded(original, tmp_path / "rounded", kind)
    truth = logits_of(oracle, original.sequences[0])
    assert relative_error(truth, original.logits[0]) > 10 * BOUNDS["torch"]  # packing shows
    for backend_name, bound in BOUNDS.items():
        model = Model.open(open_checkpoint(tmp_path / "model.gguf"), backend(backend_name))
        assert relative_error(whole(model, original.sequences[0]), truth) <= bound


_NO_WINDOW = Variant("MixtralConfig", {**VARIANTS["mixtral"].settings, "sliding_window": None})


def _rounded(original: Tiny, folder: Path, kind: str) -> Any:
    """The same model of transformers with the numbers that its matrices have once packed.

    Blocks lie along a row, so turning a matrix round (GPT-2) is the one change that matters.
    """
    folder.mkdir()
    (folder / "config.json").write_bytes((original.folder / "config.json").read_bytes())
    packed = gguf.GGMLQuantizationType[kind]

    def rounded(name: str, numbers: Floats) -> Floats:
        if numbers.ndim == 1 or "block_sparse_moe.gate" in name or "wpe" in name:
            return numbers
        turned = "h." in name and "gpt2" in original.oracle.config.model_type
        rows = np.ascontiguousarray(numbers.T) if turned else numbers
        rows = gguf.quants.dequantize(gguf.quants.quantize(rows, packed), packed)
        return np.ascontiguousarray(rows.T) if turned else rows

    state = load_file(original.folder / "model.safetensors")
    state = {name: rounded(name, numbers) for name, numbers in state.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return load_oracle(folder)


@pytest.mark.parametrize("name", CONVERTED)
def test_both_kinds_of_file_describe_the_same_model(
    converted: Callable[[str], Tiny], name: str
) -> None:
    context = converted(name).variant.context_length
    theirs = describe(open_checkpoint(converted(name).folder / "model.gguf"), context)
    ours = describe(converted(name).checkpoint(), context)
    for one, other in zip(theirs.rope, ours.rope, strict=True):
        assert (one is None) == (other is None)
        if one and other:
            assert one.dims == other.dims
            assert one.gain == pytest.approx(other.gain)
            np.testing.assert_allclose(one.frequencies(), other.frequencies(), rtol=1e-6)
    # GGUF keeps these in float32, and calls Mistral and Mixtral "llama".
    apart: dict[str, Any] = {"family": "", "rope": (), "norm_eps": 0.0}
    assert theirs.norm_eps == pytest.approx(ours.norm_eps)
    assert replace(theirs, **apart) == replace(ours, **apart)
