"""Packing on load gives the blocks that GGML's own functions give."""

import gguf
import numpy as np
import pytest

from pellucid.weights.quantise import quantised
from pellucid.weights.tensor import Tensor


def matrix(rows: int, columns: int, seed: int = 0, smallest: int = -4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal((rows, columns)).astype(np.float32)
    numbers *= 10.0 ** rng.integers(smallest, 4, (rows, 1)).astype(np.float32)
    numbers[0] = 0  # a block without range
    numbers[1] = 0.25
    return numbers


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1"])
@pytest.mark.parametrize("shape", [(7, 32), (40, 576), (5000, 64)])
def test_blocks_equal_those_of_ggml(kind, shape):
    numbers = matrix(*shape)
    packed = quantised(Tensor.of("m", numbers), kind)
    oracle = gguf.quants.quantize(numbers, gguf.GGMLQuantizationType[kind])
    assert packed.shape == shape
    assert packed.kind.name == kind
    np.testing.assert_array_equal(packed.data, oracle.reshape(packed.data.shape))


@pytest.mark.parametrize(("kind", "steps"), [("Q8_0", 127), ("Q4_1", 15)])
def test_a_number_moves_by_half_a_step_of_its_block(kind, steps):
    numbers = matrix(64, 128, seed=1, smallest=-1)[2:]  # steps that float16 holds in full
    blocks = numbers.reshape(-1, 32)
    reach = np.abs(blocks).max(1) if kind == "Q8_0" else np.ptp(blocks, 1)
    moved = np.abs(quantised(Tensor.of("m", numbers), kind).float32() - numbers).reshape(-1, 32)
    # float16 steps and minima add a 2**-11 of their own
    slack = np.abs(blocks).max(1) * 2.0**-10 * 1.5
    assert (moved.max(1) <= reach / steps / 2 * 1.01 + slack).all()


def test_rows_that_are_no_whole_blocks_stay_as_they_are():
    tensor = Tensor.of("m", np.ones((4, 24), np.float32))
    assert quantised(tensor, "Q8_0") is tensor
