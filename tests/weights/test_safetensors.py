"""Safetensors: what the safetensors package writes is read back; the broken is refused."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pellucid.errors import FormatError, UnsupportedError
from pellucid.weights.safetensors import read_safetensors, read_sharded

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U64": torch.uint64,
    "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def packed(header: bytes | str, data: bytes = b"", length: int | None = None) -> bytes:
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def described(entries: dict, data: bytes = b"") -> bytes:
    return packed(json.dumps(entries), data)


def entry(shape=(2,), offsets=(0, 8), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def read(tmp_path: Path, data: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return read_safetensors(path)


# -- What is sound --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_reads_as_torch_reads_it(tmp_path, name):
    torch.manual_seed(0)
    numbers = (torch.randn(3, 4, 5) * 50).abs().to(DTYPES[name])
    save_file({"a": numbers, "b": numbers[0, 0].clone()}, tmp_path / "model.safetensors")
    tensors = read_safetensors(tmp_path / "model.safetensors")
    assert tensors["a"].kind.name == name
    assert tensors["a"].data.shape == (12, 5 * numbers.element_size())
    np.testing.assert_array_equal(tensors["a"].float32(), numbers.float().numpy())
    np.testing.assert_array_equal(tensors["b"].float32(), numbers[0, 0].float().numpy())


def test_the_unusual_but_valid_is_accepted(tmp_path):
    stored = {"scalar": torch.tensor(1.5), "none": torch.zeros(0), "rows": torch.zeros(0, 7),
              "columns": torch.zeros(3, 0), "ünïcode/name": torch.ones(2)}  # fmt: skip
    path = tmp_path / "model.safetensors"
    save_file(stored, path, metadata={"format": "pt", "note": "any text"})
    tensors = read_safetensors(path)
    assert {n: t.shape for n, t in tensors.items()} == {
        n: tuple(t.shape) for n, t in stored.items()
    }
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.float32(), stored[name].numpy())


@pytest.mark.parametrize(
    "data",
    [
        packed("{}"),
        packed("{}" + " " * 100),
        described({"b": entry(offsets=(8, 16)), "a": entry(offsets=(0, 8))}, bytes(16)),
        described({"odd": entry((3,), (0, 3), "U8"), "f": entry((2,), (3, 11))}, bytes(11)),
    ],
    ids=["no tensors", "spaces behind", "not in order", "not aligned"],
)
def test_freedoms_of_the_format_are_accepted(tmp_path, data):
    for tensor in read(tmp_path, data).values():
        assert not tensor.float32().any()


def test_rows_are_taken_without_the_others(tmp_path):
    numbers = torch.arange(12.0).reshape(4, 3)
    save_file({"a": numbers}, tmp_path / "model.safetensors")
    tensor = read_safetensors(tmp_path / "model.safetensors")["a"]
    taken = tensor.take(np.array([2, 0, 2]))
    np.testing.assert_array_equal(taken.float32(), numbers[[2, 0, 2]].numpy())


# -- What is broken -------------------------------------------------------------------------------

EMPTY = '"t%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
MILLIONS_OF_TENSORS = packed("{" + EMPTY % 0 + ("," + EMPTY % 1) * 1_500_000 + "}")
TOO_MANY_TENSORS = packed("{" + ",".join(EMPTY % i for i in range(70_000)) + "}")
ONE_TWICE = '{"a":%s,"a":%s}' % ((json.dumps(entry()),) * 2)

HOSTILE = {
    "empty": (b"", FormatError, "the file is empty"),
    "7 bytes": (bytes(7), FormatError, "does not fit in a file of 7"),
    "header length 0": (packed("", bytes(8)), FormatError, "must begin with a brace"),
    "header beyond the file": (packed("{}", length=3), FormatError, "header of 3 bytes"),
    "header of 2^63": (packed("{}", length=1 << 63), FormatError, "does not fit"),
    "header over the cap": (packed("{" + " " * (9 << 20)), FormatError, "at most 8388608 are read"),
    "1.5 million empty tensors": (MILLIONS_OF_TENSORS, FormatError, "at most 8388608 are read"),
    "70,000 empty tensors": (TOO_MANY_TENSORS, FormatError, "70000 tensors, at most 65536"),
    "a space first": (packed(" {}"), FormatError, "must begin with a brace, not b' '"),
    "a byte order mark": (packed(b"\xef\xbb\xbf{}"), FormatError, "must begin with a brace"),
    "invalid UTF-8": (packed(b'{"\xff": 1}'), FormatError, "header: not UTF-8 at byte 2"),
    "no JSON": (packed("{tensors}"), FormatError, "header: not valid JSON"),
    "text behind the object": (packed("{} {}"), FormatError, "header: not valid JSON: Extra data"),
    "nested 200,000 deep": (packed('{"a":' + "[" * 200_000), FormatError, "nested too deeply"),
    "a huge number": (packed('{"a":' + "9" * 100_000 + "}"), FormatError, "not valid JSON"),
    "a name twice": (packed(ONE_TWICE, bytes(8)), FormatError, '"a" comes twice in one object'),
    "a field twice": (
        packed('{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}'),
        FormatError, '"dtype" comes twice',
    ),
    "a name with NUL": (described({"a\0": entry()}, bytes(8)), FormatError, "not allowed"),
    "a name with ../": (described({"../a": entry()}, bytes(8)), FormatError, "not allowed"),
    "half a surrogate": (described({"\ud800": entry()}, bytes(8)), FormatError, "not allowed"),
    "metadata that is no object": (described({"__metadata__": []}), FormatError, "only strings"),
    "metadata that is no string": (
        described({"__metadata__": {"a": 1}}), FormatError, "__metadata__: only strings by name",
    ),
    "no entry": (described({"a": None}), FormatError, "tensor a: exactly dtype, shape and"),
    "a field missing": (described({"a": {"dtype": "F32"}}), FormatError, "exactly dtype, shape"),
    "a field too many": (
        described({"a": {**entry(), "strides": [1]}}, bytes(8)), FormatError, "exactly dtype",
    ),
    "unknown dtype": (
        described({"a": entry(dtype="F33")}, bytes(8)), FormatError, "the dtype 'F33' is unknown",
    ),
    "dtype a list": (described({"a": entry(dtype=["F32"])}, bytes(8)), FormatError, "is unknown"),
    "a dtype that is not read": (
        described({"a": entry((1,), dtype="C64")}, bytes(8)), UnsupportedError, "kind C64 cannot",
    ),
    "shape a number": (
        described({"a": {**entry(), "shape": 2}}, bytes(8)), FormatError, "shape must be a list",
    ),
    "negative shape": (described({"a": entry((-2, -1))}, bytes(8)), FormatError, "from 0 up"),
    "float shape": (described({"a": entry((2.0,))}, bytes(8)), FormatError, "from 0 up"),
    "boolean shape": (described({"a": entry((2, True))}, bytes(8)), FormatError, "from 0 up"),
    "4,000 dimensions": (
        described({"a": entry((1,) * 4000, (0, 4))}, bytes(4)), UnsupportedError, "4000 dimensions",
    ),
    "dimensions whose product wraps": (
        described({"a": entry((1 << 32, 1 << 32), (0, 0))}), FormatError, "beyond any memory",
    ),
    "no bytes, but rows of 2^64": (
        described({"a": entry((0, 1 << 61), (0, 0))}), FormatError, "beyond any memory",
    ),
    "offsets of 4,300 digits": (
        packed(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[%s,%s]}}' % ((b"9" * 4300,) * 2)),
        FormatError, "data_offsets are beyond 64 bits",
    ),
    "dimensions of 100 digits": (
        described({"a": entry((0, 10**100), (0, 0))}), FormatError, "beyond any memory",
    ),
    "shape larger than its bytes": (
        described({"a": entry((3,))}, bytes(8)), FormatError, "tensor a: ends at byte",
    ),
    "shape smaller than its bytes": (
        described({"a": entry((1,))}, bytes(8)), FormatError, r"8 bytes, but F32 \[1\] takes 4",
    ),
    "offsets reversed": (described({"a": entry((0,), (8, 0))}, bytes(8)), FormatError, "ascending"),
    "negative offsets": (described({"a": entry(offsets=(-8, 0))}), FormatError, "whole numbers"),
    "float offsets": (described({"a": entry(offsets=(0.0, 8.0))}), FormatError, "whole numbers"),
    "three offsets": (described({"a": entry(offsets=(0, 4, 8))}), FormatError, "two whole"),
    "offsets of 2^63": (
        described({"a": entry(offsets=(1 << 63, (1 << 63) + 8))}), FormatError, "beyond the file's",
    ),
    "overlap": (
        described({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
        FormatError, "tensor b: overlaps a",
    ),
    "two at one place": (
        described({"a": entry(), "b": entry()}, bytes(8)), FormatError, "tensor b: overlaps a",
    ),
    "a hole in front": (
        described({"a": entry(offsets=(8, 16))}, bytes(16)), FormatError, "a hole after the header",
    ),
    "a hole between": (
        described({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
        FormatError, "tensor b: leaves a hole after a",
    ),
    "bytes behind": (
        described({"a": entry()}, bytes(11)), FormatError, "3 bytes after the last tensor",
    ),
    "cut short": (described({"a": entry()}, bytes(7)), FormatError, "tensor a: ends at byte"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "error", "message"), HOSTILE.values(), ids=HOSTILE)
def test_the_hostile_is_refused_with_a_reason(tmp_path, data, error, message):
    start = time.process_time()
    with pytest.raises(error, match=message) as raised:
        read(tmp_path, data)
    assert time.process_time() - start < 10  # it loops over nothing that a file claims
    assert str(tmp_path / "model.safetensors") in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["header of 2^63", "1.5 million empty tensors",
                                  "nested 200,000 deep", "dimensions whose product wraps",
                                  "4,000 dimensions", "cut short"])  # fmt: skip
def test_refusal_takes_no_more_memory_than_the_file(tmp_path, name):
    data, error, _ = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(error):
            read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < len(data) + 1_000_000
    finally:
        tracemalloc.stop()


# -- Shards ---------------------------------------------------------------------------------------


def write_shards(folder: Path, shards: dict[str, list[str]], weight_map: object = None) -> Path:
    for file, names in shards.items():
        save_file({name: torch.full((2,), float(len(name))) for name in names}, folder / file)
    if weight_map is None:
        weight_map = {name: file for file, names in shards.items() for name in names}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    return index


def test_shards_are_one_model(tmp_path):
    index = write_shards(tmp_path, {"1.safetensors": ["a", "bb"], "2.safetensors": ["ccc"]})
    tensors = read_sharded(index)
    assert {name: t.float32()[0] for name, t in tensors.items()} == {"a": 1, "bb": 2, "ccc": 3}


ONE, TWO = "1.safetensors", "2.safetensors"

BAD_SHARDS = {
    "a shard missing": ({ONE: ["a"]}, {"a": ONE, "b": TWO}, "2.safetensors: the file is missing"),
    "a shard outside": ({ONE: ["a"]}, {"a": "../" + ONE}, "not allowed as a name"),
    "an absolute shard": ({ONE: ["a"]}, {"a": "/tmp/" + ONE}, "not in the index's own folder"),
    "a shard on a drive": ({ONE: ["a"]}, {"a": "C:" + ONE}, "not in the index's own folder"),
    "a shard below": ({ONE: ["a"]}, {"a": "x\\" + ONE}, "not in the index's own folder"),
    "a shard of another kind": ({ONE: ["a"]}, {"a": "model.bin"}, "not a safetensors file"),
    "a shard that is no name": ({ONE: ["a"]}, {"a": 1}, "'1' is not a safetensors file"),
    "in two shards": ({ONE: ["a"], TWO: ["a", "b"]}, {"a": ONE, "b": TWO}, "a: in 2.saf.* also in"),
    "in two, not indexed": (
        {ONE: ["a", "x"], TWO: ["b", "x"]}, {"a": ONE, "b": TWO}, "x: in 2.saf.* also in",
    ),
    "in the wrong shard": (
        {ONE: ["a"], TWO: ["b"]}, {"a": TWO, "b": ONE}, "in 1.saf.* should be in 2.saf",
    ),
    "a tensor missing": ({ONE: ["a"]}, {"a": ONE, "b": ONE}, "b: should be in 1.saf"),
    "no map": ({}, [], "weight_map: an object that names a file"),
    "an empty map": ({}, {}, "weight_map: an object that names a file"),
}  # fmt: skip


@pytest.mark.parametrize(("shards", "weight_map", "message"), BAD_SHARDS.values(), ids=BAD_SHARDS)
def test_a_broken_index_is_refused_with_a_reason(tmp_path, shards, weight_map, message):
    index = write_shards(tmp_path, shards, weight_map)
    with pytest.raises(FormatError, match=message):
        read_sharded(index)


def test_an_index_that_names_a_tensor_twice_is_refused(tmp_path):
    index = write_shards(tmp_path, {"1.safetensors": ["a"]})
    index.write_text('{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}')
    with pytest.raises(FormatError, match='"a" comes twice'):
        read_sharded(index)


# -- Damage ---------------------------------------------------------------------------------------

SOUND = described(
    {"__metadata__": {"a": "b"}, "a": entry((2, 2), (0, 16)), "b": entry((3,), (16, 22), "BF16")},
    bytes(22),
)


def use(tensors) -> None:
    with np.errstate(all="ignore"):
        for tensor in tensors.values():
            assert tensor.float32().shape == tensor.shape


def test_a_file_cut_anywhere_is_refused(tmp_path):
    use(read(tmp_path, SOUND))
    for size in range(len(SOUND)):
        with pytest.raises(FormatError):
            read(tmp_path, SOUND[:size])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(range(len(SOUND))), st.integers(0, 255)), max_size=6),
    st.integers(1, len(SOUND)),
)
def test_damage_is_refused_or_harmless(tmp_path, changes, size):
    data = bytearray(SOUND)
    for at, value in changes:
        data[at] = value
    with suppress(FormatError, UnsupportedError):
        use(read(tmp_path, bytes(data[:size])))


@pytest.mark.parametrize("other", b'"{}[]:,019-.e\0')
def test_every_byte_may_be_another(tmp_path, other):
    for at in range(8, len(SOUND) - 22):
        data = bytearray(SOUND)
        data[at] = other
        with suppress(FormatError, UnsupportedError):
            use(read(tmp_path, bytes(data)))
