"""The reading of next tokens is transformers' log-softmax, of what came and what was likelier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pellucid.errors import ParameterError
from pellucid.model.changes import zero
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.trace import record
from pellucid.trace.readings.next import TEMPERATURES

from ...model.tiny import Tiny
from .runs import log_softmax, read, run_of

FAMILIES = ["llama", "gemma3, soft cap", "gpt2"]


@pytest.mark.parametrize("name", FAMILIES)
def test_surprise_and_rank_are_those_of_transformers(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], name: str
) -> None:
    made = tiny(name)
    ids, truth = made.sequences[0], log_softmax(made.logits[0])
    arrays = read(run_of(opened(name), made.checkpoint(), ids), "next", top=7)
    following = truth[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose(arrays["logprobs"][:-1], following, atol=1e-3)
    assert np.isnan(arrays["logprobs"][-1]), "nothing comes after the last token"
    ranks = (truth[:-1] > following[:, None]).sum(1) + 1
    assert (arrays["ranks"][:-1] == ranks).mean() > 0.95, "but for near ties"
    assert arrays["ranks"][-1] == 0
    np.testing.assert_allclose(arrays["entropy"], -(np.exp(truth) * truth).sum(1), atol=1e-3)
    np.testing.assert_allclose(arrays["top_logprobs"], -np.sort(-truth)[:, :7], atol=1e-3)
    chosen = np.take_along_axis(truth, arrays["top_ids"], 1)
    np.testing.assert_allclose(arrays["top_logprobs"], chosen, atol=1e-3)


def test_a_temperature_is_exact_for_the_kept_tokens(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model]
) -> None:
    made = tiny("llama")
    arrays = read(run_of(opened("llama"), made.checkpoint(), made.sequences[0]), "next", top=5)
    for column in (0, 6, 9, 19):
        heated = log_softmax(made.logits[0] / TEMPERATURES[column])
        scaled = arrays["top_logprobs"] / TEMPERATURES[column]
        ours = scaled - arrays["tempered"][:, column, None]
        truth = np.take_along_axis(heated, arrays["top_ids"], 1)
        np.testing.assert_allclose(ours, truth, atol=2e-3 / TEMPERATURES[column])


def test_how_the_text_is_cut_into_passes_does_not_matter(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny("mistral")
    run = run_of(opened("mistral"), made.checkpoint(), made.sequences[0])
    whole = read(run, "next", top=5)
    monkeypatch.setattr(record, "_ROWS_AT_ONCE", 7)
    cut = read(run, "next", top=5)
    for name, array in whole.items():
        np.testing.assert_allclose(cut[name], array, atol=1e-4, err_msg=name)


def test_the_run_is_read_as_it_was_changed(
    tiny: Callable[[str], Tiny], opened: Callable[[str], Model]
) -> None:
    made, model = tiny("llama"), opened("llama")
    edits = [Edit("final_norm", zero)]
    arrays = read(run_of(model, made.checkpoint(), made.sequences[0], edits), "next", top=5)
    np.testing.assert_allclose(arrays["entropy"], np.log(model.config.vocab_size), rtol=1e-5)


@pytest.mark.parametrize("top", [0, 1001, "3"])
def test_a_top_that_is_none_is_refused(tiny: Callable[[str], Tiny], top: object) -> None:
    made = tiny("llama")
    run = run_of(made.open("reference"), made.checkpoint(), made.sequences[0])
    with pytest.raises(ParameterError, match="top"):
        read(run, "next", top=top)
