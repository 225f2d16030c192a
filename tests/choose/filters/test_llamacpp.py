"""llama.cpp's filters: what they leave is what llama.cpp's own samplers leave, alone and in chains.

`golden/llamacpp.json` has what llama.cpp says; where llama-cpp-python is installed, it is asked
again, and more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import Chain
from pellucid.choose.draw import Draws, draw
from pellucid.choose.filters import FILTERS, Context
from pellucid.choose.filters.dry import Breakers, _repeats
from pellucid.choose.parameters import parameters
from pellucid.choose.parameters.order import ORDERS
from pellucid.choose.setting import Setting
from pellucid.engine.engine import Engine, Request
from pellucid.errors import ParameterError
from pellucid.model.cache import Cache

from ...engine.toy import ByteTokenizer, ToyModel
from .llamacpp_cases import CHAINS, PENALTIES, STEERED, Case, cases, ours

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "llamacpp.json").read_text())
Steps = list[dict[str, Any]]


@dataclass(frozen=True)
class Words:
    """The few tokens that the golden cases hold."""

    vocab_size: int = 49_152
    eos_ids: tuple[int, ...] = ()

    def token_bytes(self, token_id: int) -> bytes:
        return bytes.fromhex(GOLDEN["words"][str(token_id)])

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        raise AssertionError("breakers of one character have no rest")


def check_equal(case: Case, theirs: Steps, vocabulary: Any) -> None:
    """Equal but for ties: where llama.cpp keeps one of several equals, we keep all."""
    tokens = [step["token"] for step in theirs]
    for step, candidates in enumerate(ours(case, tokens, vocabulary)):
        wanted, logits = theirs[step], case.logits(step)
        probs = candidates.probs_of(np.array(wanted["left"]))
        if case.shape == "tied":
            left = np.flatnonzero(candidates.dense(case.size) > -np.inf)
            assert set(wanted["left"]) <= set(left.tolist())
            assert set(logits[left]) == set(logits[wanted["left"]])
            probs /= probs.sum()
        else:
            assert candidates.count == wanted["count"]
        np.testing.assert_allclose(probs, wanted["probs"], rtol=3e-5, atol=1e-7)


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name[:70])
def test_what_is_left_is_what_llama_cpp_leaves(case: Case) -> None:
    check_equal(case, GOLDEN["cases"][case.name], Words())


def test_the_golden_answers_are_those_of_the_installed_llama_cpp(smollm2: Path) -> None:
    pytest.importorskip("llama_cpp")
    from .llamacpp import Vocabulary, theirs

    vocabulary = Vocabulary(smollm2)
    for case in cases():
        golden = GOLDEN["cases"][case.name]
        for now, then in zip(theirs(case, vocabulary if case.words else None), golden, strict=True):
            assert [now[part] for part in ("token", "count", "left")] == [
                then[part] for part in ("token", "count", "left")
            ]
            assert now["probs"] == pytest.approx(then["probs"], rel=1e-5)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (given, size)
        for given in (*CHAINS, *STEERED, PENALTIES | CHAINS[0])
        for size in (2, 5000)
        if (size, given.get("mirostat")) != (2, 1)  # where llama.cpp's k overflows an int
    ],
)
def test_other_sizes_of_a_vocabulary_are_as_in_llama_cpp(given: dict[str, Any], size: int) -> None:
    pytest.importorskip("llama_cpp")
    from .llamacpp import theirs

    for shape in ("random", "peaked", "flat"):
        case = Case(given, shape, steps=5, size=size, history=(0, 1, 1))
        check_equal(case, theirs(case), None)


@pytest.mark.parametrize(
    ("breakers", "texts"),
    [
        (["\n\n"], ["One.\n\nTwo and three.\n\nTwo and"]),
        ([" lighthouse keeper"], ["a lighthouse keeper climbed up; a lighthouse keeper climbed"]),
        (["house", "use k"], ["the house keeper sang. The house keeper sang. The house keeper"]),
        (["ee", "é"], ["keep the café keep the café keep the café keep the"]),
    ],
)
def test_breakers_of_several_tokens_are_found_as_in_llama_cpp(
    breakers: list[str], texts: list[str], smollm2: Path
) -> None:
    pytest.importorskip("llama_cpp")
    from pellucid.tokens.load import load_tokenizer
    from pellucid.weights.checkpoint import open_checkpoint

    from .llamacpp import Vocabulary, theirs

    tokenizer, vocabulary = load_tokenizer(open_checkpoint(smollm2)), Vocabulary(smollm2)
    for text in texts:
        ids = tokenizer.encode(text)
        for end in range(3, len(ids) + 1):
            given = {"dry_multiplier": 0.8, "dry_sequence_breakers": breakers}
            case = Case(given, size=49_152, history=ids[:end], words=True)
            check_equal(case, theirs(case, vocabulary), tokenizer)


def test_repetitions_are_those_that_a_search_by_definition_finds() -> None:
    rng = np.random.default_rng(5)
    for trial in range(400):
        size = int(rng.integers(2, 25))
        window = rng.integers(0, 3, size)
        least, longest = int(rng.integers(0, 4)), int(rng.integers(4, 12))
        if trial % 2:  # the same again and again, but for one token
            window, longest = np.tile(window, 1 + 120 // size), int(rng.integers(30, 150))
            window[rng.integers(0, len(window))] = 9
        found: dict[int, int] = {}
        for end in range(1, len(window)):
            tail = window[len(window) - end :]
            same = window[:end] == tail
            length = min(end if same.all() else int(same[::-1].argmin()), longest)
            if length >= least:
                token = int(window[end])
                found[token] = max(found.get(token, 0), length)
        tokens, lengths = _repeats(window, least, longest)
        assert dict(zip(tokens.tolist(), lengths.tolist(), strict=True)) == found


def test_an_id_without_a_token_breaks_nothing() -> None:
    from pellucid.errors import TextError

    class Short(Words):
        def token_bytes(self, token_id: int) -> bytes:
            if token_id > 9:
                raise TextError("no token has this id")
            return b"\n" if token_id == 9 else b"a"

    breakers = Breakers(Short(), ["\n"])
    assert breakers.since(np.array([9, 1, 60_000])) == 2
    assert breakers.since(np.array([1, 60_000])) == 2
    assert breakers.since(np.array([1, 9])) == 0


def started(given: dict[str, Any]) -> tuple[Branch, Chain]:
    """A branch with what the filters of a draw remember of it, and these filters."""
    chosen = parameters(do_sample=True, **given)
    branch, chain = Branch([1], Cache(0, 1, 1, lambda shape: None)), Chain(chosen)
    chain.follow(branch, Setting(branch, chosen, Branch, None))
    return branch, chain


def context(ids: Sequence[int] = (), draws: Draws | None = None) -> Context:
    return Context(np.array(ids, np.int64), 0, np.array([], np.int64), draws=draws, vocab_size=300)


def test_xtc_acts_as_often_as_its_probability_says() -> None:
    logits = Candidates(Case({}, "random").logits(0))
    draws = Draws(3)
    counts = [
        FILTERS["xtc"].apply(logits, context(draws=draws), 0.3, 0.02).count for _ in range(10_000)
    ]
    acted = sum(count < 300 for count in counts)
    assert abs(acted - 3000) < 5 * (10_000 * 0.3 * 0.7) ** 0.5


@pytest.mark.parametrize("given", STEERED, ids=str)
def test_what_is_remembered_is_taken_back_and_forked_with_the_branch(given: dict[str, Any]) -> None:
    case = Case(given, steps=4)
    branch, chain = started(given)

    def left(of: Branch, step: int) -> list[float]:
        steps = chain(Candidates(case.logits(step)), context(of.ids), of)
        return steps[-1][1].dense(300).tolist()

    def grow(of: Branch, tokens: Sequence[int]) -> list[list[float]]:
        grown = []
        for token in tokens:
            grown.append(left(of, len(of.ids) - 1))
            of.append(token)
        return grown

    likely = np.argsort([-x for x in left(branch, 0)])[:2].tolist()
    once = grow(branch, [likely[0], *likely])
    branch.drop(3)
    twin = branch.fork()
    assert grow(branch, [likely[0], *likely]) == once
    assert grow(twin, [likely[1], *likely])[0] == once[0]
    memory, other = (next(iter(of.followers.values())) for of in (branch, twin))
    assert memory.value != other.value  # the twin has seen another first token


def test_a_token_that_was_none_of_the_candidates_moves_nothing() -> None:
    branch, chain = started({"mirostat": 2})
    memory: Any = branch.followers["mirostat"]
    chain(Candidates(np.array([0, -np.inf], np.float32)), context(), branch)
    branch.append(1)
    branch.append(0)  # nothing was seen at this length
    assert memory.value == 10.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scores", [[0, 0, 0], [5, -np.inf, -np.inf], [1e30, -1e30, 0], [1e-30, 0]])
@pytest.mark.parametrize(
    "given",
    [
        {"mirostat": 1},
        {"mirostat": 2},
        {"adaptive_target": 0.0},
        {"dynatemp_range": 1.0},
        {"top_n_sigma": 0.5},
        {"xtc_probability": 1.0},
        {"mirostat": 1, "mirostat_tau": 100.0},
        {"mirostat": 2, "mirostat_tau": 0.0},
    ],
    ids=str,
)
def test_extreme_scores_leave_a_sound_distribution(
    given: dict[str, Any], scores: list[float]
) -> None:
    branch, chain = started(given)
    own = Candidates(np.array(scores, np.float32))
    for _ in range(3):
        ((_, left),) = chain(own, context(draws=Draws(1)), branch)
        probs = left.probs()
        assert probs.sum() == pytest.approx(1)
        assert (left.dense(len(scores))[own.scores == -np.inf] == -np.inf).all()
        branch.append(left.likeliest)


def test_every_dialect_orders_every_filter_once() -> None:
    for order in ORDERS.values():
        assert sorted(order) == sorted(FILTERS)


def test_the_order_of_vllm_is_that_of_its_sampler() -> None:
    """As the docstring of vllm/v1/sample/sampler.py numbers its steps."""
    theirs = ["allowed_token_ids", "bad_words_ids", "min_new_tokens", "logit_bias",
              "repetition_penalty", "frequency_penalty", "presence_penalty", "temperature",
              "min_p", "top_k", "top_p"]  # fmt: skip
    assert [name for name in ORDERS["vllm"] if name in theirs] == theirs


def test_the_order_of_llama_cpp_is_that_of_its_default_samplers() -> None:
    """As common/common.h lists `samplers`; logit_bias and mirostat as common/sampling.cpp adds."""
    theirs = parameters(
        samplers="penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature"
    ).order
    wanted = ["logit_bias", *theirs, "mirostat", "adaptive_p"]
    assert [name for name in ORDERS["llama.cpp"] if name in wanted] == wanted


def test_an_own_order_is_kept_and_may_name_what_does_not_act() -> None:
    chosen = parameters(top_k=3, temperature=0.5, samplers="top_k; typ-p; temp; mirostat")
    assert [row.name for row in Chain(chosen).filters] == ["top_k", "temperature"]


def test_an_order_that_leaves_out_what_acts_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"^samplers: leaves out min_p, which is asked for$"):
        Chain(parameters(min_p=0.1, top_k=5, samplers="top_k;temperature"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_p": 0.1, "samplers": "top_k"}, "samplers: leaves out min_p, which is asked for"),
        (
            {"dry_multiplier": 1},
            "dry_sequence_breakers: need a tokenizer, and this engine has none",
        ),
    ],
)
def test_a_request_that_cannot_be_filtered_is_refused_before_anything_is_computed(
    given: dict[str, Any], message: str
) -> None:
    model = ToyModel()
    with pytest.raises(ParameterError, match=f"^{message}$"):
        Engine(model).generate([Request([7], parameters(**given))])
    assert not model.passes


def test_what_each_line_remembers_is_its_own_in_company_as_alone() -> None:
    requests = [
        Request([7, number], parameters(max_new_tokens=12, seed=number, **given))
        for number, given in enumerate([*STEERED, CHAINS[3], {"dry_multiplier": 2, "top_k": 3}])
    ]
    requests.append(Request([7], parameters(mirostat=2, seed=3, num_return_sequences=3)))

    def answers(some: list[Request]) -> Any:
        return Engine(ToyModel(), ByteTokenizer()).generate(some)

    assert answers(requests) == [answers([request])[0] for request in requests]


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_brings_the_surprise_to_what_was_asked(version: int) -> None:
    given = {"mirostat": version, "mirostat_tau": 2.5, "mirostat_eta": 0.5}
    branch, chain = started(given)
    logits = [Candidates(Case({}).logits(step)) for step in range(50)]
    draws, surprise = Draws(1), []
    for step in range(2000):
        ((_, left),) = chain(logits[step % 50], context(), branch)
        token = draw(left, draws.uniform())
        surprise.append(-np.log2(left.probs_of(np.array([token]))[0]))
        branch.append(token)
    assert np.mean(surprise) == pytest.approx(2.5, abs=0.05)


# llama.cpp#7498: "it sampled a token that had a 1% probability instead of [...] 96%", although
# min_p was 0.05. There, temperature comes behind min_p; these are logits at which that happens.
SURPRISING = np.log(np.array([1, 0.0625, 0.055, 0.055, 0.055, 0.055, 1e-4]))
GIVEN: dict[str, Any] = {"temperature": 0.6, "min_p": 0.05}


def surprised(dialect: str, seed: int) -> Any:
    def spoil(ids: tuple[int, ...], logits: Any) -> Any:
        return np.append(SURPRISING, np.full(249, -50)).astype(np.float32)

    request = parameters(max_new_tokens=1, dialect=dialect, seed=seed, **GIVEN)
    (answer,) = Engine(ToyModel(spoil=spoil)).generate([Request([7], request)])
    return answer.tokens[0]


def test_the_ledger_explains_how_a_token_of_one_percent_beat_one_of_96() -> None:
    seed = next(seed for seed in range(10_000) if 0.9605 < Draws(seed).uniform() < 0.9690)
    theirs = surprised("llama.cpp", seed)
    assert (theirs.id, theirs.rank) == (1, 2)
    assert theirs.processed_prob == pytest.approx(0.0094, abs=1e-4)
    ledger = theirs.ledger
    place = ledger.ids.tolist().index(1)
    assert ledger.removed_by[place] is None
    by_name = {entry.name: entry for entry in ledger.entries}
    assert list(by_name) == ["model", "min_p", "temperature"]
    assert by_name["min_p"].probs[place] == pytest.approx(0.0487, abs=1e-4)  # min_p saw this
    assert by_name["temperature"].probs[0] == pytest.approx(0.96, abs=1e-4)

    other = surprised("transformers", seed)
    assert (other.id, other.processed_prob) == (0, 1.0)
    assert other.ledger.removed_by[other.ledger.ids.tolist().index(1)] == "min_p"


def test_the_surprising_orders_are_those_of_the_two_systems() -> None:
    import torch
    from transformers.generation import logits_process as transformers

    logits = SURPRISING.astype(np.float32)
    rows = torch.tensor(logits[None])
    warped = transformers.TemperatureLogitsWarper(0.6)(None, rows)
    hot = transformers.MinPLogitsWarper(0.05)(None, warped)[0].numpy()
    np.testing.assert_allclose(left_by("transformers", logits), hot, rtol=1e-6)
    llama = pytest.importorskip("tests.choose.filters.llamacpp", exc_type=ImportError)
    chain = llama.Chain(llama.sampler("min_p", 0.05, 0), llama.sampler("temp", 0.6))
    np.testing.assert_allclose(left_by("llama.cpp", logits), chain(logits)[0], rtol=1e-6)


def left_by(dialect: str, logits: Any) -> Any:
    chain = Chain(parameters(dialect=dialect, **GIVEN))
    return chain(Candidates(logits), context())[-1][1].dense(len(logits))
