"""What is measured: each scenario takes a file and its contestants, and gives results."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.files import ModelFile
from bench.measure import LIMIT, OURS, Result, divergence, in_turns, reason, seconds
from bench.pages import page
from bench.peers import Contestant, Loaded
from bench.text import ids as text_ids
from pellucid.backends.measure import memory_limit
from pellucid.backends.reference import Reference
from pellucid.choose.parameters import GenerationParameters, parameters
from pellucid.choose.parameters.account import DEFAULT_LEDGER
from pellucid.engine.engine import Engine, LanguageModel, Request
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint
from pellucid.weights.tensor import Floats

_SEQUENCES = 8
_BEAMS = 4
_PROMPT = 32
_WARMING_STEPS = 2
_COLD_TEXT = "The capital of France is"
_COLD_SECONDS = 300  # a process that takes longer has failed
_WAYS_TO_CHOOSE: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "seed": 1},
    "penalties": {"repetition_penalty": 1.2, "frequency_penalty": 0.2, "presence_penalty": 0.2},
}


@dataclass(frozen=True)
class Setting:
    """How thoroughly to measure. `tokens` are decoded in a turn; `positions` are compared."""

    threads: int
    repeats: int = 5
    tokens: int = 128
    positions: int = 200


Measured = Callable[[ModelFile, Sequence[Contestant], Setting], list[Result]]


@dataclass(frozen=True)
class Scenario:
    """A line of the table; `long` ones are left out of a quick run."""

    name: str
    measure: Measured
    long: bool = False


@contextmanager
def opened(
    file: ModelFile, who: Sequence[Contestant], threads: int, sequences: int, length: int
) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Everybody's model, loaded and warm; and of those who have none the reason."""
    loaded: dict[str, Loaded] = {}
    skipped: dict[str, str] = {}
    warming = text_ids(file, _PROMPT)[: max(1, length - _WARMING_STEPS)]
    try:
        for contestant in who:
            if why := contestant.absent(file):
                skipped[contestant.name] = why
                continue
            try:
                model = contestant.open(file, threads, sequences, length)
                loaded[contestant.name] = model
                model.start([warming] * sequences)
                for _ in range(_WARMING_STEPS):
                    model.step([warming[0]] * sequences)
            except Exception as error:  # a peer may raise anything; the others go on
                skipped[contestant.name] = reason(error)
                loaded.pop(contestant.name, None)
        yield loaded, skipped
    finally:
        for model in loaded.values():
            model.close()


def decode(
    context: int, file: ModelFile, who: Sequence[Contestant], setting: Setting
) -> list[Result]:
    """Tokens a second, one after the other, after `context` tokens; and what memory allows."""
    length = context + setting.tokens
    ids = text_ids(file, length)
    with opened(file, who, setting.threads, 1, length) as (models, skipped):
        runs: dict[str, Callable[[], float]] = {
            name: partial(_steps, model, [ids], context) for name, model in models.items()
        }
        if OURS in models:
            # Halfway through the turn.
            read = models[OURS].bytes_per_token(context + setting.tokens // 2)
            runs[LIMIT] = lambda: memory_limit(setting.threads) / read
        values, failed = in_turns(runs, setting.repeats)
    name = f"decode after {context:,}"
    return [Result(file.name, name, "tokens/s", True, values, skipped | failed)]


def prefill(
    length: int, file: ModelFile, who: Sequence[Contestant], setting: Setting
) -> list[Result]:
    """Tokens a second of a prompt of this length, to the logits that follow it."""
    ids = text_ids(file, length)
    with opened(file, who, setting.threads, 1, length) as (models, skipped):
        runs = {name: partial(_prompt, model, ids) for name, model in models.items()}
        values, failed = in_turns(runs, setting.repeats)
    return [Result(file.name, f"prefill of {length:,}", "tokens/s", True, values, skipped | failed)]


def batch(file: ModelFile, who: Sequence[Contestant], setting: Setting) -> list[Result]:
    """Tokens a second of eight sequences together, each different, after 32 tokens each."""
    length = _PROMPT + setting.tokens
    ids = text_ids(file, length + 7 * _SEQUENCES)
    sequences = [ids[7 * i : 7 * i + length] for i in range(_SEQUENCES)]
    with opened(file, who, setting.threads, _SEQUENCES, length) as (models, skipped):
        runs = {name: partial(_steps, model, sequences, _PROMPT) for name, model in models.items()}
        values, failed = in_turns(runs, setting.repeats)
    name = f"{_SEQUENCES} sequences together"
    return [Result(file.name, name, "tokens/s", True, values, skipped | failed)]


def cold(file: ModelFile, who: Sequence[Contestant], setting: Setting) -> list[Result]:
    """Seconds of a process from its start to its end, one token generated."""
    skipped = {c.name: why for c in who if (why := c.absent(file))}
    present = [c for c in who if c.name not in skipped]
    runs = {c.name: partial(_process, c.cold(file, setting.threads, _COLD_TEXT)) for c in present}
    # The first turn brings files and libraries into the page cache.
    values, failed = in_turns(runs, 1 + setting.repeats)
    values = {name: of_turns[1:] for name, of_turns in values.items()}
    return [Result(file.name, "cold process", "s", False, values, skipped | failed)]


def faithfulness(file: ModelFile, who: Sequence[Contestant], setting: Setting) -> list[Result]:
    """The divergence from the float32 reference on the same file, over positions of real text."""
    ids = text_ids(file, setting.positions)
    reference = Model.open(open_checkpoint(file.path()), Reference())
    truth = reference.forward(Run([Segment(ids, wanted="all")]))
    mean: dict[str, list[float]] = {}
    worst: dict[str, list[float]] = {}
    # The copy that transformers loads is of the alias' own file, not of one packed anew.
    same = [c for c in who if file.packing is None or not c.name.startswith("transformers")]
    other = {c.name: "has the original's numbers" for c in who if c not in same}
    with opened(file, same, setting.threads, 1, len(ids)) as (models, skipped):
        for name, model in models.items():
            found = divergence(truth, model.logits(ids))
            mean[name], worst[name] = [float(found.mean())], [float(found.max())]
    return [
        Result(file.name, f"KL, {kind}", "nats", False, values, skipped | other)
        for kind, values in (("mean", mean), ("worst", worst))
    ]


def choose(file: ModelFile, who: Sequence[Contestant], setting: Setting) -> list[Result]:
    """What of a decode step is not the model's: choosing the token, and the loop around it."""
    ids = text_ids(file, _PROMPT)

    def turns(model: LanguageModel) -> dict[str, Callable[[], float]]:
        return {
            way: partial(_beside_the_model, model, ids, parameters(**given), setting.tokens)
            for way, given in _WAYS_TO_CHOOSE.items()
        }

    return [_ours(file, who, setting, "choosing", "% of a step", turns)]


def ledger(file: ModelFile, who: Sequence[Contestant], setting: Setting) -> list[Result]:
    """What of a decode step goes into the ledger: the same choices with it and without."""
    ids = text_ids(file, _PROMPT)

    def turns(model: LanguageModel) -> dict[str, Callable[[], float]]:
        return {
            way: partial(_for_the_ledger, model, ids, given, setting.tokens)
            for way, given in _WAYS_TO_CHOOSE.items()
        }

    return [_ours(file, who, setting, "the ledger", "% of a step", turns)]


def _for_the_ledger(
    model: LanguageModel, ids: Sequence[int], given: Mapping[str, Any], tokens: int
) -> float:
    kept, without = (
        _beside_the_model(model, ids, parameters(**given, ledger=size), tokens)
        for size in (DEFAULT_LEDGER, 0)
    )
    return kept - without


def beams(file: ModelFile, who: Sequence[Contestant], setting: Setting) -> list[Result]:
    """A step of beam search, beside a step that decodes as many prompts one token each."""
    ids = text_ids(file, _PROMPT + _BEAMS)
    searched = {"max_new_tokens": setting.tokens + 1, "num_beams": _BEAMS}
    plain = parameters(max_new_tokens=setting.tokens + 1)
    together = [Request(ids[i : i + _PROMPT], plain) for i in range(_BEAMS)]
    ways = {
        f"batch of {_BEAMS}": together,
        f"{_BEAMS} beams": [Request(ids[:_PROMPT], parameters(**searched))],
        f"{_BEAMS} beams, drawn": [
            Request(ids[:_PROMPT], parameters(**searched, seed=1, top_k=40))
        ],
    }

    def turns(model: LanguageModel) -> dict[str, Callable[[], float]]:
        return {way: partial(_step_ms, model, requests) for way, requests in ways.items()}

    return [_ours(file, who, setting, "a step of beams", "ms", turns)]


def _ours(
    file: ModelFile,
    who: Sequence[Contestant],
    setting: Setting,
    name: str,
    unit: str,
    turns: Callable[[LanguageModel], Mapping[str, Callable[[], float]]],
) -> Result:
    """Pellucid beside itself: its model in several ways, in turns; less of `unit` is better."""
    ours = [contestant for contestant in who if contestant.name == OURS]
    with opened(file, ours, setting.threads, 1, _PROMPT + setting.tokens) as (models, skipped):
        ways = turns(models[OURS].model) if OURS in models else {}
        values, failed = in_turns(ways, setting.repeats)
    return Result(file.name, name, unit, False, values, skipped | failed)


def pages(file: ModelFile, who: Sequence[Contestant], setting: Setting) -> list[Result]:
    """All attention of 512 tokens as one page; the peer is one of its own, with bertviz."""
    return page(file, setting.threads, setting.repeats)


class _Timed:
    """A model that counts the seconds its passes take alone.

    Each is done twice, in turns before and after: one pass is timed, which looks for nothing in the
    logits, and one serves who asked. `extra` are the seconds of the former with all around it.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.config = model.config
        self.new_cache = model.new_cache
        self.check = model.check
        self.early_exit = model.early_exit
        self.project = model.project
        self.seconds = self.extra = 0.0
        self._forward = model.forward
        self._passes = 0

    def forward(self, run: Run, /) -> Floats:
        self._passes += 1
        if early := self._passes % 2:
            self.extra += seconds(lambda: self._alone(run))
        logits = self._forward(run)
        if not early:
            self.extra += seconds(lambda: self._alone(run))
        return logits

    def _alone(self, run: Run) -> None:
        """The pass once more; caches are then as long as they were."""
        firsts = [int(run.positions[span.start]) for span in run.spans]
        held = [
            (s.cache, s.cache.length, at)
            for s, at in zip(run.segments, firsts, strict=True)
            if s.cache
        ]
        for cache, _, first in held:
            cache.trim(first)
        alone = Run(run.segments)
        self.seconds += seconds(lambda: self._forward(alone))
        for cache, length, _ in held:
            cache.trim(length)


def _beside_the_model(
    model: LanguageModel, ids: Sequence[int], given: GenerationParameters, tokens: int
) -> float:
    """The percentage of decode steps that is not the forward alone, over so many of them."""
    timed = _Timed(model)
    engine = Engine(timed)  # without a tokenizer nothing ends the answer before its length
    given = replace(given, max_new_tokens=tokens + 1)
    running = engine.start(Request(ids, given))
    engine.step([running])  # the prompt
    timed.seconds = timed.extra = 0.0

    def run() -> None:
        while running.asked:
            engine.step([running])

    whole = seconds(run)
    return 100 * (1 - timed.seconds / (whole - timed.extra))


def _step_ms(model: LanguageModel, requests: Sequence[Request]) -> float:
    """Milliseconds of a step of all requests together, after their prompts."""
    engine = Engine(model)  # without a tokenizer nothing ends the answers before their length
    running = [engine.start(request, index) for index, request in enumerate(requests)]
    engine.step(running)
    steps = 0

    def run() -> None:
        nonlocal steps
        while asking := [one for one in running if one.asked]:
            engine.step(asking)
            steps += 1

    return 1000 * seconds(run) / steps


def _steps(model: Loaded, sequences: Sequence[Sequence[int]], context: int) -> float:
    """Tokens a second of all sequences together, from `context` on."""
    model.start([ids[:context] for ids in sequences])
    rows = list(zip(*(ids[context:] for ids in sequences), strict=True))

    def run() -> None:
        for tokens in rows:
            model.step(tokens)

    return len(sequences) * len(rows) / seconds(run)


def _prompt(model: Loaded, ids: Sequence[int]) -> float:
    return len(ids) / seconds(lambda: model.start([ids]))


def _process(command: Sequence[str]) -> float:
    def run() -> None:
        subprocess.run(  # noqa: S603  (our own command, no shell)
            command, check=True, capture_output=True, timeout=_COLD_SECONDS
        )

    return seconds(run)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("decode", partial(decode, 32)),
        Scenario("decode-1024", partial(decode, 1024)),
        Scenario("prefill", partial(prefill, 512)),
        Scenario("prefill-4096", partial(prefill, 4096), long=True),
        Scenario("batch", batch),
        Scenario("cold", cold),
        Scenario("faithfulness", faithfulness),
        Scenario("choose", choose),
        Scenario("ledger", ledger),
        Scenario("beams", beams),
        Scenario("page", pages, long=True),
    )
}
