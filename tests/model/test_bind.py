"""Tensors that do not fit the settings are refused, and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pellucid.backends import backend
from pellucid.errors import FormatError
from pellucid.model.bind import bind
from pellucid.model.describe import describe
from pellucid.model.model import Model
from pellucid.weights.checkpoint import Checkpoint, open_checkpoint
from pellucid.weights.tensor import Tensor

from .tiny import Tiny, relative_error, whole
from .write_gguf import write_gguf

Tensors = Mapping[str, Tensor]
Changed = Callable[[Tensors], Tensors]


def bound(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return bind(checkpoint, describe(checkpoint))


def without(*names: str) -> Changed:
    return lambda tensors: {name: t for name, t in tensors.items() if name not in names}


def having(*names: str) -> Changed:
    return lambda tensors: {**tensors, **{n: Tensor.of(n, np.ones((2, 2), "f4")) for n in names}}


def shaped(name: str, *shape: int) -> Changed:
    return lambda tensors: {**tensors, name: Tensor.of(name, np.ones(shape, "f4"))}


def holding(name: str, number: float) -> Changed:
    """One number of a tensor, replaced."""

    def change(tensors: Tensors) -> Tensors:
        numbers = tensors[name].float32()
        numbers.flat[numbers.size // 2] = number
        return {**tensors, name: Tensor.of(name, numbers)}

    return change


NAN, INFINITY = float("nan"), float("inf")
UP, NORM, QKV = (
    "model.layers.1.mlp.up_proj.weight", "model.norm.weight",
    "model.layers.0.self_attn.qkv_proj.weight",
)  # fmt: skip

REFUSED: list[tuple[str, Mapping[str, Any], Changed, str]] = [
    ("llama", {}, without(UP), f"tensors: 1 missing: {UP}$"),
    ("llama", {}, without(UP, NORM), f"tensors: 2 missing: {UP}, {NORM}$"),
    ("llama", {}, lambda tensors: {}, r"tensors: 39 missing: lm_head\.weight, .* and 31 more$"),
    ("llama", {}, without("lm_head.weight"), r"1 missing: lm_head\.weight$"),
    ("gpt2", {}, without("transformer.wpe.weight"), r"1 missing: transformer\.wpe\.weight$"),
    ("mixtral", {}, without("model.layers.2.block_sparse_moe.experts.4.w3.weight"),
     r"1 missing: model\.layers\.2\.block_sparse_moe\.experts\.4\.w3\.weight$"),
    ("llama", {}, having("b.evil", "a.evil"), "2 of no use to this family: a.evil, b.evil$"),
    ("llama", {}, having("lm_head.bias"), "1 of no use to this family: lm_head.bias$"),
    ("llama", {}, having("nul\0 " + "x" * 9999), r"1 of no use .*: nul\\x00 x{75}$"),
    ("llama", {"num_hidden_layers": 3}, dict, r"9 of no use .*: model\.layers\.3\.input_layernorm"),
    ("llama", {"num_hidden_layers": 5}, dict, r"9 missing: model\.layers\.4\.input_layernorm"),
    ("llama", {"attention_bias": True}, dict, r"16 missing: model\.layers\.0\.self_attn\.k"),
    ("llama, tied, with biases", {"mlp_bias": False}, dict, r"12 of no use .*mlp\.down_proj\.bias"),
    ("llama", {"vocab_size": 130}, dict,
     r"model\.embed_tokens\.weight: has shape \[120, 64\], not \[130, 64\] as the settings say$"),
    ("llama", {"hidden_size": 128}, dict, r"embed_tokens\.weight: .*\[120, 64\], not \[120, 128\]"),
    ("llama", {"num_key_value_heads": 4}, dict, r"k_proj\.weight: .* \[32, 64\], not \[64, 64\]"),
    ("llama", {}, shaped(UP, 64, 96), r"up_proj\.weight: has shape \[64, 96\], not \[96, 64\]"),
    ("llama", {}, shaped(UP, 96 * 64), r"up_proj\.weight: has shape \[6144\], not \[96, 64\]"),
    ("llama", {}, shaped(NORM, 1, 64), r"norm\.weight: has shape \[1, 64\], not \[64\]"),
    ("llama", {}, shaped(NORM), r"norm\.weight: has shape \[1\], not \[64\]"),
    ("gemma", {}, shaped(NORM, 63), r"norm\.weight: has shape \[63\], not \[64\]"),
    ("phi3", {}, shaped(QKV, 100, 64), r"qkv_proj\.weight: has shape \[100, 64\], not"),
    ("phi3", {}, shaped(QKV, 129, 64), r"qkv_proj\.weight: has shape \[129, 64\], not"),
    ("phi3", {"intermediate_size": 90}, dict, r"gate_up_proj\.weight: has shape \[192, 64\]"),
    ("phi3", {}, shaped(QKV, 64), r"qkv_proj\.weight: has shape \[64\]"),
    ("gpt2", {}, shaped("transformer.h.0.attn.c_attn.weight", 7), r"c_attn\.weight: .* \[7\]"),
    ("gpt neox", {}, shaped("gpt_neox.layers.0.attention.query_key_value.weight", 5, 64),
     r"query_key_value\.weight: has shape \[5, 64\], not \[64, 64\]"),
    ("llama", {}, holding(UP, NAN), f"tensors: 1 not finite: {UP}$"),
    ("llama", {}, holding(NORM, INFINITY), f"tensors: 1 not finite: {NORM}$"),
    ("llama", {}, holding("lm_head.weight", -INFINITY), r"1 not finite: lm_head\.weight$"),
    ("phi3", {}, holding(QKV, NAN), r"1 not finite: model\.layers\.0\.self_attn\.qkv_proj"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "change", "words"), REFUSED)
def test_tensors_that_do_not_fit_are_named(
    tiny: Callable[[str], Tiny], name: str, settings: Mapping[str, Any], change: Changed, words: str
) -> None:
    sound = tiny(name).checkpoint()
    metadata = {**sound.metadata, **settings}
    with pytest.raises(FormatError, match=words) as caught:
        bound(replace(sound, metadata=metadata, tensors=change(sound.tensors)))
    assert str(caught.value).startswith(f"{sound.path}: ")
    assert len(str(caught.value)) < len(str(sound.path)) + 600


@pytest.mark.parametrize(("name", "left_over"), [
    ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
    ("llama, tied, with biases", "lm_head.weight"),
    ("gpt2", "transformer.h.0.attn.bias"),
    ("gpt2", "h.1.attn.masked_bias"),
    ("gpt neox", "gpt_neox.layers.0.attention.masked_bias"),
    ("gemma3 that sees", "model.vision_tower.encoder.weight"),
    ("gemma3 that sees", "multi_modal_projector.mm_input_projection_weight"),
])  # fmt: skip
def test_what_a_file_may_hold_besides_is_left_aside(
    tiny: Callable[[str], Tiny], name: str, left_over: str
) -> None:
    sound = tiny(name).checkpoint()
    assert bound(replace(sound, tensors=having(left_over)(sound.tensors))).keys() == (
        bound(sound).keys()
    )


def test_names_of_a_model_without_its_head_are_found_too(tiny: Callable[[str], Tiny]) -> None:
    """As GPT-2's own release has them, without `transformer.` in front."""
    sound = tiny("gpt2").checkpoint()
    bare = {n.removeprefix("transformer."): tensor for n, tensor in sound.tensors.items()}
    model = Model.open(replace(sound, tensors=bare), backend("torch"))
    ids = tiny("gpt2").sequences[0]
    assert relative_error(whole(model, ids), tiny("gpt2").logits[0]) <= 1e-5


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model.", "model."])
def test_every_release_of_gemma_3_names_its_decoder_otherwise(
    tiny: Callable[[str], Tiny], prefix: str
) -> None:
    sound = tiny("gemma3").checkpoint()
    named = {n.replace("model.", prefix, 1): tensor for n, tensor in sound.tensors.items()}
    assert bound(replace(sound, tensors=named)).keys() == bound(sound).keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_broken_number_in_a_file_is_found_whatever_its_type(
    tiny: Callable[[str], Tiny], tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = tiny("llama").folder
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    state = {name: t.to(dtype) for name, t in load_file(folder / "model.safetensors").items()}
    save_file(state, tmp_path / "model.safetensors")
    assert bound(open_checkpoint(tmp_path))
    state[UP][-1, -1] = NAN
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match=f"1 not finite: {UP}$"):
        bound(open_checkpoint(tmp_path))


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0"])
def test_a_broken_number_in_a_gguf_file_is_found(
    tiny: Callable[[str], Tiny], tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "model.gguf"
    write_gguf(tiny("llama").folder, file, kind)
    assert bound(open_checkpoint(file))
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    data = bytearray(file.read_bytes())
    at = tensors["blk.1.ffn_up.weight"].data_offset
    size = 4 if kind == "F32" else 2  # the first number, or the first block's scale
    data[at : at + size] = np.array(INFINITY, f"<f{size}").tobytes()
    file.write_bytes(data)
    with pytest.raises(FormatError, match=r"1 not finite: blk\.1\.ffn_up\.weight$"):
        bound(open_checkpoint(file))


@pytest.mark.parametrize(("name", "shape", "words"), [
    ("blk.0.ffn_up_exps.weight", (96, 64), r"has shape \[96, 64\]"),
    ("blk.0.ffn_up_exps.weight", (4, 96, 64), r"has shape \[4, 96, 64\]"),
    ("blk.0.ffn_up_exps.weight", (6, 96, 64), r"has shape \[6, 96, 64\]"),
    ("blk.0.ffn_up_exps.weight", (5, 64, 96), r"has shape \[5, 64, 96\] and gives \[64, 96\]"),
    ("blk.0.attn_q.weight", (63, 64), r"has shape \[63, 64\], not \[64, 64\]"),
    ("blk.0.attn_q.weight", (8, 64), r"has shape \[8, 64\]"),
])  # fmt: skip
def test_stacks_and_turned_rows_of_another_shape_are_named(
    tiny: Callable[[str], Tiny], tmp_path: Path, name: str, shape: tuple[int, ...], words: str
) -> None:
    write_gguf(tiny("mixtral").folder, tmp_path / "model.gguf")
    sound = open_checkpoint(tmp_path / "model.gguf")
    with pytest.raises(FormatError, match=f"{name}: {words}"):
        bound(replace(sound, tensors=shaped(name, *shape)(sound.tensors)))
