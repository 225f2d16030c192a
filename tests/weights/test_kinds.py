"""Packed numbers read as float32 are those of GGML's and torch's own readers, to the last bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from pellucid.weights.gguf import read_gguf
from pellucid.weights.kinds import GGML, GGML_UNREAD, SAFETENSORS
from pellucid.weights.tensor import Tensor

PACKED = {n: k for n, k in GGML.items() if k.block_size > 1}
F16_EDGES = [0.0, -0.0, 6e-8, -6e-8, 6.1e-5, 1.0, -1.0, 65504.0, -65504.0]


def ids(kinds):
    return [kind.name for kind in kinds]


def random_blocks(kind, count, seed=0):
    """Blocks of random bytes, but for scales: finite, in float16 by clearing an exponent bit."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, kind.block_bytes), np.uint8)
    for at in kind.scales or ():
        blocks[:, at + 1] &= 0xBF
    if kind.name == "MXFP4":
        blocks[:, 0] %= 253
    return blocks


def assert_same_bits(ours, theirs):
    np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))


def test_every_kind_of_the_gguf_package_is_read_or_named():
    assert {int(t) for t in GGMLQuantizationType} <= GGML.keys() | GGML_UNREAD.keys()
    for number, kind in GGML.items():
        theirs = GGMLQuantizationType(number)
        assert (kind.name, (kind.block_size, kind.block_bytes)) == (
            theirs.name,
            GGML_QUANT_SIZES[theirs],
        )


@pytest.mark.parametrize(("number", "kind"), PACKED.items(), ids=ids(PACKED.values()))
def test_random_blocks_unpack_to_the_same_bits(number, kind):
    blocks = random_blocks(kind, 5000)  # more than one chunk, and not a whole number of them
    assert_same_bits(kind.unpack(blocks), dequantize(blocks, GGMLQuantizationType(number)))


@pytest.mark.parametrize(("number", "kind"), PACKED.items(), ids=ids(PACKED.values()))
def test_scales_at_the_edges_of_float16_unpack_to_the_same_bits(number, kind):
    blocks = random_blocks(kind, len(F16_EDGES) ** 2, seed=1)
    edges = np.array(F16_EDGES, np.float16)
    for at, values in zip(
        kind.scales or (), [np.tile(edges, 9), np.repeat(edges, 9)], strict=False
    ):
        blocks[:, at : at + 2] = values.view(np.uint8).reshape(-1, 2)
    if kind.name == "MXFP4":
        blocks[:, 0] = np.r_[0:41, 215:255]
    with np.errstate(over="ignore"):
        assert_same_bits(kind.unpack(blocks), dequantize(blocks, GGMLQuantizationType(number)))


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_real_tensors_unpack_to_the_same_bits(model, request):
    numbers = {kind.name: number for number, kind in GGML.items()}
    seen: Counter[str] = Counter()
    for tensor in read_gguf(request.getfixturevalue(model)).tensors.values():
        name = tensor.kind.name
        seen[name] += 1
        if seen[name] <= 3:
            some = tensor.take(slice(0, 2000)) if len(tensor.shape) == 2 else tensor
            theirs = dequantize(some.data, GGMLQuantizationType(numbers[name]))
            assert_same_bits(some.float32(), theirs.reshape(some.shape))
    assert seen.keys() >= {"F32", "Q8_0"}
    assert len(seen) >= 3


@pytest.mark.parametrize("name", ["F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32",
                                  "U16", "U8"])  # fmt: skip
def test_plain_numbers_are_converted_as_numpy_does(name):
    letter, bits = name[0].lower(), int(name[1:])
    stored = np.random.default_rng(0).normal(size=(3, 5)) * 100
    stored = np.abs(stored) if letter == "u" else stored
    stored = stored.astype(f"<{letter}{bits // 8}")
    tensor = Tensor("t", (3, 5), SAFETENSORS[name], stored.view(np.uint8))
    assert_same_bits(tensor.float32(), stored.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "dtype", "bits"),
    [
        ("BF16", torch.bfloat16, 16),
        ("F16", torch.float16, 16),
        ("F8_E4M3", torch.float8_e4m3fn, 8),
        ("F8_E5M2", torch.float8_e5m2, 8),
    ],
)
def test_every_code_of_a_small_float_is_what_torch_reads(name, dtype, bits):
    codes = np.arange(1 << bits, dtype=f"<u{bits // 8}")
    theirs = torch.from_numpy(codes.copy()).view(dtype).float().numpy()
    ours = Tensor("t", codes.shape, SAFETENSORS[name], codes.view(np.uint8)[None]).float32()
    np.testing.assert_array_equal(ours, theirs)  # takes any NaN for any other
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


def test_reading_float32_gives_a_copy():
    data = np.arange(4, dtype=np.float32).view(np.uint8)[None]
    numbers = Tensor("t", (4,), SAFETENSORS["F32"], data).float32()
    numbers[:] = 7
    assert data.view(np.float32).tolist() == [[0, 1, 2, 3]]


def test_booleans_are_0_and_1():
    data = np.array([[0, 1, 7]], np.uint8)
    assert Tensor("t", (3,), SAFETENSORS["BOOL"], data).float32().tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", GGML.values(), ids=ids(GGML.values()))
def test_no_blocks_make_no_numbers(kind):
    assert kind.unpack(np.empty((0, kind.block_bytes), np.uint8)).shape == (0, kind.block_size)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kind", PACKED.values(), ids=ids(PACKED.values()))
def test_is_finite_agrees_with_the_numbers_wherever_a_broken_float16_stands(kind, bad):
    sound = random_blocks(kind, 6)
    assert Tensor("t", (2, 3 * kind.block_size), kind, sound.reshape(2, -1)).is_finite()
    found = 0
    for at in range(kind.block_bytes - 1):
        blocks = sound.copy()
        blocks[4, at : at + 2] = np.array([bad], np.float16).view(np.uint8)
        tensor = Tensor("t", (2, 3 * kind.block_size), kind, blocks.reshape(2, -1))
        with np.errstate(invalid="ignore", over="ignore"):
            assert tensor.is_finite() == np.isfinite(tensor.float32()).all()
        found += not tensor.is_finite()
    assert found or kind.name == "MXFP4"


@pytest.mark.parametrize("name", ["F64", "F32", "F16"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_broken_number_is_found(name, bad):
    stored = np.zeros((2, 70_000), f"<f{int(name[1:]) // 8}")
    assert Tensor("t", stored.shape, SAFETENSORS[name], stored.view(np.uint8)).is_finite()
    stored[1, -1] = bad
    assert not Tensor("t", stored.shape, SAFETENSORS[name], stored.view(np.uint8)).is_finite()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("BF16", b"\x80\x7f"),
        ("F8_E4M3", b"\xff"),
        ("F8_E5M2", b"\x7c"),
        ("F64", b"\0\0\0\0\0\0\xf0\x7e"),
    ],
)
def test_a_code_that_is_no_finite_float32_is_found(name, code):
    data = np.frombuffer(code, np.uint8)[None]
    assert not Tensor("t", (1,), SAFETENSORS[name], data).is_finite()


def test_an_mxfp4_exponent_too_large_for_its_numbers_is_found():
    block = np.full((1, 17), 0x77, np.uint8)  # every number is 6, the largest of E2M1
    for exponent, finite in [(0, True), (252, True), (253, False), (255, False)]:
        block[0, 0] = exponent
        assert Tensor("t", (32,), GGML[39], block).is_finite() is finite


def test_real_models_are_finite(smollm2, gemma3):
    for path in (smollm2, gemma3):
        assert all(tensor.is_finite() for tensor in read_gguf(path).tensors.values())
