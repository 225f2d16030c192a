"""A packed matrix holds the tensor's numbers, or is not packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.backends import _native
from pellucid.backends.native import Native
from pellucid.weights.checkpoint import open_checkpoint
from pellucid.weights.kinds import GGML
from pellucid.weights.tensor import Tensor

from .blocks import KINDS, random_matrix
from .plans import packed, unpacked


@pytest.fixture(scope="module")
def one() -> Any:
    return _native.Engine(2, "")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rows", [1, 16, 37])
def test_every_number_is_the_tensors_to_the_last_bit(one: Any, name: str, rows: int) -> None:
    tensor = random_matrix(name, rows, rows, 512)
    np.testing.assert_array_equal(unpacked(packed(one, tensor)), tensor.float32())


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_matrices_of_real_files_are_exact(
    one: Any, name: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(name)
    matrices = [t for t in open_checkpoint(path).tensors.values() if len(t.shape) == 2]
    for tensor in {t.kind.name: t for t in matrices}.values():
        some = tensor.take(slice(0, 300))
        np.testing.assert_array_equal(unpacked(packed(one, some)), some.float32())


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"])
@pytest.mark.parametrize("scale", [6e-8, -6e-8, 65504.0, 0.0])
def test_nested_scales_are_exact_at_the_ends_of_float16(one: Any, name: str, scale: float) -> None:
    tensor = random_matrix(name, 3, 16, 256)
    for at in tensor.kind.scales or ():
        tensor.data[:, at : at + 2] = np.array([scale], "<f2").view(np.uint8)
    np.testing.assert_array_equal(unpacked(packed(one, tensor)), tensor.float32())


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL"])
@pytest.mark.parametrize("scale", [6e-8, -6e-8, 65504.0, 0.0])
def test_scales_are_exact_at_the_ends_of_float16(one: Any, name: str, scale: float) -> None:
    tensor = random_matrix(name, 4, 20, 64)
    for at in tensor.kind.scales or ():
        tensor.data[17, at : at + 2] = np.array([scale], "<f2").view(np.uint8)
    np.testing.assert_array_equal(unpacked(packed(one, tensor)), tensor.float32())


@pytest.mark.parametrize("exponent", [0, 1, 60, 103, 140, 200, 252])
def test_mxfp4_scales_of_any_size_are_exact(exponent: int) -> None:
    tensor = random_matrix("MXFP4", 5, 16, 64)
    tensor.data[:, 0] = exponent
    np.testing.assert_array_equal(unpacked(Native(1).weight(tensor)), tensor.float32())


def test_a_scale_beyond_float16_is_kept_in_float32(one: Any) -> None:
    tensor = random_matrix("MXFP4", 6, 16, 64)
    tensor.data[3, 0] = 200
    assert packed(one, tensor) is None
    np.testing.assert_array_equal(unpacked(Native(1).weight(tensor)), tensor.float32())


@pytest.mark.parametrize("name", KINDS)
def test_a_packed_matrix_takes_hardly_more_room_than_the_file(one: Any, name: str) -> None:
    tensor = random_matrix(name, 7, 64, 1024)
    widened = {"IQ4_NL": 8 / 4, "IQ4_XS": 8 / 4, "MXFP4": 8 / 4, "Q2_K": 4 / 2, "Q3_K": 4 / 3}
    assert packed(one, tensor).bytes <= 1.06 * widened.get(name, 1) * tensor.data.nbytes


def test_kinds_the_kernels_do_not_know_become_float32() -> None:
    kind = next(kind for kind in GGML.values() if kind.name == "I16")
    data = np.arange(-24, 24, dtype="<i2").reshape(3, 16).view(np.uint8)
    tensor = Tensor("whole", (3, 16), kind, data)
    np.testing.assert_array_equal(unpacked(Native(1).weight(tensor)), tensor.float32())


def test_rows_that_are_not_next_to_each_other_are_found(one: Any) -> None:
    tensor = random_matrix("Q4_1", 7, 40, 64)
    every_other = one.pack("Q4_1", tensor.data[::2], 20, 64)
    np.testing.assert_array_equal(unpacked(every_other), tensor.float32()[::2])


@pytest.mark.parametrize(("kind", "shape", "rows", "columns"), [
    ("Q4_1", (2, 40), 3, 64),       # fewer rows than said
    ("Q4_1", (2, 39), 2, 64),       # a byte short
    ("Q4_1", (2, 20), 2, 33),       # not whole blocks
    ("Q4_K", (2, 144), 2, 128),
    ("Q9_9", (2, 40), 2, 64),
    ("F32", (0, 0), -1, 1),
    ("F32", (1, 0), 1, 0),
])  # fmt: skip
def test_data_that_is_not_of_the_shape_is_refused(
    one: Any, kind: str, shape: tuple[int, int], rows: int, columns: int
) -> None:
    with pytest.raises(ValueError, match="kind and shape"):
        one.pack(kind, np.zeros(shape, np.uint8), rows, columns)


def test_a_matrix_of_no_rows_is_one(one: Any) -> None:
    assert one.pack("Q4_1", np.zeros((0, 40), np.uint8), 0, 64).shape == (0, 64)


def test_a_row_that_is_not_there_is_refused(one: Any) -> None:
    matrix = packed(one, random_matrix("F16", 8, 5, 7))
    for row, width in [(5, 7), (-1, 7), (0, 6)]:
        with pytest.raises(IndexError):
            matrix.row(row, np.empty(width, np.float32))
    with pytest.raises(TypeError):  # would be written into a copy
        matrix.row(0, np.empty(7, np.float64))
