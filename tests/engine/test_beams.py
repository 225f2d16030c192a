"""Beams and the best of n on a toy model, whose every distribution is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np
import pytest

from pellucid.choose.ledger import Ledger
from pellucid.choose.parameters import parameters
from pellucid.choose.strategies import Say
from pellucid.choose.strategies.picker import Picker
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.errors import ParameterError

from .toy import END, ByteDecoder, ByteTokenizer, Floats, ToyModel, logits_after, probs_after

PROMPT = [7, 8]
FEW = (END, 1, 2, 3)


def only(*tokens: int) -> Callable[[tuple[int, ...], Floats], Floats]:
    """What makes all other tokens impossible."""

    def spoil(_ids: tuple[int, ...], logits: Floats) -> Floats:
        left = np.full_like(logits, -np.inf)
        left[list(tokens)] = logits[list(tokens)]
        return left

    return spoil


def logprobs_after(ids: tuple[int, ...], tokens: tuple[int, ...] = FEW) -> dict[int, float]:
    """The log-probabilities of the few tokens, by definition."""
    logits = logits_after(ids)[list(tokens)].astype(np.float64)
    return dict(zip(tokens, logits - np.log(np.exp(logits).sum()), strict=True))


def all_answers(prompt: list[int], length: int) -> dict[tuple[int, ...], float]:
    """Every answer of the few tokens up to a length, END included, with its log-probability."""
    found, grown = {}, {(): 0.0}
    for _ in range(length):
        longer = {
            (*ids, token): total + logprob
            for ids, total in grown.items()
            for token, logprob in logprobs_after((*prompt, *ids)).items()
        }
        found |= {ids: total for ids, total in longer.items() if ids[-1] == END}
        grown = {ids: total for ids, total in longer.items() if ids[-1] != END}
    return found | grown


def ask(prompt: list[int], *tokens: int, **given: Any) -> Generation:
    engine = Engine(ToyModel(spoil=only(*tokens)) if tokens else ToyModel(), ByteTokenizer())
    return engine.generate([Request(prompt, parameters(**given))])[0]


def answers(generation: Generation) -> list[Generation]:
    return [generation, *generation.alternatives]


# Beam search


@pytest.mark.parametrize("power", [1.0, 0.0, 0.5, 2.0, -1.0])
def test_beams_wide_enough_find_what_an_exhaustive_search_finds(power: float) -> None:
    for prompt in ([7, 8], [9], [4, 5, 6]):
        every = all_answers(prompt, 3)
        ranked = sorted(((t / len(ids) ** power, ids) for ids, t in every.items()), reverse=True)
        found = ask(
            prompt, *FEW,
            num_beams=64, num_return_sequences=10, max_new_tokens=3, length_penalty=power,
        )  # fmt: skip
        expected = [tuple(t for t in ids if t != END) for _, ids in ranked[:10]]
        assert [answer.ids for answer in answers(found)] == expected
        scores = [answer.score for answer in answers(found)]
        assert scores == pytest.approx([score for score, _ in ranked[:10]], rel=1e-5)
        ends = [answer.finish_reason for answer in answers(found)]
        assert ends == ["stop" if ids[-1] == END else "length" for _, ids in ranked[:10]]


def test_a_search_that_finds_fewer_answers_than_were_asked_for_returns_those() -> None:
    found = ask(PROMPT, 1, 2, num_beams=4, num_return_sequences=4, max_new_tokens=1)
    assert sorted(answer.ids for answer in answers(found)) == [(1,), (2,)]


def test_tokens_say_what_the_model_and_what_the_filters_made_of_them() -> None:
    found = ask(PROMPT, *FEW, num_beams=3, max_new_tokens=3, repetition_penalty=2.0)
    seen = list(PROMPT)
    for token in found.tokens:
        logprobs = logprobs_after(tuple(seen))
        assert token.logprob == pytest.approx(logprobs[token.id], abs=1e-5)
        assert token.rank == 1 + sum(other > logprobs[token.id] for other in logprobs.values())
        processed = {t: p * (2.0 if t in seen else 1.0) for t, p in logprobs.items()}
        weights = {t: np.exp(score) for t, score in processed.items()}
        share = weights[token.id] / sum(weights.values())
        assert token.processed_prob == pytest.approx(share, rel=1e-5)
        assert token.ledger is not None
        assert [entry.name for entry in token.ledger.entries] == ["model", "repetition_penalty"]
        seen.append(token.id)


def test_the_tree_holds_what_was_considered_and_why_it_ended() -> None:
    found = ask(PROMPT, num_beams=3, num_return_sequences=2, max_new_tokens=4)
    tree = found.tree
    assert tree is not None
    assert len(tree.nodes) == 1 + 4 * 6  # twice as many candidates as beams in every step
    said = {
        tuple(tree.path(i))
        for i, node in enumerate(tree.nodes)
        if node.fate == "said" and all(child.parent != i for child in tree.nodes)
    }
    assert said == {answer.ids for answer in answers(found)}
    assert {node.fate for node in tree.nodes[1:]} <= {"said", "pruned", "finished", None}
    for i, node in enumerate(tree.nodes[1:], 1):
        path = (*PROMPT, *tree.path(i)[:-1])
        assert node.logprob == pytest.approx(np.log(probs_after(path)[node.token]), abs=1e-5)
        assert node.score == pytest.approx(tree.nodes[node.parent].score + node.logprob, abs=1e-5)
        follows = any(child.parent == i for child in tree.nodes)
        assert follows or node.fate is not None


FILTERED: list[dict[str, Any]] = [
    {"num_beam_groups": 2, "diversity_penalty": 0.2},
    {"logit_bias": {9: 5.0}},
    {"temperature": 0.5, "top_k": 9, "seed": 2},
    {"best_of": 4, "num_beams": None, "temperature": 0.5, "top_k": 9, "seed": 2},
]


@pytest.mark.parametrize("given", FILTERED, ids=" ".join)
def test_the_tree_tells_the_models_own_probabilities_whatever_the_filters_make_of_them(
    given: dict[str, Any],
) -> None:
    tree = ask(PROMPT, **{"num_beams": 4, "max_new_tokens": 4} | given).tree
    assert tree is not None
    added = []
    for i, node in enumerate(tree.nodes[1:], 1):
        path = (*PROMPT, *tree.path(i)[:-1])
        assert node.logprob == pytest.approx(np.log(probs_after(path)[node.token]), abs=1e-5)
        added.append(node.score - tree.nodes[node.parent].score)
    own = [node.logprob for node in tree.nodes[1:]]
    assert not np.allclose(added, own)  # the score is of what is left


def test_a_beam_after_which_the_filters_leave_nothing_is_forbidden_and_the_others_go_on() -> None:
    after_one = [[1, token] for token in FEW]
    found = ask(PROMPT, *FEW, num_beams=4, bad_words_ids=after_one, max_new_tokens=4)
    assert found.tree is not None
    forbidden = [i for i, node in enumerate(found.tree.nodes) if node.fate == "forbidden"]
    assert forbidden
    assert {found.tree.nodes[i].token for i in forbidden} == {1}
    assert all(node.parent not in forbidden for node in found.tree.nodes)
    assert 1 not in found.ids[:-1]


def test_a_search_that_finds_nothing_names_the_filter() -> None:
    with pytest.raises(ParameterError, match="no_repeat_ngram_size: leaves no token"):
        ask(PROMPT, 1, 2, num_beams=2, no_repeat_ngram_size=1, max_new_tokens=9)


def test_beams_are_shown_when_the_search_is_over() -> None:
    engine = Engine(ToyModel(), ByteTokenizer())
    given = parameters(num_beams=3, num_return_sequences=3, max_new_tokens=5)
    running = engine.start(Request(PROMPT, given))
    events = [engine.step([running]) for _ in range(5)]
    assert events[:4] == [[]] * 4
    final = events[4][-1].generation
    assert final is not None
    for line, answer in enumerate(answers(final)):
        assert "".join(event.text for event in events[4] if event.line == line) == answer.text


def test_beams_end_at_stop_texts_and_at_the_least_length() -> None:
    letters = (*b"ab", END)
    found = ask(PROMPT, *letters, num_beams=8, num_return_sequences=8, stop="ab", max_new_tokens=5)
    assert any(answer.finish_reason == "stop" for answer in answers(found))
    assert not any("ab" in answer.text for answer in answers(found))
    longer = ask(PROMPT, *FEW, num_beams=4, num_return_sequences=4, min_new_tokens=3)
    assert min(len(answer.ids) for answer in answers(longer)) >= 3


@pytest.mark.parametrize(
    "given",
    [
        {"num_beams": 3},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1},
        {"num_beams": 3, "force_words_ids": [[5, 6, 7, 8]]},  # longer than the answer
    ],
)
def test_a_stop_text_that_never_comes_changes_no_search(given: dict[str, Any]) -> None:
    engine = Engine(ToyModel(), ByteTokenizer())
    alone, beside = (
        engine.generate([Request([1, 2, 3], parameters(max_new_tokens=3, **given, **stop))])[0]
        for stop in ({}, {"stop": "never"})
    )
    assert alone.ids
    assert beside == alone


def test_a_score_that_no_json_can_hold_is_null() -> None:
    found = ask(PROMPT, 1, 2, best_of=2, do_sample=True, forced_bos_token_id=9, max_new_tokens=3)
    assert found.score == -np.inf  # the model itself would never have begun so
    assert found.to_dict()["score"] is None


def test_the_ledgers_of_beams_that_are_pruned_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ref[Ledger]] = []
    pick = Picker.account

    def noted(*args: Any) -> Say:
        say = pick(*args)
        assert say.ledger
        made.append(ref(say.ledger))
        return say

    monkeypatch.setattr(Picker, "account", noted)
    alive = []

    def watched(_ids: tuple[int, ...], logits: Floats) -> Floats:
        alive.append(sum(ledger() is not None for ledger in made))
        return logits

    given = parameters(num_beams=4, max_new_tokens=40)
    Engine(ToyModel(spoil=watched)).generate([Request(PROMPT, given)])
    assert alive[-1] < 4 * 40 / 2  # beams have most of their past in common


def test_beams_read_each_token_of_a_text_once_for_stops() -> None:
    read: list[int] = []

    class Counting(ByteDecoder):
        def push(self, token_id: int) -> str:
            read.append(token_id)
            return super().push(token_id)

    class Counted(ByteTokenizer):
        def stream(self) -> ByteDecoder:
            return Counting()

    given = parameters(num_beams=2, max_new_tokens=30, stop="never")
    answer = Engine(ToyModel(), Counted()).generate([Request(PROMPT, given)])[0]
    assert answer.tree
    assert len(read) <= len(answer.tree.nodes) + len(answer.ids)


def test_each_id_is_fed_once_however_many_beams_share_it() -> None:
    model = ToyModel()
    given = parameters(num_beams=4, max_new_tokens=6)
    Engine(model).generate([Request([1, 2, 3], given)])
    assert model.passes == [[3], *([[1] * 4] * 5)]


# Diverse and constrained beams


def test_groups_without_common_ground_are_searches_of_their_own() -> None:
    """A penalty that outweighs everything makes the second group avoid what the first says."""
    found = ask(
        PROMPT, 1, 2, 3, 4,
        num_beams=2, num_beam_groups=2, diversity_penalty=500, num_return_sequences=2,
        max_new_tokens=6,
    )  # fmt: skip
    first, second = (answer.ids for answer in answers(found))
    assert all(a != b for a, b in zip(first, second, strict=True))
    alone = Engine(ToyModel(spoil=only(1, 2, 3, 4)), ByteTokenizer())
    greedy = alone.generate([Request(PROMPT, parameters(max_new_tokens=6))])[0]
    assert greedy.ids in (first, second)


def test_forced_phrases_stand_in_the_answer() -> None:
    phrases = [[90, 91, 92], [[50], [60, 61]]]
    for first in range(1, 12):
        text = bytes(ask([first], num_beams=4, max_new_tokens=12, force_words_ids=phrases).ids)
        assert bytes([90, 91, 92]) in text
        assert bytes([50]) in text or bytes([60, 61]) in text


def test_what_the_prompt_holds_is_not_forced_again() -> None:
    forced = ask([90, 91, 5], num_beams=3, max_new_tokens=6, force_words_ids=[[90, 91]])
    assert forced.ids == ask([90, 91, 5], num_beams=3, max_new_tokens=6).ids


def test_answers_without_the_phrases_come_too_where_fewer_beams_have_them_than_are_wanted() -> None:
    given = {"num_beams": 4, "max_new_tokens": 12, "force_words_ids": [[90, 91, 92]]}
    found = answers(ask(PROMPT, num_return_sequences=4, **given))
    assert 0 < sum(bytes([90, 91, 92]) in bytes(answer.ids) for answer in found) < 4


def test_a_forced_text_stands_as_it_is_or_after_a_space() -> None:
    found = ask(PROMPT, *b" xyz", num_beams=4, max_new_tokens=8, force_words=["xy", " z"])
    assert "xy" in found.text
    assert " z" in found.text


def test_constrained_beams_wide_enough_find_the_likeliest_answer_with_the_phrase() -> None:
    every = all_answers(PROMPT, 4)
    holding = {
        ids: total / len(ids)
        for ids, total in every.items()
        if any(ids[i : i + 2] == (3, 1) for i in range(3))
    }
    best = max(holding, key=lambda ids: holding[ids])
    found = ask(PROMPT, *FEW, num_beams=128, max_new_tokens=4, force_words_ids=[[3, 1]])
    assert found.ids == tuple(token for token in best if token != END)
    assert found.score == pytest.approx(holding[best], rel=1e-5)


def test_a_phrase_that_ends_the_answer_is_refused_before_anything_runs() -> None:
    with pytest.raises(ParameterError, match="force_words_ids: 0 ends the answer"):
        ask(PROMPT, num_beams=2, force_words_ids=[[5, END]])
    engine = Engine(ToyModel())
    with pytest.raises(ParameterError, match="force_words: needs a tokenizer"):
        engine.start(Request(PROMPT, parameters(num_beams=2, force_words="a")))


# Draws


def few_and(many: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("draws", [1500, pytest.param(many, marks=pytest.mark.slow)])


def chi_squared(counts: dict[Any, int], exact: dict[Any, float]) -> float:
    total = sum(counts.values())
    assert set(counts) <= set(exact)
    return sum((counts.get(k, 0) - total * p) ** 2 / (total * p) for k, p in exact.items())


def counted(seeds: int, key: Callable[[Generation], Any], **given: Any) -> dict[Any, int]:
    engine = Engine(ToyModel())
    requests = [Request(PROMPT, parameters(seed=seed, ledger=0, **given)) for seed in range(seeds)]
    counts: dict[Any, int] = {}
    for found in engine.generate(requests):
        counts[key(found)] = counts.get(key(found), 0) + 1
    return counts


def pairs_drawn(weights: dict[Any, float]) -> dict[frozenset[Any], float]:
    """The probabilities of two draws without replacement."""
    total = sum(weights.values())
    pairs: dict[frozenset[Any], float] = {}
    for a, b in itertools.permutations(weights, 2):
        pair = frozenset((a, b))
        chance = weights[a] / total * weights[b] / (total - weights[a])
        pairs[pair] = pairs.get(pair, 0.0) + chance
    return pairs


def lines(found: Generation) -> frozenset[tuple[int, ...]]:
    return frozenset(answer.ids for answer in answers(found))


@few_and(20_000)
def test_sampled_beams_are_draws_without_replacement(draws: int) -> None:
    """One token: of four draws out of six tokens, the first two are what two beams finish."""
    probs = probs_after(PROMPT)
    weights = {(int(t),): float(probs[t]) for t in np.argsort(-probs)[:6]}
    given = {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 1, "top_k": 6}
    counts = counted(draws, lines, **given)
    assert chi_squared(counts, pairs_drawn(weights)) < 36.12  # 14 degrees, p = 0.001


@few_and(20_000)
def test_sampled_beams_draw_by_the_probability_of_the_whole_sequence(draws: int) -> None:
    """Two of two tokens grow on; then two of the four answers are drawn."""
    weights = {
        (a, b): float(probs_after(PROMPT)[a] * probs_after([*PROMPT, a])[b])
        for a in np.argsort(-probs_after(PROMPT))[:2].tolist()
        for b in np.argsort(-probs_after([*PROMPT, a]))[:2].tolist()
    }
    given = {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 2, "top_k": 2}
    counts = counted(draws, lines, **given)
    assert chi_squared(counts, pairs_drawn(weights)) < 20.515  # 5 degrees, p = 0.001


@few_and(100_000)
def test_the_best_of_n_is_distributed_as_the_highest_of_n_draws(draws: int) -> None:
    probs = probs_after(PROMPT)
    likely = np.argsort(-probs)[:6][::-1]  # least likely first
    below = np.concatenate([[0], np.cumsum(probs[likely]) / probs[likely].sum()])
    exact = {int(t): float(below[i + 1] ** 3 - below[i] ** 3) for i, t in enumerate(likely)}
    given = {"best_of": 3, "max_new_tokens": 1, "top_k": 6}
    counts = counted(draws, lambda found: found.ids[0], **given)
    assert chi_squared(counts, exact) < 20.515  # 5 degrees, p = 0.001


def test_the_best_of_n_are_the_likeliest_of_the_answers_drawn_by_their_mean() -> None:
    drawn = {"seed": 3, "top_k": 20, "max_new_tokens": 12, "stop_token_ids": list(range(128))}
    all_five = answers(ask(PROMPT, num_return_sequences=5, **drawn))
    best = answers(ask(PROMPT, best_of=5, num_return_sequences=3, **drawn))
    assert len({len(answer.ids) for answer in all_five}) > 1
    scores = [answer.score for answer in best]
    assert scores == sorted((s for s in scores if s is not None), reverse=True)
    assert {answer.ids for answer in best} <= {answer.ids for answer in all_five}
    for answer in best:
        logprobs = [token.logprob for token in answer.tokens]
        if answer.finish_reason == "length":
            assert answer.score == pytest.approx(np.mean(logprobs))
        else:  # the stop token counts, and is not shown
            assert answer.score is not None
            assert answer.score * (len(logprobs) + 1) < sum(logprobs)
    tree = ask(PROMPT, best_of=5, **drawn).tree
    assert tree is not None
    assert sum(node.parent == 0 for node in tree.nodes) == 5


# In company


COMPANY: list[dict[str, Any]] = [
    {},
    {"seed": 1, "top_k": 9, "num_return_sequences": 3},
    {"num_beams": 4, "num_return_sequences": 2},
    {"num_beams": 3, "seed": 5, "temperature": 1.3},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "num_return_sequences": 4},
    {"num_beams": 4, "force_words_ids": [[90, 91], [[92], [93, 94]]]},
    {"best_of": 4, "seed": 2, "top_p": 0.9},
    {"num_beams": 2, "repetition_penalty": 1.5, "early_stopping": True, "length_penalty": 0.0},
]


def test_what_a_search_gives_does_not_depend_on_its_company() -> None:
    requests = [
        Request([i + 1, 5], parameters(max_new_tokens=8 + i, **given))
        for i, given in enumerate(COMPANY)
    ]
    alone = [Engine(ToyModel(), ByteTokenizer()).generate([one])[0] for one in requests]
    assert Engine(ToyModel(), ByteTokenizer()).generate(requests) == alone
