"""Contrastive search and DoLa with real models: the answers of transformers, token for token."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pellucid.backends import backend
from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.model.model import Model
from pellucid.weights.checkpoint import open_checkpoint

GOLDEN = Path(__file__).parent.parent / "choose" / "golden"
CASES: list[dict[str, Any]] = [
    case
    for name in ("contrastive", "dola")
    for case in json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
]
# In these the token that leads has a probability within 0.02% of the tenth at which DoLa cuts: the
# rounding of packed weights decides, so the float32 backend answers.
AT_THE_EDGE = [
    {"dola_layers": "low", "repetition_penalty": 1.2},
    {"dola_layers": [3, 9, 14], "repetition_penalty": 1.2},
]


@pytest.fixture(scope="module")
def engine(smollm2: Path, gemma3: Path) -> Callable[[str, str], Engine]:
    files = {"smollm2": smollm2, "gemma3": gemma3}

    @cache
    def opened(model: str, computes: str) -> Engine:
        return Engine(Model.open(open_checkpoint(files[model]), backend(computes)))

    return opened


def described(case: dict[str, Any]) -> str:
    given = "-".join(f"{name}={value}" for name, value in case["parameters"].items())
    return f"{case['model']}-{case['prompt'][:3]}-{given}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=described)
def test_the_answer_is_that_of_transformers(
    case: dict[str, Any], engine: Callable[[str, str], Engine]
) -> None:
    given = dict(case["parameters"])
    end, most = given.pop("eos_token_id"), given.pop("max_new_tokens")
    edge = case["prompt"].startswith("The lighthouse") and given in AT_THE_EDGE
    chosen = parameters(max_new_tokens=most, stop_token_ids=end, **given)
    asked = Request(case["prompt_ids"], chosen)
    said = engine(case["model"], "reference" if edge else "native").generate([asked])[0].ids
    assert [*said, end][: len(case["outputs"][0])] == case["outputs"][0]
