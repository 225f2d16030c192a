"""The loop: each request gets what its own prompt and parameters say, in whatever company."""

from __future__ import annotations

import gc
import json
import random
import weakref
from typing import Any

import numpy as np
import pytest

from pellucid.choose.parameters import parameters
from pellucid.choose.strategies import Say, Score, Steps, sample
from pellucid.choose.task import Task
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Event, Generation
from pellucid.errors import BackendError, ParameterError

from .toy import (
    END,
    VOCAB,
    ByteTokenizer,
    Floats,
    ToyConfig,
    ToyModel,
    greedy_after,
    logits_after,
    probs_after,
    residual_after,
    spelling,
    unembedded,
)


def request(ids: list[int], **given: Any) -> Request:
    return Request(ids, parameters(**given))


def one(engine: Engine, ids: list[int], **given: Any) -> Generation:
    return engine.generate([request(ids, **given)])[0]


def greedy_until_end(ids: list[int], most: int) -> tuple[list[int], str]:
    said = greedy_after(ids, most)
    return (said[: said.index(END)], "stop") if END in said else (said, "length")


# One sequence


def test_greedy_takes_the_likeliest_token_each_time(engine: Engine) -> None:
    for first in range(1, 20):
        answer = one(engine, [first, 5], max_new_tokens=12)
        assert (list(answer.ids), answer.finish_reason) == greedy_until_end([first, 5], 12)
        assert (answer.prompt_ids, answer.seed) == ((first, 5), None)


def test_probability_and_rank_are_the_models_own_whatever_the_filters_do(engine: Engine) -> None:
    answer = one(engine, [7], max_new_tokens=8, temperature=2.0, repetition_penalty=3.0, seed=3)
    seen = [7]
    for token in answer.tokens:
        probs = probs_after(seen)
        assert token.prob == pytest.approx(probs[token.id], rel=1e-5)
        assert token.rank == 1 + (probs > probs[token.id]).sum()
        seen.append(token.id)
    assert max(token.rank for token in answer.tokens) > 1


def test_each_id_is_fed_once_and_only_the_logits_that_are_asked_for_are_computed(
    engine: Engine, model: ToyModel
) -> None:
    one(engine, [1, 2, 3], max_new_tokens=4, stop_token_ids=[END])
    assert model.passes == [[3], [1], [1], [1]]
    assert model.rows == [1, 1, 1, 1]


def test_sampling_follows_the_exact_distribution_of_two_tokens() -> None:
    """4,000 requests in one batch: first tokens, and second tokens given the commonest first."""
    engine = Engine(ToyModel())
    given = {"max_new_tokens": 2, "top_k": 6}
    answers = engine.generate([request([9], seed=seed, **given) for seed in range(4000)])
    probs = probs_after([9])
    likely = np.argsort(-probs)[:6]
    first = np.array([a.ids[0] for a in answers])
    common = int(likely[0])
    second = np.array([a.ids[1] for a in answers if a.ids[0] == common])
    then = probs_after([9, common])
    for tokens, exact in ((first, probs), (second, then)):
        best = np.argsort(-exact)[:6]
        expected = exact[best] / exact[best].sum() * len(tokens)
        counts = np.array([(tokens == t).sum() for t in best])
        assert counts.sum() == len(tokens)
        assert ((counts - expected) ** 2 / expected).sum() < 20.515  # 5 degrees, p = 0.001


def test_a_run_repeats_with_the_seed_that_it_reports(engine: Engine) -> None:
    first = one(engine, [7], do_sample=True, max_new_tokens=20)
    assert first.seed is not None
    assert one(engine, [7], do_sample=True, max_new_tokens=20, seed=first.seed) == first
    assert one(engine, [7], do_sample=True, max_new_tokens=20).ids != first.ids


# Many sequences


def random_request(rng: random.Random) -> Request:
    given: dict[str, Any] = {"max_new_tokens": rng.randint(1, 20)}
    if rng.random() < 0.7:
        given |= {"seed": rng.randrange(2**32), "temperature": rng.uniform(0.5, 2)}
        given |= {"top_k": rng.choice([0, 3, 40]), "top_p": rng.choice([1, 0.8])}
    if rng.random() < 0.3:
        given["repetition_penalty"] = 1.3
    if rng.random() < 0.3:
        given["min_new_tokens"] = given["max_new_tokens"] // 2
    if rng.random() < 0.3:
        given |= {"stop": ["a", "Zq", "\x10"], "stop_token_ids": list(range(200, 240))}
    return request([rng.randrange(1, VOCAB) for _ in range(rng.randint(1, 30))], **given)


def test_what_a_request_gets_does_not_depend_on_its_company() -> None:
    rng = random.Random(0)
    requests = [random_request(rng) for _ in range(60)]
    alone = [Engine(ToyModel(), ByteTokenizer()).generate([r])[0] for r in requests]
    assert Engine(ToyModel(), ByteTokenizer()).generate(requests) == alone
    assert len({a.finish_reason for a in alone}) == 2


def test_all_that_run_share_each_pass_prompts_and_single_tokens_alike(
    engine: Engine, model: ToyModel
) -> None:
    first = engine.start(request([1, 2, 3], max_new_tokens=3, stop_token_ids=[END]), 0)
    engine.step([first])
    second = engine.start(request([4, 5, 6, 7], max_new_tokens=3, stop_token_ids=[END]), 1)
    events = engine.step([first, second])
    assert model.passes == [[3], [1, 4]]
    assert [event.index for event in events] == [0, 1]
    assert [e.token.id for e in events if e.token] == [
        greedy_after([1, 2, 3], 2)[1],
        greedy_after([4, 5, 6, 7], 1)[0],
    ]


def test_a_long_prompt_goes_in_chunks_beside_others_and_whole_alone() -> None:
    model = ToyModel(ToyConfig(context_length=1024))
    engine = Engine(model)
    long = Request([7] * 600, parameters(max_new_tokens=2))
    short = Request([5, 6], parameters(max_new_tokens=4))
    (alone,) = engine.generate([long])
    assert model.passes == [[600], [1]]
    model.passes.clear()
    together, beside = engine.generate([long, short])
    assert model.passes == [[256, 2], [256, 1], [88, 1], [1, 1]]
    assert together.ids == alone.ids
    assert beside.ids == tuple(greedy_after([5, 6], 4))


def test_who_has_ended_is_asked_for_nothing_more(engine: Engine, model: ToyModel) -> None:
    requests = [request([i + 1], max_new_tokens=i + 1, min_new_tokens=i + 1) for i in range(4)]
    engine.generate(requests)
    assert [len(segments) for segments in model.passes] == [4, 3, 2, 1]


def test_no_requests_are_no_work(engine: Engine, model: ToyModel) -> None:
    assert engine.generate([]) == []
    assert model.passes == []


# How an answer ends


def spelled(text: str, **given: Any) -> Generation:
    engine = Engine(ToyModel(spoil=spelling(text, prompt=2)), ByteTokenizer())
    events = list(engine.run([request([1, 2], **given)]))
    generation = events[-1].generation
    assert generation is not None
    assert all(event.generation is None for event in events[:-1])
    assert "".join(event.text for event in events) == generation.text
    assert tuple(e.token.id for e in events if e.token) == generation.ids
    return generation


@pytest.mark.parametrize(
    ("given", "text", "ids", "reason"),
    [
        ({}, "grüß dich 👍", "grüß dich 👍", "stop"),
        ({"max_new_tokens": 3}, "gr\ufffd", b"gr\xc3", "length"),   # half a character at the end
        ({"stop": "ß d"}, "grü", "grüß d", "stop"),
        ({"stop": "h 👍"}, "grüß dic", "grüß dich 👍", "stop"),
        ({"stop": ["never", "👍👍"]}, "grüß dich 👍", "grüß dich 👍", "stop"),
        ({"stop": "dx", "max_new_tokens": 8}, "grüß d", "grüß d", "length"),    # was held back
        ({"stop": "gr"}, "", "gr", "stop"),
        ({"stop_token_ids": [ord("d")]}, "grüß ", "grüß ", "stop"),
        ({"stop_token_ids": [0xBC]}, "gr\ufffd", b"gr\xc3", "stop"),    # inside a character
        ({"stop_token_ids": [ord("g")]}, "", "", "stop"),
        ({"stop": "r", "min_new_tokens": 2}, "grüß dich 👍", "grüß dich 👍", "stop"),
        ({"stop": "i", "min_new_tokens": 8}, "grüß d", "grüß di", "stop"),
    ],
)  # fmt: skip
def test_text_and_ids_at_the_end(
    given: dict[str, Any], text: str, ids: str | bytes, reason: str
) -> None:
    answer = spelled("grüß dich 👍", **given)
    assert answer.text == text
    assert bytes(answer.ids) == (ids.encode() if isinstance(ids, str) else ids)
    assert answer.finish_reason == reason
    joined = "".join(token.text for token in answer.tokens)
    assert joined.startswith(answer.text)


def test_a_token_that_holds_more_than_the_stop_stays_in_the_ids_and_is_cut_in_the_text() -> None:
    class Words(ByteTokenizer):
        def stream(self) -> Any:
            class Decoder:
                def push(self, token_id: int) -> str:
                    return f"<word {token_id}>"

                def flush(self) -> str:
                    return ""

            return Decoder()

    engine = Engine(ToyModel(spoil=spelling("AB", prompt=1)), Words())
    answer = one(engine, [1], stop=["d 66"])
    assert answer.text == "<word 65><wor"
    assert answer.ids == (65, 66)


def test_end_tokens_that_the_model_does_not_have_are_passed_over() -> None:
    tokenizer = ByteTokenizer()
    tokenizer.eos_ids = (END, VOCAB + 7)  # more pieces than rows: seen in the wild
    answer = one(Engine(ToyModel(), tokenizer), [1], min_new_tokens=5, max_new_tokens=5)
    assert len(answer.ids) == 5


def test_a_minimum_length_forbids_stop_tokens_until_it_is_reached(engine: Engine) -> None:
    ends = list(range(0, VOCAB, 2))
    for first in range(1, 12):
        answer = one(engine, [first], stop_token_ids=ends, min_new_tokens=6, max_new_tokens=30)
        assert len(answer.ids) >= 6
        assert all(i not in ends for i in answer.ids)
    assert len(one(engine, [1], stop_token_ids=ends, min_length=7, max_length=40).ids) >= 6


def test_prompt_and_answer_together_fill_the_context_and_no_more() -> None:
    model = ToyModel(ToyConfig(context_length=10))
    answer = one(Engine(model), [1, 2, 3], max_new_tokens=100)
    assert len(answer.ids) == 7
    assert answer.finish_reason == "length"


def test_without_a_tokenizer_there_are_ids_and_no_text() -> None:
    answer = one(Engine(ToyModel()), [1], max_new_tokens=5, stop_token_ids=[END])
    assert list(answer.ids) == greedy_after([1], 5)
    assert (answer.text, answer.tokens[0].text) == ("", "")


def test_the_json_contract() -> None:
    plain = json.loads(json.dumps(spelled("ab", max_new_tokens=2).to_dict()))
    names = "text ids prompt_ids finish_reason tokens seed score alternatives drafted accepted"
    assert list(plain) == names.split()
    assert (plain["text"], plain["ids"], plain["prompt_ids"]) == ("ab", [97, 98], [1, 2])
    assert [list(token) for token in plain["tokens"]] == [
        ["id", "text", "prob", "rank", "processed_prob"]
    ] * 2
    assert (plain["finish_reason"], plain["seed"]) == ("length", None)


# What is refused, and what goes wrong


@pytest.mark.parametrize(
    ("ids", "given", "message"),
    [
        ([], {}, "prompt: is empty: there is no token to continue from"),
        ([1] * 65, {}, "prompt: has 65 tokens; the model's context of 64 must hold it"),
        ([1] * 64, {}, "prompt: has 64 tokens; the model's context of 64 must hold it"),
        ([1, 256], {}, "prompt_ids: 256 at place 1 is no token id; ids go from 0 to 255"),
        ([-1], {}, "prompt_ids: -1 at place 0 is no token id"),
        ([1.0], {}, "prompt_ids: 1.0 at place 0 is no token id"),
        ([True], {}, "prompt_ids: True at place 0 is no token id"),
        ("text", {}, "prompt_ids: 't' at place 0 is no token id"),
        ([10**5000], {}, "prompt_ids: an integer of 16610 bits at place 0 is no token id"),
        ([1], {"stop_token_ids": [256]}, "stop_token_ids: 256 at place 0 is no token id"),
        ([1, 2], {"max_length": 2}, "max_length: must be above 2, the prompt's length"),
        ([1], {"min_length": 65}, "min_length: asks for 64 new tokens; at most 63 can follow"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_anything_runs(
    engine: Engine, model: ToyModel, ids: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        engine.run([request([1]), request(ids, **given)])
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200
    assert model.passes == []


def test_stop_strings_need_a_tokenizer() -> None:
    with pytest.raises(ParameterError, match="stop: needs a tokenizer"):
        one(Engine(ToyModel()), [1], stop="x")


def broken(ids: tuple[int, ...], logits: Floats) -> Floats:
    return logits * np.float32(np.nan) if ids[0] == 13 and len(ids) > 3 else logits


def test_logits_that_are_not_numbers_end_the_request_and_no_other() -> None:
    engine = Engine(ToyModel(spoil=broken), ByteTokenizer())
    running = [engine.start(request([i, 2], max_new_tokens=8), i) for i in (12, 13)]
    events: list[Event] = []
    while any(r.asked or not r.begun for r in running):
        events += engine.step(running)
    errors = [event for event in events if event.error]
    assert [event.index for event in errors] == [13]
    assert isinstance(errors[0].error, BackendError)
    assert [e.index for e in events if e.generation] == [12]
    with pytest.raises(BackendError, match="computed NaN or infinity"):
        engine.generate([request([13, 2])])


def test_closing_the_stream_frees_what_the_requests_held(engine: Engine) -> None:
    held: list[weakref.ref[Any]] = []
    left: list[int] = []

    def watched(task: Task) -> Steps:
        held.append(weakref.ref(task.root.cache))
        try:
            yield from sample(task)
        finally:
            left.append(task.root.ids[0])

    stream = engine.run([Request([i], parameters(min_new_tokens=50), watched) for i in (1, 2)])
    next(stream)
    gc.collect()
    assert [ref() is not None for ref in held] == [True, True]
    stream.close()
    assert left == [1, 2]
    del stream
    gc.collect()
    assert [ref() for ref in held] == [None, None]


def test_an_interrupted_pass_leaves_branches_that_can_go_on(
    engine: Engine, model: ToyModel
) -> None:
    branch = engine.new_branch()

    def interrupt(ids: tuple[int, ...], logits: Floats) -> Floats:
        if len(ids) == 5:
            raise KeyboardInterrupt
        return logits

    model.spoil = interrupt
    wanted = Request([1, 2], parameters(max_new_tokens=9), branch=branch)
    with pytest.raises(KeyboardInterrupt):
        engine.generate([wanted])
    assert branch.cache.length == 4
    model.spoil = lambda ids, logits: logits
    model.passes.clear()
    answer = engine.generate([Request(branch.ids, parameters(max_new_tokens=9), branch=branch)])[0]
    assert list(answer.ids) == greedy_until_end(list(answer.prompt_ids), 9)[0]
    assert model.passes[0] == [1]


def test_a_branch_kept_from_request_to_request_computes_only_what_is_new(
    engine: Engine, model: ToyModel
) -> None:
    """A conversation: each turn's prompt begins with the whole past."""
    branch = engine.new_branch()
    first = engine.generate([Request([1, 2], parameters(max_new_tokens=5), branch=branch)])[0]
    model.passes.clear()
    ids = [1, 2, *first.ids, 33, 34]
    second = engine.generate([Request(ids, parameters(max_new_tokens=5), branch=branch)])[0]
    assert model.passes[0] == [3]  # the last said token, and the two new ones
    assert second == one(engine, ids, max_new_tokens=5)


# The seam carries other strategies


def beams(task: Task) -> Steps:
    """A plain beam search of two tokens, three beams wide: only to try the seam."""
    (scored,) = yield Score([task.root])
    logs = scored.logits[-1] - np.log(np.exp(scored.logits[-1]).sum())
    best = sorted(range(VOCAB), key=lambda t: -logs[t])[:3]
    branches = [task.root.fork() for _ in best]
    for branch, token in zip(branches, best, strict=True):
        branch.append(token)
    answers = yield Score(branches)
    paths = []
    for branch, first, answer in zip(branches, best, answers, strict=True):
        (after,) = answer.logits
        scores = logs[first] + after - np.log(np.exp(after).sum())
        paths.append((float(scores.max()), [*branch.ids[-1:], int(scores.argmax())]))
    for token in max(paths)[1]:
        yield Say(token, 1.0, 1, 1.0)


def test_a_search_over_forks_says_the_path_that_an_exhaustive_search_finds(
    engine: Engine, model: ToyModel
) -> None:
    given = parameters(max_new_tokens=9)
    answers = engine.generate([Request([4, 5], given, beams), Request([6], given, beams)])
    assert model.passes == [[2, 1], [1] * 6]
    for answer, prompt in zip(answers, ([4, 5], [6]), strict=True):
        likely = np.argsort(-probs_after(prompt))[:3]
        joint = {
            (int(a), b): probs_after(prompt)[a] * probs_after([*prompt, int(a)])[b]
            for a in likely
            for b in range(VOCAB)
        }
        assert answer.ids == max(joint, key=lambda pair: joint[pair])
        assert answer.finish_reason == "stop"


def test_a_strategy_may_ask_for_what_followed_its_last_ids_too(engine: Engine) -> None:
    def watched(task: Task) -> Steps:
        (scored,) = yield Score([task.root], rows=2)
        expected = [logits_after((1, 2, 3)), logits_after((1, 2, 3, 4))]
        np.testing.assert_array_equal(scored.logits, expected)
        yield Say(65, 1.0, 1, 1.0)

    assert engine.generate([Request([1, 2, 3, 4], strategy=watched)])[0].text == "A"


def test_a_strategy_may_watch_the_forward_and_leave_it_early(model: ToyModel) -> None:
    """In company as alone, however long the prompt is: what is watched comes in one pass."""
    long = [1 + i % 200 for i in range(600)]
    engine = Engine(ToyModel(ToyConfig(context_length=2000)))

    def watching(task: Task) -> Steps:
        root, twin = task.root, task.root.fork()
        prompt = tuple(root.ids)
        site = "layers.3.resid_post"
        answers = yield Score([root, twin], watch=(site,), exits=(0, 2))
        for scored in answers:
            truth = [residual_after(prompt[: n + 1], site) for n in range(len(prompt))]
            np.testing.assert_array_equal(scored.seen[site], truth)
            early = [residual_after(prompt, place) for place in ("embed", "layers.1.resid_post")]
            np.testing.assert_array_equal(scored.exits, unembedded(np.stack(early)))
        twin.append(9)
        (scored,) = yield Score([twin], exits=(1,))
        one = residual_after((*prompt, 9), "layers.0.resid_post")
        np.testing.assert_array_equal(scored.exits, unembedded(one[np.newaxis]))
        yield Say(65, 1.0, 1, 1.0)

    def plain(task: Task) -> Steps:
        (scored,) = yield Score([task.root])
        assert (scored.seen, scored.exits) == ({}, None)
        yield Say(66, 1.0, 1, 1.0)

    alone = engine.generate([Request(long, strategy=watching)])
    several = [
        Request(long, strategy=watching),
        Request(long, strategy=plain),
        Request([5], strategy=watching),
    ]
    assert [answer.ids for answer in (*alone, *engine.generate(several))] == [
        (65,),
        (65,),
        (66,),
        (65,),
    ]


def test_an_exit_that_is_no_number_ends_its_request_alone(
    monkeypatch: pytest.MonkeyPatch, model: ToyModel
) -> None:
    monkeypatch.setattr(
        model, "project", lambda rows: np.full((len(rows), VOCAB), np.nan), raising=False
    )

    def leaving(task: Task) -> Steps:
        yield Score([task.root], exits=(1,))

    engine = Engine(model, ByteTokenizer())
    running = [engine.start(Request([1, 2], strategy=leaving)), engine.start(request([3]), 1)]
    events = [event for _ in range(2) for event in engine.step(running)]
    assert [event.index for event in events if event.error] == [0]
    assert running[1].asked


def test_a_draft_is_verified_in_one_pass_and_changes_nothing(model: ToyModel) -> None:
    prompt = [4, 5]
    truth = greedy_after(prompt, 9)

    def drafting(task: Task) -> Steps:
        """Guess four tokens, of which the third is wrong; keep what the model agrees with."""
        root, said = task.root, 0
        while True:
            (scored,) = yield Score([root])
            guesses = [*root.drafted, None]
            for guess, logits in zip(guesses, scored.logits, strict=True):
                token = int(logits.argmax())
                root.append(token)
                said += 1
                yield Say(token, 1.0, 1, 1.0)
                if token != guess:
                    break
            root.settle()
            root.drafted = [*truth[said : said + 2], 1, 1]

    given = parameters(max_new_tokens=7)
    answer = Engine(model).generate([Request(prompt, given, drafting)])[0]
    assert list(answer.ids) == truth[:7]
    assert model.passes == [[2], [5], [5]]
