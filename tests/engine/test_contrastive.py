"""Contrastive search: every step is its formula, and no state is computed twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pellucid.choose.parameters import parameters
from pellucid.choose.strategies.contrastive import Past
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.errors import ParameterError

from .toy import (
    ByteTokenizer,
    Floats,
    ToyConfig,
    ToyModel,
    greedy_after,
    logits_after,
    probs_after,
    residual_after,
)

PROMPT = [7, 8, 9]


def state(ids: Sequence[int]) -> Floats:
    row = residual_after(tuple(ids), "final_norm").astype(np.float64)
    return row / np.linalg.norm(row)


def searched(
    prompt: Sequence[int],
    count: int,
    alpha: float,
    k: int,
    distribution: Callable[[Sequence[int]], npt.NDArray[np.float64]] = probs_after,
) -> tuple[list[int], list[list[tuple[int, float]]]]:
    """The answer by the definition, and the candidates of each step with their scores."""
    ids, tried = list(prompt), []
    for _ in range(count):
        probs = distribution(ids)
        past = [state(ids[: n + 1]) for n in range(len(ids))]
        scores = {}
        for token in np.argsort(-probs)[:k].tolist():
            likeness = max(float(state([*ids, token]) @ other) for other in past)
            scores[token] = (1 - alpha) * float(probs[token]) - alpha * likeness
        tried.append(list(scores.items()))
        ids.append(max(scores, key=lambda token: scores[token]))
    return ids[len(prompt) :], tried


def search(model: ToyModel, prompt: Sequence[int] = PROMPT, **given: Any) -> Generation:
    chosen = parameters(**({"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 12} | given))
    return Engine(model).generate([Request(prompt, chosen)])[0]


@pytest.mark.parametrize(("alpha", "k"), [(0.6, 4), (0.1, 2), (0.9, 16), (1.0, 8), (0.001, 5)])
def test_each_token_is_the_best_of_all_candidates_by_the_formula(alpha: float, k: int) -> None:
    for prompt in (PROMPT, [1], [5, 5, 5, 5]):
        answer = search(ToyModel(), prompt, penalty_alpha=alpha, top_k=k)
        ids, tried = searched(prompt, 12, alpha, k)
        assert list(answer.ids) == ids
        assert answer.tree is not None
        considered = [(node.token, node.score) for node in answer.tree.nodes[1:]]
        flat = [candidate for step in tried for candidate in step]
        assert [token for token, _ in considered] == [token for token, _ in flat]
        np.testing.assert_allclose([s for _, s in considered], [s for _, s in flat], atol=1e-6)


def test_without_weight_on_likeness_it_would_be_greedy() -> None:
    assert list(search(ToyModel(), penalty_alpha=1e-9).ids) == greedy_after(PROMPT, 12)
    assert list(search(ToyModel()).ids) != greedy_after(PROMPT, 12)


def test_the_pass_of_the_candidates_is_the_next_steps_too() -> None:
    model = ToyModel()
    search(model, max_new_tokens=5)
    assert model.passes == [[3], *[[1] * 4] * 5]


def test_likeness_is_the_greatest_cosine_with_anything_before() -> None:
    random = np.random.default_rng(1)
    states = random.normal(size=(700, 16)).astype(np.float32)
    past = Past(states[:3])
    for row in states[3:]:
        past.append(row[np.newaxis])
    new = random.normal(size=(5, 16)).astype(np.float32)
    cosines = states @ new.T
    cosines /= np.linalg.norm(states, axis=1)[:, np.newaxis] * np.linalg.norm(new, axis=1)
    np.testing.assert_allclose(past.likeness(new), cosines.max(axis=0), rtol=1e-5)
    np.testing.assert_allclose(past.likeness(states[::50]), 1, rtol=1e-5)  # each is among them
    assert past.likeness(np.zeros((1, 16), np.float32)) == [0]


def test_filters_come_before_the_candidates_are_chosen() -> None:
    allowed = [40, 41, 42]
    answer = search(ToyModel(), allowed_token_ids=allowed, max_new_tokens=1, top_k=8)
    assert answer.tree is not None
    assert sorted(node.token for node in answer.tree.nodes[1:]) == allowed
    logits = logits_after(tuple(PROMPT))[allowed].astype(np.float64)
    probs = np.exp(logits) / np.exp(logits).sum()
    (token,) = answer.tokens
    assert token.processed_prob == pytest.approx(probs[allowed.index(token.id)], rel=1e-5)
    logprobs = {node.token: node.logprob for node in answer.tree.nodes[1:]}
    own = np.log(probs_after(PROMPT)[allowed])
    np.testing.assert_allclose([logprobs[t] for t in allowed], own, rtol=1e-5)


def test_a_second_stream_goes_along_with_the_candidate_that_is_taken() -> None:
    def guided(ids: Sequence[int]) -> npt.NDArray[np.float64]:
        both = [np.log(probs_after(of)) for of in (ids, ids[len(PROMPT) - 1 :])]
        weights: npt.NDArray[np.float64] = np.exp(both[1] + 2 * (both[0] - both[1]))
        return weights / weights.sum()

    answer = search(ToyModel(), guidance_scale=2.0)
    assert list(answer.ids) == searched(PROMPT, 12, 0.6, 4, guided)[0]
    assert list(answer.ids) != list(search(ToyModel()).ids)


def test_the_ledger_says_what_likeness_did_to_the_candidates() -> None:
    answer = search(ToyModel(), repetition_penalty=1.5)
    assert answer.tree is not None
    nodes = iter(answer.tree.nodes[1:])
    for token in answer.tokens:
        ledger = token.ledger
        assert ledger is not None
        assert [entry.name for entry in ledger.entries] == [
            "model", "repetition_penalty", "penalty_alpha",
        ]  # fmt: skip
        own, filtered, last = ledger.entries
        tried = {node.token: node for node in islice(nodes, 4)}
        assert (last.left, ledger.token) == (4, token.id)
        assert [node.fate for node in tried.values()].count("said") == 1
        assert tried[token.id].fate == "said"
        for place, candidate in enumerate(ledger.ids.tolist()):
            if candidate in tried:
                assert last.scores[place] == pytest.approx(tried[candidate].score, abs=1e-6)
                assert own.probs[place] == pytest.approx(np.exp(tried[candidate].logprob))
        (place,) = np.flatnonzero(ledger.ids == token.id)
        assert token.processed_prob == pytest.approx(filtered.probs[place])
        assert last.ranks[ledger.ids.tolist().index(token.id)] == 1


def test_it_is_the_same_in_company_as_alone() -> None:
    engine = Engine(ToyModel(ToyConfig(context_length=900)), ByteTokenizer())
    asked: list[dict[str, Any]] = [
        {"penalty_alpha": 0.6, "top_k": 4},
        {"num_beams": 3},
        {"dola_layers": "high", "top_p": 0.9, "seed": 4, "num_return_sequences": 2},
        {"penalty_alpha": 0.3, "top_k": 7, "guidance_scale": 2.0},
        {"top_k": 5, "seed": 3},
        {"dola_layers": [1, 3], "repetition_penalty": 1.4},
        {"prompt_lookup_num_tokens": 3},
    ]
    prompts = [[7, 8], [1, 2, 3], [9] * 40, [1 + i % 200 for i in range(600)], [4], [6, 6], [3]]
    requests = [
        Request(prompt, parameters(max_new_tokens=15, **given))
        for prompt, given in zip(prompts, asked, strict=True)
    ]
    alone = [engine.generate([request])[0] for request in requests]
    assert engine.generate(requests) == alone


def test_a_conversation_goes_on_from_what_was_said() -> None:
    engine = Engine(ToyModel())
    branch = engine.new_branch()
    chosen = parameters(penalty_alpha=0.6, top_k=4, max_new_tokens=6)
    first = engine.generate([Request(PROMPT, chosen, branch=branch)])[0]
    assert branch.ids == [*PROMPT, *first.ids]
    longer = [*PROMPT, *first.ids, 11, 12]
    again = engine.generate([Request(longer, chosen, branch=branch)])[0]
    assert again == engine.generate([Request(longer, chosen)])[0]
    plain = [*longer, *again.ids, 13]
    greedy = engine.generate([Request(plain, parameters(max_new_tokens=6), branch=branch)])[0]
    assert list(greedy.ids) == greedy_after(plain, 6)


def test_it_ends_where_the_answer_ends() -> None:
    ids, _ = searched(PROMPT, 12, 0.6, 4)
    answer = search(ToyModel(), stop_token_ids=[ids[5]])
    assert (list(answer.ids), answer.finish_reason) == (ids[:5], "stop")
    full = search(ToyModel(ToyConfig(context_length=10)), max_new_tokens=50)
    assert (list(full.ids), full.finish_reason) == (ids[:7], "length")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"num_beams": 2}, "penalty_alpha: excludes num_beams"),
        ({"dola_layers": "low"}, "penalty_alpha: excludes dola_layers"),
        ({"prompt_lookup_num_tokens": 2}, "penalty_alpha: excludes prompt_lookup_num_tokens"),
    ],
)
def test_it_goes_together_with_no_other_strategy(other: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        search(ToyModel(), **other)
