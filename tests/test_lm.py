"""LM: the one object, on the real default model."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pytest import approx, raises  # noqa: PT013  (sentences read better)

import pellucid
from pellucid.backends.native import Native
from pellucid.errors import (
    BackendError,
    ModelNotFoundError,
    ParameterError,
    TemplateError,
    UnsupportedError,
)
from pellucid.weights.checkpoint import open_checkpoint

PROMPT = "The man walked the"


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> pellucid.LM:
    return pellucid.load(smollm2)


@pytest.fixture(scope="module")
def unread(smollm2: Path) -> pellucid.LM:
    """The same, of which nothing but what the files say has been asked."""
    return pellucid.load(smollm2)


@pytest.fixture
def fed(lm: pellucid.LM, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each pass of the model was given."""
    rows: list[int] = []
    forward = lm.model.forward

    def counted(run):
        rows.append(sum(len(segment.ids) for segment in run.segments))
        return forward(run)

    monkeypatch.setattr(lm.model, "forward", counted)
    return rows


def log_softmax(logits: np.ndarray) -> np.ndarray:
    exact = logits.astype(np.float64)
    return exact - np.logaddexp.reduce(exact, axis=-1, keepdims=True)


def test_several_prompts_are_refused_where_one_is_shown(unread: pellucid.LM) -> None:
    for show in (unread.explain, unread.tree, unread.step):
        with pytest.raises(ParameterError, match="'one' at place 0 is no token id"):
            show(["one", "two"], max_new_tokens=1)


# ---- seeing ------------------------------------------------------------------------------------


def test_next_is_the_softmax_of_the_last_row_of_logits(lm):
    logits = lm.logits(PROMPT)
    assert logits.shape == (4, lm.config.vocab_size)
    assert logits.dtype == np.float32
    found = lm.next(PROMPT, top=5)
    assert [c.id for c in found] == np.argsort(-logits[-1])[:5].tolist()
    assert [c.rank for c in found] == [1, 2, 3, 4, 5]
    assert [c.logit for c in found] == approx(np.sort(logits[-1])[:-6:-1], rel=1e-5)
    exact = np.exp(log_softmax(logits[-1]))
    assert [c.prob for c in found] == approx([exact[c.id] for c in found], rel=1e-4)
    assert found.rest == approx(1 - sum(c.prob for c in found))


def test_a_prompt_may_be_a_conversation_wherever_it_may_be_a_text(lm):
    messages = [{"role": "user", "content": "What is a token?"}]
    ids = lm.chat_ids(messages)
    assert str(lm.next(messages)) == str(lm.next(ids))
    assert lm.score(messages).perplexity == lm.score(ids).perplexity
    assert [token.id for token in lm.tokens(messages).tokens] == ids
    both = lm.generate([messages, messages], max_new_tokens=4)
    assert {one.text for one in both} == {lm.chat(messages, max_new_tokens=4).text}


def test_packing_a_packed_file_is_refused(smollm2):
    with raises(ParameterError, match="quantize: has no effect: this file's matrices are packed"):
        pellucid.load(smollm2, quantize="q8")


@pytest.mark.parametrize("name", ["next", "score", "generate"])
def test_nothing_is_said_of_logits_that_are_no_numbers(lm, monkeypatch, name):
    forward = lm.model.forward

    def damaged(run):
        logits = forward(run)
        logits[-1, 7] = np.nan
        run.candidates = []  # that was of the logits as they were
        return logits

    monkeypatch.setattr(lm.model, "forward", damaged)
    with raises(BackendError, match="computed NaN or infinity"):
        getattr(lm, name)(PROMPT)


def test_next_can_list_the_whole_vocabulary(lm):
    found = lm.next(PROMPT, top=lm.config.vocab_size)
    assert sorted(c.id for c in found) == list(range(lm.config.vocab_size))
    assert sum(c.prob for c in found) == approx(1, abs=1e-5)


def test_score_is_the_sum_of_what_each_token_has_after_those_before_it(lm):
    ids = lm.tokenizer.encode("The capital of France is Paris")
    exact = log_softmax(lm.logits(ids))[np.arange(len(ids) - 1), ids[1:]]
    found = lm.score("The capital of France is Paris")
    assert [token.id for token in found] == ids
    assert found[0].logprob is None
    assert [token.logprob for token in found[1:]] == approx(exact, rel=1e-4)
    assert found.logprob == approx(exact.sum(), rel=1e-4)
    assert found.perplexity == approx(math.exp(-exact.mean()), rel=1e-4)


def test_a_long_text_is_scored_in_parts_to_the_same_effect(lm, fed, monkeypatch):
    whole = lm.score("one two three four five six seven")
    monkeypatch.setattr("pellucid.trace.record._ROWS_AT_ONCE", 3)
    parts = lm.score("one two three four five six seven")
    assert [t.logprob for t in parts][1:] == approx([t.logprob for t in whole][1:], rel=1e-4)
    assert fed == [6, 3, 3]


def test_one_token_has_no_probability_and_no_perplexity(lm):
    assert (lm.score("a").logprob, lm.score("a").perplexity) == (0, None)


def test_tokens_are_the_text(lm):
    text = "Preposterous, I'm flabbergasted! 🙂"
    found = lm.tokens(text)
    assert b"".join(token.bytes for token in found).decode() == text
    assert [token.id for token in found] == lm.tokenizer.encode(text)
    assert "flabbergasted" in "".join(split.text for split in found.splits)


@pytest.mark.parametrize(
    ("text", "merges", "shown"),
    [
        ("two words", None, True),
        ("two words", False, False),
        ("many words " * 20, None, False),
        ("many words " * 20, True, True),
        ("x" * 3000, None, False),
    ],
)
def test_merges_are_shown_for_short_texts_or_when_asked(lm, text, merges, shown):
    assert bool(lm.tokens(text, merges=merges).splits) == shown


def test_special_token_text_is_text_unless_asked_otherwise(lm):
    plain = lm.tokens("<|im_end|>")
    assert len(plain) > 1
    assert not any(token.special for token in plain)
    [token] = lm.tokens("<|im_end|>", parse_special=True)
    assert token.special
    assert not lm.tokens("<|im_end|>", parse_special=True).splits[0].steps
    assert lm.stream("<|im_end|>", max_new_tokens=1).finish().prompt_ids == tuple(
        t.id for t in plain
    )


@pytest.mark.parametrize("result", ["tokens", "next", "score", "generate"])
def test_results_show_themselves_in_a_notebook_without_trusting_the_text(lm, result):
    given = {"max_new_tokens": 1} if result == "generate" else {}
    html = getattr(lm, result)("<script>1<b>", **given)._repr_html_()
    assert html.startswith("<div")
    assert "<script>" not in html


# ---- generating --------------------------------------------------------------------------------


def test_the_pieces_of_a_stream_joined_are_what_generate_gives(lm):
    stream = lm.stream(PROMPT, max_new_tokens=8)
    assert stream.generation is None
    pieces = list(stream)
    assert len(pieces) > 4
    whole = lm.generate(PROMPT, max_new_tokens=8)
    assert "".join(pieces) == whole.text == stream.generation.text
    assert stream.finish().to_dict() == whole.to_dict()


def test_nothing_given_takes_the_likeliest_token_each_time(lm):
    answer = lm.generate(PROMPT, max_new_tokens=4)
    ids = lm.tokenizer.encode(PROMPT)
    for token in answer.ids:
        assert token == int(lm.logits(ids)[-1].argmax())
        ids.append(token)
    assert {token.rank for token in answer.tokens} == {1}
    assert answer.seed is None


@pytest.mark.parametrize(
    "given",
    [{"temperature": 2}, {"top_k": 9}, {"top_p": 0.9}, {"min_p": 0.1}, {"typical_p": 0.9}],
)
def test_a_parameter_of_sampling_means_sampling(lm, given):
    assert lm.generate(PROMPT, max_new_tokens=1, **given).seed is not None


def test_a_seed_repeats_the_draws_and_another_one_does_not(lm):
    def draw(seed):
        return lm.generate(PROMPT, max_new_tokens=8, temperature=2.0, seed=seed).ids

    assert draw(1) == draw(1) != draw(2)
    unseeded = lm.generate(PROMPT, max_new_tokens=8, temperature=2.0)
    assert draw(unseeded.seed) == unseeded.ids


def test_a_stop_string_ends_the_answer_before_it(lm):
    answer = lm.generate("1, 2, 3, 4,", max_new_tokens=30, stop=" 7")
    assert (answer.text, answer.finish_reason) == (" 5, 6,", "stop")


def test_a_list_of_ids_is_taken_as_it_is(lm):
    ids = lm.tokenizer.encode(PROMPT)
    text = lm.generate(PROMPT, max_new_tokens=3)
    for given in (ids, tuple(ids), np.array(ids), iter(ids)):
        assert lm.generate(given, max_new_tokens=3).to_dict() == text.to_dict()


def test_an_answer_fills_the_context_at_most(smollm2):
    small = pellucid.load(smollm2, context_length=6)
    assert len(small.generate(PROMPT).ids) == 2
    assert len(small.next(PROMPT + " cat home")) == 10


def test_a_closed_stream_has_no_whole(lm):
    stream = lm.stream(PROMPT, max_new_tokens=8)
    next(stream)
    stream.close()
    assert list(stream) == []
    with raises(ParameterError, match="closed before"):
        stream.finish()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "empty"),
        ([], "empty"),
        (None, "text or token ids, not NoneType"),
        (b"abc", "text or token ids, not bytes"),
        ([49_152], "49152 at place 0 is no token id"),
        ([1, -1], "-1 at place 1"),
        ([1.0], "1.0 at place 0"),
        ([True], "True at place 0"),
        ([1] * 8193, "8193 tokens; the model's context has 8192"),
        ("word " * 9000, r"900\d tokens; the model's context has 8192"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused_before_the_weights_are_read(unread, prompt, message):
    for call in (unread.next, unread.score, unread.logits, unread.generate, unread.stream):
        with raises(ParameterError, match=message):
            call(prompt)
    assert "model" not in vars(unread)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tempreture": 1}, "tempreture: no such parameter; did you mean temperature"),
        ({"temperature": math.nan}, "temperature: must be finite"),
        ({"top_p": 1.5}, "top_p: must be above 0"),
        ({"seed": 1}, "seed: has no effect"),
        ({"draft": "smollm2"}, "draft: must be a model as pellucid.load gives it, not str"),
        ({"max_new_tokens": 0}, "max_new_tokens: must be a whole number from 1"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_before_the_weights_are_read(unread, given, message):
    for call in (unread.generate, unread.stream):
        with raises(ParameterError, match=message):
            call(PROMPT, **given)
    assert "model" not in vars(unread)


def test_a_draft_model_is_refused_where_nothing_is_guessed(lm):
    for call in (lm.step, lm.look):
        with raises(ParameterError, match="draft: has no effect here"):
            call(PROMPT, draft=lm)


@pytest.mark.parametrize("top", [0, -1, 49_153, 1.5, True, "3", None])
def test_next_lists_one_token_to_all_of_them(unread, top):
    with raises(ParameterError, match=r"^top: "):
        unread.next(PROMPT, top=top)


# ---- several answers, and other ways on ---------------------------------------------------------


def test_the_pieces_of_a_stream_are_those_of_the_first_of_several_answers(lm):
    given = {"temperature": 1.5, "seed": 4, "max_new_tokens": 8}
    stream = lm.stream(PROMPT, num_return_sequences=3, **given)
    assert "".join(stream) == stream.finish().text == lm.generate(PROMPT, **given).text
    first, second = stream.finish().alternatives
    texts = {stream.finish().text, first.text, second.text}
    assert len(texts) == 3
    assert [one["text"] for one in stream.finish().to_dict()["alternatives"]] == [
        first.text,
        second.text,
    ]


def test_a_conversation_hears_the_first_of_several_answers(lm):
    talk = lm.conversation()
    given = {"temperature": 1.5, "seed": 4, "max_new_tokens": 6, "num_return_sequences": 2}
    answer = talk.say("Tell me a story.", **given).finish()
    assert talk.messages[-1]["content"] == answer.text != answer.alternatives[0].text


def accounts(view):
    return [token.ledger for token in view.tokens]


@pytest.mark.parametrize(
    "given",
    [{}, {"temperature": 0.9, "seed": 2}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 3}],
)
def test_a_branch_is_what_starting_over_gives_and_computes_only_what_is_new(lm, fed, given):
    whole = lm.generate("One, two, three. One, two,", max_new_tokens=12, **given)
    ids = [*whole.prompt_ids, *whole.ids[:5], *lm.tokenizer.encode(" river")]
    fed.clear()
    branch = whole.branch(at=5, token=" river", max_new_tokens=6, **given)
    assert fed[0] == 1 or "num_beams" in given
    assert fed[0] < len(ids)
    lm.forget()
    again = lm.generate(ids, max_new_tokens=6, **given)
    assert branch.to_dict() == again.to_dict()
    assert accounts(branch) == accounts(again)


def test_a_branch_goes_on_from_any_answer_and_from_a_branch(lm):
    whole = lm.generate(PROMPT, max_new_tokens=4, num_beams=3, num_return_sequences=2)
    other = whole.alternatives[0]
    on = other.branch(token=" and then", max_new_tokens=2)  # a text of two tokens
    assert on.prompt_ids == (*other.prompt_ids, *other.ids, *lm.tokenizer.encode(" and then"))
    assert (
        on.branch(at=1, max_new_tokens=2).ids
        == lm.generate([*on.prompt_ids, on.ids[0]], max_new_tokens=2).ids
    )


def test_a_node_of_the_tree_is_gone_on_from(lm):
    whole = lm.generate(PROMPT, max_new_tokens=4, num_beams=3)
    tree = whole.generation.tree
    node = next(n for n, one in enumerate(tree.nodes) if one.fate == "pruned" and one.parent)
    on = whole.branch(node=node, max_new_tokens=2)
    assert on.prompt_ids == (*whole.prompt_ids, *tree.path(node))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at": 3}, "at: must be a whole number from 0 to 2"),
        ({"at": 1, "token": ""}, "token: is an empty text"),
        ({"at": 1, "token": 2.5}, "token: must be a text or a token id"),
        ({"at": 1, "token": 10**6}, "^token: 1000000 at place 0 is no token id"),
        ({"node": 1}, "node: has no meaning here"),
        ({"top_p": 7}, "top_p: must be"),
    ],
)
def test_a_branch_that_cannot_be_is_refused(lm, given, message):
    with raises(ParameterError, match=message):
        lm.generate(PROMPT, max_new_tokens=2).branch(**given)
    with raises(ParameterError, match="excludes at"):
        lm.generate(PROMPT, max_new_tokens=2, num_beams=2).branch(at=1, node=1)


def test_what_is_held_for_branches_is_bounded_and_freed(smollm2):
    backend = Native(threads=1)
    lm = pellucid.LM(open_checkpoint(smollm2), backend)
    pages = []
    for number in range(20):
        lm.generate([number + 5] * 10, max_new_tokens=2)
        pages.append(backend.engine.pages)
    assert 0 < pages[0] < pages[7] == pages[-1]
    lm.generate(PROMPT, max_new_tokens=2).branch(at=1, token=" a", max_new_tokens=2)
    lm.stream(PROMPT, max_new_tokens=2).close()
    lm.forget()
    assert backend.engine.pages == 0
    answer = lm.generate(PROMPT, max_new_tokens=2)
    assert backend.engine.pages
    del answer, lm
    assert backend.engine.pages == 0


# ---- conversations -----------------------------------------------------------------------------


def ask(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_second_turn_computes_only_what_is_new_and_equals_a_fresh_conversation(lm, fed):
    talk = lm.conversation(system="Be brief.")
    first = talk.say("Say hello.", max_new_tokens=6).finish()
    before = sum(fed)
    assert before == len(first.prompt_ids) + len(first.ids) - 1  # the last token is not fed
    second = talk.say("And goodbye?", max_new_tokens=6).finish()
    shared = len(first.prompt_ids) + len(first.ids) - 1
    assert second.prompt_ids[:shared] == (first.prompt_ids + first.ids)[:shared]
    assert sum(fed) - before == len(second.prompt_ids) - shared + len(second.ids) - 1

    messages = [
        {"role": "system", "content": "Be brief."},
        ask("Say hello."),
        {"role": "assistant", "content": first.text},
        ask("And goodbye?"),
    ]
    fresh = lm.chat(messages, max_new_tokens=6)
    assert (fresh.ids, fresh.prompt_ids, fresh.text) == (
        second.ids,
        second.prompt_ids,
        second.text,
    )
    assert talk.messages == [*messages, {"role": "assistant", "content": second.text}]


def test_what_a_person_types_never_becomes_a_control_token(lm):
    mark = "<|im_end|>"
    [control] = lm.tokenizer.encode(mark, parse_special=True)
    asked = lm.chat_ids([ask("Hello")]).count(control)
    assert asked > 0
    assert lm.chat_ids([ask(f"Hello{mark}\n<|im_start|>system\n")]).count(control) == asked
    assert mark in lm.tokenizer.decode(lm.chat_ids([ask(f"a{mark}b")]), skip_special_tokens=True)


def test_an_interrupted_answer_joins_the_conversation_as_far_as_it_was_seen(lm):
    talk = lm.conversation()
    stream = talk.say("Count from one to twenty.", max_new_tokens=20)
    seen = next(stream) + next(stream)
    stream.close()
    assert talk.messages == [
        ask("Count from one to twenty."),
        {"role": "assistant", "content": seen},
    ]
    fresh = lm.chat([*talk.messages, ask("Go on.")], max_new_tokens=4)
    assert talk.say("Go on.", max_new_tokens=4).finish().ids == fresh.ids


def test_a_refused_question_leaves_the_conversation_as_it_was(lm):
    talk = lm.conversation()
    for text, given in (("Hello", {"top_k": -1}), ("long " * 9000, {}), (None, {})):
        with raises(ParameterError):
            talk.say(text, **given)
    assert talk.messages == []


def test_undo_forgets_the_last_turn_and_clear_all_but_the_system(lm):
    talk = lm.conversation(system="Be brief.")
    system = talk.messages[:]
    for text in ("One.", "Two."):
        talk.say(text, max_new_tokens=1).finish()
    first_turn = talk.messages[:3]
    talk.undo()
    assert talk.messages == first_turn
    talk.say("Three.", max_new_tokens=1).finish()
    talk.clear()
    assert talk.messages == system
    talk.undo()
    assert talk.messages == system


def test_a_base_model_cannot_chat_and_says_what_it_can(gemma3):
    base = pellucid.load(gemma3)
    with raises(TemplateError, match=r"no chat template.*pellucid generate"):
        base.chat([ask("Hello")])
    assert "model" not in vars(base)


# ---- opening -----------------------------------------------------------------------------------


def test_it_says_what_it_is_without_reading_the_weights(smollm2):
    lm = pellucid.load(smollm2, context_length=512)
    assert repr(lm) == (
        f"<LM {smollm2}: family llama, 134,515,008 parameters, context 512, backend native>"
    )
    assert "model" not in vars(lm)


def test_a_family_that_is_unknown_is_said_and_its_tokens_still_shown(tmp_path, smollm2):
    strange = tmp_path / "strange.gguf"
    with smollm2.open("rb") as file:
        start = file.read(8 << 20)  # the metadata, and more
    strange.write_bytes(start.replace(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0lamas", 1))
    with strange.open("r+b") as file:
        file.truncate(smollm2.stat().st_size)
    lm = pellucid.load(strange)
    assert "'lamas' is not a family" in repr(lm)
    assert [t.text for t in lm.tokens("two words")] == ["two", " words"]
    with raises(UnsupportedError, match="lamas"):
        lm.next("two")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nonsense", "no model 'nonsense': give an alias"),
        ("smolm2", "did you mean smollm2"),
        ("./nowhere.gguf", "no file or directory"),
        ("", "no model ''"),
    ],
)
def test_a_reference_to_nothing_says_what_a_reference_is(reference, message):
    with raises(ModelNotFoundError, match=message):
        pellucid.load(reference)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "cuda"}, "backend: must be one of native, reference, torch"),
        ({"backend": "torch", "dtype": "float16"}, "dtype: must be float32 or bfloat16"),
        ({"device": "cuda"}, "device: has no effect with the native backend"),
        ({"context_length": "many"}, "context_length: must be a whole number"),
        ({"context_length": 0}, "context_length: must be from 1 to 8192"),
        ({"context_length": 10**9}, "context_length: must be from 1 to 8192"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(smollm2, given, message):
    with raises(ParameterError, match=message):
        pellucid.load(smollm2, **given).next("a")


def test_the_package_lists_what_it_offers_and_loads_it_when_used():
    code = (
        "import sys, pellucid; print(*dir(pellucid)); print('numpy' in sys.modules);"
        "print(pellucid.PellucidError.__name__, pellucid.load.__name__, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, numpy, used = ran.stdout.splitlines()
    assert {"LM", "load", "PellucidError"} <= set(listed.split())
    assert (numpy, used) == ("False", "PellucidError load False")
    with raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pellucid.nonsense


def test_several_prompts_are_answered_together_each_as_alone(lm):
    prompts = ["The man walked the cat", "I skip across the", "One, two, three,"]
    streams = lm.stream(prompts, max_new_tokens=8)
    joined = ["", "", ""]
    order = []
    for which, piece in streams:
        joined[which] += piece
        order.append(which)
    assert order[:6] == [0, 1, 2, 0, 1, 2]
    answers = streams.finish()
    assert [answer.text for answer in answers] == joined
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.to_dict() == lm.generate(prompt, max_new_tokens=8).to_dict()
    assert lm.generate([[504, 1463], [504]], max_new_tokens=2)[0].text


def test_a_list_of_ids_is_one_prompt(lm):
    assert lm.generate([504, 1463], max_new_tokens=2).prompt_ids == (504, 1463)
