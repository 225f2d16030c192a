"""Who lies nearest, found piece by piece, is who a full search finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.model import embeddings
from pellucid.model.embeddings import Embeddings
from pellucid.weights.tensor import Floats, Tensor


@pytest.fixture
def rows() -> Floats:
    return np.random.default_rng(0).normal(size=(500, 24)).astype(np.float32)


@pytest.mark.parametrize("at_once", [1 << 22, 24 * 37, 1])
def test_the_nearest_are_those_of_a_full_search(
    rows: Floats, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "_NUMBERS_AT_ONCE", at_once)
    sought = rows[:9] + 0.3
    ids, cosines = Embeddings(Tensor.of("e", rows)).nearest(sought, 7, [[i, 3] for i in range(9)])
    every = torch.cosine_similarity(torch.tensor(sought)[:, None], torch.tensor(rows)[None], dim=-1)
    every[range(9), range(9)] = every[:, 3] = -2
    truth = every.topk(7)
    assert (ids == truth.indices.numpy()).all()
    np.testing.assert_allclose(cosines, truth.values.numpy(), atol=1e-6)


def test_a_vector_of_zeros_is_like_no_other(rows: Floats) -> None:
    rows[7] = 0
    near = Embeddings(Tensor.of("e", rows))
    _, cosines = near.nearest(near.rows([7]), 3)
    assert (cosines == 0).all()


def test_the_mean_is_that_of_all_rows(rows: Floats) -> None:
    np.testing.assert_allclose(Embeddings(Tensor.of("e", rows)).mean(), rows.mean(0), atol=1e-6)
