"""Speculation: whoever guesses, the answer is what it would be without."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from pellucid.choose.candidates import Candidates
from pellucid.choose.ledger import Draft
from pellucid.choose.parameters import parameters
from pellucid.choose.strategies import Say, Score, Steps
from pellucid.choose.strategies.drafters import ModelDrafter, looked_up
from pellucid.choose.strategies.speculative import excess
from pellucid.choose.task import Task
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import GeneratedToken, Generation
from pellucid.errors import BackendError, ParameterError
from pellucid.model.cache import Cache
from pellucid.model.run import Run

from .toy import END, VOCAB, ByteTokenizer, Floats, ToyConfig, ToyModel, greedy_after

LOOKUP = {"prompt_lookup_num_tokens": 3}
EXIT = {"assistant_early_exit": 4}


def looping(ids: tuple[int, ...], logits: Floats) -> Floats:
    """Likes to repeat itself, so that there is something to look up."""
    wanted = logits.copy()
    wanted[ord("loop and "[len(ids) % 9])] = logits.max() + 3
    return wanted


def unlike(ids: tuple[int, ...], logits: Floats) -> Floats:
    """Leaves the toy as it is: no text repeats, and a model with noise rarely agrees."""
    return logits


def engine(spoil: Any = looping, **config: Any) -> Engine:
    return Engine(ToyModel(ToyConfig(**config), spoil=spoil), ByteTokenizer())


def one(request: Request, by: Engine | None = None) -> Generation:
    return (by or engine()).generate([request])[0]


def drafts(answer: Generation) -> list[Draft]:
    """What was guessed and checked."""
    return [t.ledger.draft for t in answer.tokens if t.ledger and t.ledger.draft]


def told(answer: Generation) -> tuple[Any, ...]:
    """The answer, with nothing of the guesses."""
    tokens = [plain(token) for token in answer.tokens]
    return answer.text, answer.ids, answer.finish_reason, answer.seed, tokens


def plain(token: GeneratedToken) -> GeneratedToken:
    return replace(token, ledger=token.ledger and replace(token.ledger, draft=None))


def randomly(rng: random.Random, sampling: bool) -> tuple[list[int], dict[str, Any]]:
    """A prompt and parameters that ask for stops, lengths, penalties and draws."""
    given: dict[str, Any] = {"max_new_tokens": rng.randint(1, 30)}
    if sampling:
        given |= {"seed": rng.randrange(2**32), "temperature": rng.uniform(0.3, 1.2)}
        given |= {"top_k": rng.choice([0, 3, 40]), "top_p": rng.choice([1, 0.8])}
    if rng.random() < 0.5:
        given |= {"frequency_penalty": 0.5, "repetition_penalty": 1.1}
    if rng.random() < 0.5:
        given |= {"stop": ["p a", "Zq"], "stop_token_ids": [*range(200, 240), ord("d")]}
    if rng.random() < 0.3:
        given["min_new_tokens"] = given["max_new_tokens"] // 2
    return [rng.randrange(1, VOCAB) for _ in range(rng.randint(1, 30))], given


# The answer is the same


def test_greedy_answers_are_the_same_to_the_last_probability() -> None:
    rng, total = random.Random(1), 0
    for _ in range(40):
        ids, given = randomly(rng, sampling=False)
        alone = one(Request(ids, parameters(**given)))
        ways: list[dict[str, Any]] = [
            {"parameters": parameters(**given, **LOOKUP)},
            {"parameters": parameters(**given, **EXIT, num_assistant_tokens=rng.randint(1, 9))},
            {"parameters": parameters(**given), "draft": Engine(ToyModel().early_exit(3))},
        ]
        for way in ways:
            answer = one(Request(ids, **way))
            assert told(answer) == told(alone)
            assert answer.drafted is not None
            total += answer.accepted or 0
    assert total > 100


def test_looking_up_draws_the_very_tokens_that_sampling_draws() -> None:
    rng, total = random.Random(2), 0
    for _ in range(40):
        ids, given = randomly(rng, sampling=True)
        answer = one(Request(ids, parameters(**given, **LOOKUP)))
        assert told(answer) == told(one(Request(ids, parameters(**given))))
        total += answer.accepted or 0
    assert total > 50


REMEMBERING = [
    {"mirostat": 2},
    {"dry_multiplier": 0.8},
    {"xtc_probability": 0.5, "xtc_threshold": 0.05},
    {"guidance_scale": 1.5, "negative_prompt": "no loops"},
    {"no_repeat_ngram_size": 3},
]


@pytest.mark.parametrize("given", REMEMBERING, ids=lambda given: next(iter(given)))
def test_filters_see_what_was_said_and_no_guess(given: dict[str, Any]) -> None:
    for first in range(1, 6):
        drawn = {"seed": first, "do_sample": True, "max_new_tokens": 40} | given
        answer = one(Request([first, 5], parameters(**drawn, **LOOKUP)))
        assert told(answer) == told(one(Request([first, 5], parameters(**drawn))))
        assert answer.drafted
        again = [one(Request([first, 5], parameters(**drawn, **EXIT))) for _ in range(2)]
        assert again[0] == again[1]
        assert again[0].drafted


@dataclass
class Markov:
    """A model whose next token depends on the last one alone: row i of `table` follows token i."""

    table: Floats  # [vocab, vocab]
    passes: int = 0
    config: ToyConfig = field(default_factory=lambda: ToyConfig(2**20, 8))

    def new_cache(self) -> Cache:
        return Cache(0, 1, 1, lambda shape: None)

    def early_exit(self, layers: int, /) -> Markov:
        noise = np.random.default_rng(layers).normal(size=self.table.shape)
        return Markov(self.table + noise.astype(np.float32))

    def forward(self, run: Run, /) -> Floats:
        self.passes += 1
        for segment in run.segments:
            assert segment.cache
            segment.cache.advance(len(segment.ids))
        return self.table[run.ids[run.wanted]]


@pytest.mark.parametrize("draws", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "way", [{"assistant_early_exit": 1}, {"assistant_early_exit": 1, "top_k": 5}, LOOKUP]
)
def test_draws_follow_the_models_own_distribution(way: dict[str, Any], draws: int) -> None:
    """Twenty lines: how often each token followed each other one."""
    table = np.random.default_rng(5).normal(scale=1.5, size=(8, 8)).astype(np.float32)
    given = {"temperature": 1.2, "num_return_sequences": 20, "max_new_tokens": draws // 20} | way
    if "assistant_early_exit" in way:
        given |= {"assistant_confidence_threshold": 0.25}
    answer = one(Request([0], parameters(seed=3, ledger=0, **given)), Engine(Markov(table)))
    counts = np.zeros((8, 8))
    for line in (answer, *answer.alternatives):
        np.add.at(counts, ([0, *line.ids[:-1]], line.ids), 1)
        assert line.drafted is not None
        assert line.accepted is not None
        assert 0.05 * line.drafted < line.accepted < 0.9 * line.drafted
    assert counts.sum() == draws
    scores = table / np.float32(1.2)
    scores[scores < np.sort(scores)[:, [-given.get("top_k", 8)]]] = -np.inf
    probs = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert not counts[probs == 0].any()
    expected = (probs * counts.sum(1, keepdims=True))[probs > 0]
    freedom = len(expected) - 8
    statistic = ((counts[probs > 0] - expected) ** 2 / expected).sum()
    assert statistic < freedom + 3.3 * math.sqrt(2 * freedom)  # p about 0.001


def test_the_first_tokens_are_together_as_probable_as_the_model_has_them() -> None:
    """What draws a guess must not be what judges it, which the first tokens of many seeds show."""
    table = np.random.default_rng(6).normal(size=(8, 8)).astype(np.float32)
    by = Engine(Markov(table))
    given = {"do_sample": True, "max_new_tokens": 4, "assistant_early_exit": 1, "ledger": 0}
    requests = [Request([0], parameters(seed=seed, **given)) for seed in range(3000)]
    counts = np.zeros((8, 8, 8))
    np.add.at(counts, tuple(np.array([a.ids[:3] for a in by.generate(requests)]).T), 1)
    probs = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    expected = len(requests) * probs[0, :, None, None] * probs[:, :, None] * probs[None]
    rare = expected < 5  # together one cell: the statistic needs some in each
    observed = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    statistic, freedom = ((observed - wanted) ** 2 / wanted).sum(), len(wanted) - 1
    assert statistic < freedom + 3.3 * math.sqrt(2 * freedom)  # p about 0.001


def test_a_guess_is_accepted_as_often_as_the_two_distributions_overlap() -> None:
    """Leviathan et al. 2023, theorem 3.5: with probability sum(min(p, q))."""
    table = np.zeros((8, 8), np.float32)  # whatever comes before: the same distribution
    table[:] = np.log([0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02])
    small = np.zeros_like(table)
    small[:] = np.log([0.1, 0.1, 0.4, 0.1, 0.1, 0.1, 0.05, 0.05])
    given = {"do_sample": True, "seed": 1, "max_new_tokens": 5000, "num_assistant_tokens": 1}
    drafting = Engine(Markov(small))
    answer = one(Request([0], parameters(ledger=0, **given), draft=drafting), Engine(Markov(table)))
    overlap = float(np.exp(np.minimum(table[0], small[0])).sum())
    assert answer.drafted
    assert answer.accepted
    spread = math.sqrt(overlap * (1 - overlap) / answer.drafted)
    assert answer.accepted / answer.drafted == pytest.approx(overlap, abs=4 * spread)


# What it saves, and what it never asks for


def test_guesses_that_are_all_right_take_a_pass_for_five_tokens() -> None:
    model = ToyModel()
    request = Request([4, 5], parameters(max_new_tokens=16), draft=Engine(ToyModel()))
    answer = one(request, Engine(model))
    assert list(answer.ids) == greedy_after([4, 5], 16)
    assert (answer.drafted, answer.accepted) == (12, 12)
    assert model.passes == [[2], [5], [5], [5]]  # of which each says one token more


def test_the_drafting_model_is_fed_each_token_once_and_rejected_ones_are_forgotten() -> None:
    small = ToyModel().early_exit(3)
    answer = one(
        Request([4, 5], parameters(max_new_tokens=40), draft=Engine(small)),
        engine(unlike),
    )
    assert answer.drafted
    assert answer.accepted is not None
    assert sum(map(sum, small.passes)) <= 2 + 40 + answer.drafted - answer.accepted


def test_a_guess_goes_no_further_than_what_may_still_be_said_and_the_contexts_hold() -> None:
    model, small = ToyModel(ToyConfig(20)), ToyModel(ToyConfig(12))
    answer = one(
        Request([1, 2, 3], parameters(max_new_tokens=99), draft=Engine(small)), Engine(model)
    )
    assert list(answer.ids) == greedy_after([1, 2, 3], 17)
    assert answer.drafted == answer.accepted
    assert sum(map(sum, small.passes)) <= 12


@pytest.mark.parametrize("most", range(1, 9))
def test_the_model_is_asked_for_nothing_behind_the_last_token(most: int) -> None:
    longest = 0

    def measured(ids: tuple[int, ...], logits: Floats) -> Floats:
        nonlocal longest
        longest = max(longest, len(ids))
        return looping(ids, logits)

    for way in (LOOKUP, EXIT):
        one(Request([7] * 5, parameters(max_new_tokens=most, **way)), engine(measured))
    assert longest == 5 + most - 1


def test_an_unsure_model_does_not_guess() -> None:
    given = {"assistant_early_exit": 3, "max_new_tokens": 40}
    sure = one(Request([4, 5], parameters(**given)), engine(unlike))
    given["assistant_confidence_threshold"] = 0.3
    unsure = one(Request([4, 5], parameters(**given)), engine(unlike))
    assert sure.drafted
    assert unsure.drafted
    assert unsure.accepted
    assert sure.accepted
    assert unsure.drafted < sure.drafted
    assert unsure.accepted / unsure.drafted > sure.accepted / sure.drafted


def test_a_guess_that_is_said_without_those_behind_it_is_guessed_from_again(
    model: ToyModel,
) -> None:
    """Rounding can reject a guess and then draw it all the same."""

    def driven(task: Task) -> Steps:
        drafter = ModelDrafter(task)
        yield Score([task.root, *drafter.branches])
        task.root.append(5)
        guesses = yield from drafter.guess(task.root, 4)
        task.root.append(guesses[0].token)
        again = yield from drafter.guess(task.root, 3)
        assert [guess.token for guess in again] == [guess.token for guess in guesses[1:]]
        yield Say(65, 1.0, 1, 1.0)

    request = Request([4], strategy=driven, draft=Engine(ToyModel()))
    assert one(request, Engine(model)).ids == (65,)


def test_where_nothing_is_in_excess_the_draw_is_from_all() -> None:
    some = Candidates(np.float32([1, 2, 3]))
    assert excess(some, Candidates(some.scores)) is some


@examples(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 5), st.data())
def test_what_is_looked_up_followed_the_longest_match_that_is_nearest(
    ids: list[int], longest: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, 6))

    def matched(end: int) -> int:
        """How many ids up to `end` are those at the end of the text."""
        alike = (i for i in range(longest) if i > end or ids[end - i] != ids[-1 - i])
        return next(alike, longest)

    best = max(range(len(ids) - 1), key=lambda end: (matched(end), end), default=None)
    expected: list[int] = []
    if best is not None and matched(best):
        text = list(ids)
        while len(text) < len(ids) + count:
            text.append(text[best + 1 + len(text) - len(ids)])
        expected = text[len(ids) :]
    assert looked_up(np.array(ids), longest, count) == expected


# In company, and from turn to turn


def test_what_a_request_gets_does_not_depend_on_its_company() -> None:
    rng = random.Random(3)
    small = Engine(ToyModel().early_exit(3), ByteTokenizer())
    requests: list[Request] = []
    for number in range(60):
        ids, given = randomly(rng, sampling=number % 2 == 0)
        if number % 2 == 0:
            given |= {"num_return_sequences": rng.randint(1, 3)}
        draft = small if number % 5 == 3 else None
        given |= [LOOKUP, EXIT, {"assistant_early_exit": 2}, {}, {}][number % 5]
        requests.append(Request(ids, parameters(**given), draft=draft))
    requests.append(Request([5, 6], parameters(num_beams=3, max_new_tokens=10)))
    alone = [one(request) for request in requests]
    together = engine()
    assert together.generate(requests) == alone
    assert isinstance(together.model, ToyModel)
    assert max(map(len, together.model.passes)) > 60


def test_the_first_of_several_lines_is_what_it_is_alone() -> None:
    for way in (LOOKUP, EXIT):
        given = {"temperature": 1.0, "seed": 4, "max_new_tokens": 20} | way
        alone = one(Request([4, 5], parameters(**given)))
        several = one(Request([4, 5], parameters(num_return_sequences=3, **given)))
        assert told(several) == told(alone)
        assert len({several.ids, *(other.ids for other in several.alternatives)}) == 3


@pytest.mark.parametrize("most", range(1, 14))
def test_a_conversation_goes_on_from_wherever_a_guess_was_cut_off(most: int) -> None:
    def pair(way: dict[str, Any]) -> tuple[Generation, Generation, list[list[int]]]:
        by = engine()
        branch = by.new_branch()
        first = one(Request([1, 2], parameters(max_new_tokens=most, **way), branch=branch), by)
        assert isinstance(by.model, ToyModel)
        by.model.passes.clear()
        ids = [1, 2, *first.ids, 33, 34]
        second = one(Request(ids, parameters(max_new_tokens=9, **way), branch=branch), by)
        return first, second, by.model.passes

    expected = pair({})
    for way in (LOOKUP, EXIT):
        answered = pair(way)
        assert [told(answer) for answer in answered[:2]] == [told(a) for a in expected[:2]]
        assert answered[2][0] == [3]  # the last said token, and the two new ones


def test_an_answer_that_is_closed_leaves_no_guess_in_the_cache() -> None:
    by = engine()
    branch = by.new_branch()
    events = by.run([Request([1, 2], parameters(max_new_tokens=40, **LOOKUP), branch=branch)])
    for _ in range(12):
        next(events)
    events.close()
    assert not branch.drafted
    assert branch.cache.length == len(branch.ids) - 1


def test_a_step_that_fails_in_one_model_can_be_tried_again() -> None:
    failures = iter([False, True] * 40)

    def failing(ids: tuple[int, ...], logits: Floats) -> Floats:
        if next(failures):
            raise BackendError("a planted failure")
        return logits

    by, given = engine(unlike), parameters(max_new_tokens=12)
    small = Engine(ToyModel(spoil=failing))
    requests = [Request([4, 5], given), Request([6], given, draft=small), Request([7], given)]
    running = [by.start(request, index) for index, request in enumerate(requests)]
    ended: dict[int, Generation] = {}
    failed = 0
    while len(ended) < 3:
        try:
            events = by.step(running)
        except BackendError:
            failed += 1
        else:
            ended |= {e.index: e.generation for e in events if e.generation}
    assert failed > 3
    for index, request in enumerate(requests):
        said = greedy_after(list(request.prompt_ids), 12)
        assert list(ended[index].ids) == (said[: said.index(END)] if END in said else said)


# What is told of it


def test_the_ledger_says_of_each_guess_what_became_of_it() -> None:
    given = {"temperature": 1.0, "top_k": 40, "seed": 2, "ledger": 40, "max_new_tokens": 60} | EXIT
    answer = one(Request([4, 5], parameters(**given)))
    assert sum(draft.accepted for draft in drafts(answer)) == answer.accepted
    assert {draft.accepted for draft in drafts(answer)} == {True, False}
    for token in answer.tokens:
        assert token.ledger is not None
        last, draft, uniform = token.ledger.entries[-1], token.ledger.draft, token.ledger.uniform
        if draft is None:
            assert (last.name, uniform is None) == ("top_k", False)
        elif draft.accepted:
            assert (token.id, token.processed_prob) == (draft.token, draft.verified_prob)
            assert draft.uniform is not None
            assert draft.uniform * draft.prob < draft.verified_prob
            assert (uniform, token.ledger.landed) == (None, None)
        else:
            assert uniform is not None
            assert (last.name, token.ledger.entries[-2].name) == ("speculation", "top_k")
            order = np.argsort(token.ledger.ids)
            cumulative = np.cumsum(last.probs[order])
            assert token.ledger.ids[order][np.searchsorted(cumulative, uniform)] == token.id
            place = token.ledger.ids.tolist().index(token.id)
            before = token.ledger.entries[-2]
            assert token.processed_prob == pytest.approx(before.probs[place], rel=1e-5)


def test_a_guess_that_was_looked_up_was_certain() -> None:
    answer = one(Request([4, 5], parameters(max_new_tokens=40, **LOOKUP)))
    assert {draft.prob for draft in drafts(answer)} == {1.0}


def test_the_tree_has_what_was_said_and_beside_it_what_was_rejected() -> None:
    hot = {"temperature": 1.5, "top_k": 9, "seed": 2}
    answer = one(Request([4, 5], parameters(max_new_tokens=30, **EXIT, **hot)))
    tree = answer.tree
    assert tree is not None
    said = [n for n, node in enumerate(tree.nodes) if node.fate == "said"]
    assert tree.path(said[-1]) == list(answer.ids)
    rejected = [node for node in tree.nodes if node.fate == "rejected"]
    assert [node.token for node in rejected] == [d.token for d in drafts(answer) if not d.accepted]
    assert len(said) + len(rejected) + 1 == len(tree.nodes)
    assert [tree.nodes[n].logprob for n in said] == [token.logprob for token in answer.tokens]
    for node in rejected:
        place = len(tree.path(node.parent))
        ledger = answer.tokens[place].ledger
        assert ledger is not None
        own = ledger.entries[0].probs[ledger.ids == node.token]
        assert node.logprob == pytest.approx(np.log(own), abs=1e-5)


def test_without_guesses_nothing_is_said_about_them() -> None:
    answer = one(Request([4, 5], parameters(max_new_tokens=5)))
    assert (answer.drafted, answer.accepted, answer.tree) == (None, None, None)


def test_a_second_stream_never_outgrows_the_context_of_the_draft_model() -> None:
    fed: list[int] = []

    def watched(ids: tuple[int, ...], logits: Floats) -> Floats:
        fed.append(len(ids))
        return logits

    draft = Engine(ToyModel(ToyConfig(context_length=12), spoil=watched), ByteTokenizer())
    given = parameters(guidance_scale=2, negative_prompt="abcdefgh", max_new_tokens=20)
    alone, guessed = one(Request([1, 2, 3], given)), one(Request([1, 2, 3], given, draft=draft))
    assert guessed.ids == alone.ids
    assert max(fed) == 12


# What is refused


class Shifted(ByteTokenizer):
    """Has other texts for the same ids."""

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([(token_id + 1) % 256])


OTHER = Engine(ToyModel(), Shifted())
LARGER = Engine(ToyModel(ToyConfig(vocab_size=300)))
SHORT = Engine(ToyModel(ToyConfig(context_length=2)))
SMALL = Engine(ToyModel())


@pytest.mark.parametrize(
    ("given", "draft", "message"),
    [
        ({}, OTHER, "draft: token 0 is another text in the model; both need the same vocabulary"),
        ({}, LARGER, "draft: has 300 tokens, the model 256; both need the same vocabulary"),
        ({}, SHORT, "draft: its context of 2 tokens does not hold the prompt of 3"),
        (
            {"guidance_scale": 2, "negative_prompt": "abcde"},
            Engine(ToyModel(ToyConfig(context_length=4)), ByteTokenizer()),
            "draft: its context of 4 tokens does not hold the prompt of 5",
        ),
        (LOOKUP, SMALL, "prompt_lookup_num_tokens: excludes draft: give one of the two"),
        (EXIT, SMALL, "assistant_early_exit: excludes draft"),
        (LOOKUP | EXIT, None, "prompt_lookup_num_tokens: excludes assistant_early_exit"),
        (LOOKUP | {"num_beams": 3}, None, "prompt_lookup_num_tokens: excludes num_beams"),
        ({"num_assistant_tokens": 3}, None, "num_assistant_tokens: has no effect without"),
        ({"assistant_confidence_threshold": 0.5} | LOOKUP, None, "threshold: has no effect"),
    ],
)
def test_guesses_that_cannot_be_made_are_refused(
    given: dict[str, Any], draft: Engine | None, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        engine().run([Request([1, 2, 3], parameters(**given), draft=draft)])


def test_a_model_of_the_same_tokens_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    by, small = engine(), Engine(ToyModel(), ByteTokenizer())
    one(Request([1], parameters(max_new_tokens=2), draft=small), by)
    monkeypatch.setattr(small, "tokenizer", Shifted())
    one(Request([1], parameters(max_new_tokens=2), draft=small), by)


def test_an_end_token_ends_a_guess() -> None:
    def ending(ids: tuple[int, ...], logits: Floats) -> Floats:
        wanted = logits.copy()
        wanted[END if len(ids) == 7 else ord("x")] += 50
        return wanted

    small = Engine(ToyModel(spoil=ending))
    answer = one(Request([1, 2], parameters(num_assistant_tokens=9), draft=small), engine(ending))
    assert (answer.text, answer.finish_reason) == ("xxxxx", "stop")
    assert answer.drafted == answer.accepted == 5
