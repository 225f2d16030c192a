"""GGUF files: what the gguf package writes is read back, split or whole."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from pellucid.errors import FormatError
from pellucid.weights.gguf import read_gguf


def test_the_smollm2_file_reads_as_the_gguf_package_reads_it(smollm2):
    ours, theirs = read_gguf(smollm2), GGUFReader(smollm2)
    assert [t.name for t in theirs.tensors] == list(ours.tensors)
    for their in theirs.tensors:
        our = ours.tensors[their.name]
        assert our.kind.name == their.tensor_type.name
        assert our.shape == tuple(their.shape.tolist()[::-1])
        assert our.nbytes == their.n_bytes
        for some in (slice(0, 64), slice(-64, None)):
            assert bytes(our.data.ravel()[some]) == bytes(their.data.view(np.uint8).ravel()[some])
    keys = [key for key in theirs.fields if not key.startswith("GGUF.")]
    assert keys == list(ours.metadata)
    for key in keys:
        our, their = ours.metadata[key], theirs.fields[key].contents()
        assert (list(our) if isinstance(their, list) else our) == their


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_opening_a_real_model_takes_a_fraction_of_a_second(model, request):
    path = request.getfixturevalue(model)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        read_gguf(path)
        times.append(time.perf_counter() - start)
    assert min(times) < 2  # measured: 0.013 and 0.028 s; the public reader takes 2 and 9


def test_values_of_every_type_come_back(tmp_path):
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "llama")
    numbers = {"uint8": 255, "int8": -128, "uint16": 65535, "int16": -32768, "uint32": 2**32 - 1,
               "int32": -(2**31), "uint64": 2**64 - 1, "int64": -(2**63), "float32": 0.5,
               "float64": 1e300, "bool": True, "string": "naïve \0 text"}  # fmt: skip
    for name, value in numbers.items():
        getattr(writer, f"add_{name}")(f"a.{name}", value)
    writer.add_array("a.floats", [0.5, -1.0])
    writer.add_array("a.bools", [True, False])
    writer.add_array("a.strings", ["", "é", "x" * 1000])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    metadata = read_gguf(path).metadata
    assert {name: metadata[f"a.{name}"] for name in numbers} == numbers
    assert metadata["a.floats"].tolist() == [0.5, -1.0]
    assert metadata["a.bools"].tolist() == [True, False]
    assert metadata["a.bools"].dtype == bool
    assert list(metadata["a.strings"]) == ["", "é", "x" * 1000]


@pytest.mark.parametrize("alignment", [32, 64, 4096])
def test_tensors_of_many_kinds_and_shapes_come_back(tmp_path, alignment):
    random = np.random.default_rng(0)
    numbers = random.normal(size=(6, 256)).astype(np.float32)
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_custom_alignment(alignment)
    writer.add_tensor("f32", numbers.reshape(3, 2, 256))
    writer.add_tensor("f16", numbers.astype(np.float16))
    writer.add_tensor("row", numbers[0, :7])
    writer.add_tensor("ints", np.arange(5, dtype=np.int32))
    kinds = [GGMLQuantizationType[name] for name in ("Q4_0", "Q5_1", "Q8_0", "BF16", "MXFP4")]
    for kind in kinds:
        packed = gguf.quants.quantize(numbers, kind)
        writer.add_tensor(kind.name, packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensors = read_gguf(path).tensors
    np.testing.assert_array_equal(tensors["f32"].float32(), numbers.reshape(3, 2, 256))
    np.testing.assert_array_equal(tensors["f16"].float32(), numbers.astype(np.float16))
    np.testing.assert_array_equal(tensors["row"].float32(), numbers[0, :7])
    np.testing.assert_array_equal(tensors["ints"].float32(), np.arange(5))
    for kind in kinds:
        packed = gguf.quants.quantize(numbers, kind)
        np.testing.assert_array_equal(
            tensors[kind.name].float32(), gguf.quants.dequantize(packed, kind)
        )


def test_spans_of_real_tensors_follow_each_other(smollm2):
    tensors = read_gguf(smollm2).tensors.values()
    spans = sorted((t.data.ctypes.data, t.nbytes) for t in tensors)
    assert all(at + size <= after for (at, size), (after, _) in pairwise(spans))


def write_split(folder: Path, tensors: int) -> list[Path]:
    """A model whose tensors t0, t1 ... hold 0, 1 ..., one a file, by the gguf package."""
    writer = GGUFWriter(folder / "m.gguf", "llama", split_max_tensors=1)
    for number in range(tensors):
        writer.add_tensor(f"t{number}", np.full(4, number, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("m-*.gguf"))


@pytest.mark.parametrize("given_part", [0, 2])
def test_a_split_model_is_whole_whichever_part_is_given(tmp_path, given_part):
    metadata, tensors = read_gguf(write_split(tmp_path, 3)[given_part])
    assert metadata["general.architecture"] == "llama"
    assert {name: t.float32().max() for name, t in tensors.items()} == {"t0": 0, "t1": 1, "t2": 2}


def test_a_split_model_with_a_part_missing_says_which(tmp_path):
    first, second, _ = write_split(tmp_path, 3)
    second.unlink()
    with pytest.raises(FormatError, match=r"one of 3 files, of which m-00002-of-00003\.gguf"):
        read_gguf(first)


def test_a_part_under_the_name_of_another_is_refused(tmp_path):
    first, second = write_split(tmp_path, 2)
    second.write_bytes(first.read_bytes())
    with pytest.raises(FormatError, match="file 1 of 2, but it calls itself 0 of 2"):
        read_gguf(first)


def test_a_part_under_the_name_of_a_whole_model_is_refused(tmp_path):
    first, _ = write_split(tmp_path, 2)
    with pytest.raises(FormatError, match="file 0 of 1, but it calls itself 0 of 2"):
        read_gguf(first.rename(tmp_path / "whole.gguf"))


def test_a_tensor_in_two_parts_is_refused(tmp_path):
    first, second = write_split(tmp_path, 2)
    second.write_bytes(second.read_bytes().replace(b"t1", b"t0"))
    with pytest.raises(FormatError, match="tensor t0: in two files"):
        read_gguf(first)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    for path, reason in [(tmp_path / "no.gguf", "cannot be read"), (tmp_path, "not a file")]:
        with pytest.raises(FormatError, match=reason):
            read_gguf(path)
