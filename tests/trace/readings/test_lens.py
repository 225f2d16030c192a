"""The logit lens is transformers' hidden states through its own norm and output matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from pellucid.model.model import Model
from pellucid.trace import record

from ...model.hooked import MODULES, stack, values
from ...model.tiny import Tiny
from .runs import log_softmax, read, run_of


@pytest.mark.parametrize("name", MODULES)
def test_each_layer_is_read_as_transformers_reads_the_last(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str
) -> None:
    made, model = tiny(name), opened(name)
    ids, config = made.sequences[0], model.config
    seen = values(made.oracle, name, ids)
    norm, head = stack(made.oracle, name)[1], made.oracle.get_output_embeddings()
    arrays = read(run_of(model, made.checkpoint(), ids), "lens", top=4)
    following = [*ids[1:], int(made.logits[0][-1].argmax())]
    assert arrays["target_ids"].tolist() == following
    stages = ["embed", *(f"layers.{i}.resid_post" for i in range(config.layers))]
    for layers, site in enumerate(stages):
        with torch.no_grad():
            logits = head(norm(torch.from_numpy(seen[site])))
        cap = config.logit_softcap
        truth = log_softmax((torch.tanh(logits / cap) * cap if cap else logits).numpy())
        expected = truth[np.arange(len(ids)), following]
        np.testing.assert_allclose(arrays["logprobs"][layers], expected, atol=2e-3)
        np.testing.assert_allclose(
            arrays["top_logprobs"][layers], -np.sort(-truth)[:, :4], atol=2e-3
        )
        ranks = (truth > expected[:, None]).sum(1) + 1
        assert (arrays["ranks"][layers] == ranks).mean() > 0.9, "but for near ties"


def test_how_the_text_is_cut_into_passes_does_not_matter(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny("gemma3")
    run = run_of(opened("gemma3"), made.checkpoint(), made.sequences[0])
    whole = read(run, "lens", top=1)
    monkeypatch.setattr(record, "_ROWS_AT_ONCE", 8)
    cut = read(run, "lens", top=1)
    for name, array in whole.items():
        np.testing.assert_allclose(cut[name], array, atol=1e-3, err_msg=name)
