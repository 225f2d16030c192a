"""The one generation loop: what all running requests ask for becomes one pass of the model."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol
from weakref import WeakSet

import numpy as np

from pellucid.choose.branch import Branch
from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.parameters.values import shown, whole
from pellucid.choose.strategies import Score, Strategy, strategy
from pellucid.choose.task import Scored, Task
from pellucid.engine.answer import Answer, Ending
from pellucid.engine.generation import Event, Generation
from pellucid.engine.running import Running, check_highest
from pellucid.errors import ParameterError
from pellucid.model import sites
from pellucid.model.cache import KeyValues
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.tokens.stream import Decoder
from pellucid.tokens.vocabulary import Vocabulary
from pellucid.weights.tensor import Floats

Part = tuple[Branch, Segment]  # what a pass takes of a branch
# The logits it gives, what was watched, and the candidates of each row or nothing.
Told = tuple[Floats, Mapping[str, Floats], Sequence[Any]]

_CHUNK = 256  # ids of a long prompt that one pass takes beside other sequences


class Sizes(Protocol):
    """What the engine needs to know of a model's configuration."""

    @property
    def context_length(self) -> int:
        """The most tokens of prompt and answer together."""
        ...

    @property
    def vocab_size(self) -> int:
        """How many token ids there are."""
        ...

    @property
    def layers(self) -> int:
        """How many layers there are."""
        ...

    @property
    def tied_embeddings(self) -> bool:
        """Whether the output matrix is the embedding."""
        ...


class LanguageModel(Protocol):
    """What the engine needs of a model; `pellucid.model.model.Model` is one."""

    @property
    def config(self) -> Sizes:
        """Its sizes."""
        ...

    def new_cache(self) -> KeyValues:
        """An empty cache for one sequence."""
        ...

    def forward(self, run: Run, /) -> Floats:
        """One pass: the logits of the wanted rows, `[wanted, vocab]`; caches then hold the rows."""
        ...

    def project(self, rows: Floats, /) -> Floats:
        """What the output matrix makes of rows: `[n, hidden]` -> `[n, vocab]`, nothing normed."""
        ...

    def check(self, edits: Sequence[Edit], /) -> None:
        """Refuse edits of what it does not have. Raises ParameterError."""
        ...

    def early_exit(self, layers: int, /) -> LanguageModel:
        """Its first layers alone, as a model; ParameterError if it has no such number of them."""
        ...


class Words(Vocabulary, Protocol):
    """What the engine needs of a tokenizer."""

    def stream(self) -> Decoder:
        """A new decoder, for one answer."""
        ...


@dataclass(frozen=True)
class Request:
    """A prompt to be continued.

    `branch`, if given, is one of an earlier request (or `Engine.new_branch()`): what its cache
    holds of the prompt's start is not computed again, and the branch grows with the answer. It
    serves one running request at a time. `strategy` is what the parameters ask for unless another
    is given. `draft` is the engine of a smaller model with the same tokens: it guesses, and the
    answer stays as distributed as without. `edits` change what the model computes of this request,
    and of no other: of all its branches and of the second stream of guidance, but not what a
    smaller model guesses. What `branch` holds was computed under the very same edits, or is
    computed again.
    """

    prompt_ids: Sequence[int]
    parameters: GenerationParameters = field(default_factory=GenerationParameters)
    strategy: Strategy | None = None
    branch: Branch | None = None
    draft: Engine | None = None
    edits: Sequence[Edit] = ()


class Engine:
    """Generates with a model, for one request or many at a time.

    Without a tokenizer, answers have ids and no text. What a request gets depends on the request
    alone, as far as the model's rows do not depend on their company.
    """

    def __init__(self, model: LanguageModel, tokenizer: Words | None = None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._exits: dict[int, LanguageModel] = {}
        self._agreeing: WeakSet[Engine] = WeakSet()

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """The answers, in the order of the requests. Raises what `run` raises."""
        ended = {e.index: e.generation for e in self.run(requests) if e.generation}
        return [ended[index] for index in range(len(requests))]

    def run(self, requests: Sequence[Request]) -> Generator[Event, None, None]:
        """Answer all requests together, as events come.

        Raises ParameterError before anything is computed if a request cannot be met, and the
        first error of any request later. Closing the iterator ends everything that still runs.
        """
        running = [self.start(request, index) for index, request in enumerate(requests)]
        return self._run(running)

    def new_branch(self, ids: Sequence[int] = (), edits: Sequence[Edit] = ()) -> Branch:
        """A branch that nothing is known of yet, to be given to one request after another."""
        return Branch(ids, self.model.new_cache(), edits=edits)

    def _decoder(self) -> Decoder | None:
        return self.tokenizer.stream() if self.tokenizer else None

    def start(self, request: Request, index: int = 0) -> Running:
        """Check a request and make it ready for `step`. Raises ParameterError."""
        task = self.task(request)
        parameters = task.parameters
        chosen = request.strategy or strategy(parameters, request.draft is not None)
        lines = range(parameters.num_return_sequences or 1)
        return Running(index, task, chosen, [self.answer(parameters) for _ in lines])

    def task(self, request: Request) -> Task:
        """What a strategy is given: a request, checked and resolved. Raises ParameterError.

        The root has what its filters remember: no pass waits until a grammar is compiled.
        """
        config = self.model.config
        ids = checked_ids("prompt_ids", request.prompt_ids, config.vocab_size)
        check_context(len(ids), config.context_length)
        given = request.parameters
        for name, named in given.tokens():
            checked_ids(name, named, config.vocab_size)
        if given.stop and not self.tokenizer:
            raise ParameterError("stop", "needs a tokenizer, and this engine has none")
        ends = self.tokenizer.eos_ids if self.tokenizer else ()
        known = [token for token in ends if token < config.vocab_size]
        parameters = given.resolve(len(ids), config.context_length, known, self.tokenizer)
        early = given.early_layers(config.layers, config.tied_embeddings)
        parameters = replace(parameters, dola_layers=early)
        if request.edits:
            self.model.check(request.edits)
        draft = self._drafting(request, max(len(ids), len(parameters.negative_prompt_ids or ())))
        root = request.branch or self.new_branch()
        root.become(ids, request.edits)
        task = Task(
            root,
            parameters,
            # what ends by tokens alone needs no text
            ending=lambda: Ending(parameters, self._decoder() if parameters.stop else None),
            new_branch=partial(self._branch, request.edits, draft),
            vocabulary=self.tokenizer,
            draft_context=draft.config.context_length if draft else None,
        )
        if len(task.chain.filters) < 2:
            parameters.check_unordered()
        task.chain.follow(root, task)
        return task

    def answer(self, parameters: GenerationParameters) -> Answer:
        """An answer that nothing is written of yet, to resolved parameters."""
        return Answer(parameters, self._decoder())

    def score(self, asked: Score) -> list[Scored]:
        """What is asked for, at once and alone. Raises BackendError for what is no number."""
        scored = None
        while scored is None:  # a long prompt may go in pieces
            (scored,) = self._score([asked])
        for answer in scored:
            check_highest(answer.highest)
        return scored

    def _drafting(self, request: Request, prompt_length: int) -> LanguageModel | None:
        """The model that guesses for a request, if there is one."""
        layers = request.parameters.assistant_early_exit
        request.parameters.check_drafting(bool(request.draft or layers))
        if layers:
            if layers not in self._exits:
                self._exits[layers] = self.model.early_exit(layers)
            return self._exits[layers]
        if request.draft is None:
            return None
        if request.draft not in self._agreeing:
            check_same_tokens(self, request.draft)
            self._agreeing.add(request.draft)
        room = request.draft.model.config.context_length
        if prompt_length > room:
            reason = f"its context of {room} tokens does not hold the prompt of {prompt_length}"
            raise ParameterError("draft", reason)
        return request.draft.model

    def _branch(
        self,
        edits: Sequence[Edit],
        drafting: LanguageModel | None,
        ids: Sequence[int] = (),
        *,
        draft: bool = False,
    ) -> Branch:
        if not draft:
            return self.new_branch(ids, edits)
        assert drafting
        return Branch(ids, drafting.new_cache(), drafting)

    def step(self, running: Sequence[Running]) -> list[Event]:
        """One pass for all that wait for scores; those that have just started begin."""
        events: list[Event] = []
        for request in running:
            if not request.begun:
                events += request.advance(None)
        waiting = [(request, request.asked) for request in running if request.asked]
        answers = self._score([asked for _, asked in waiting])
        for (request, _), answer in zip(waiting, answers, strict=True):
            if answer is not None:
                events += request.advance(answer)
        return events

    def _run(self, running: list[Running]) -> Generator[Event, None, None]:
        try:
            while running:
                for event in self.step(running):
                    if event.error:
                        raise event.error
                    yield event
                running = [request for request in running if request.asked]
        finally:
            for request in running:
                request.close()

    def _score(self, asked: Sequence[Score]) -> list[list[Scored] | None]:
        """The answers to what was asked, all from one pass of each model.

        None where a long prompt is only partly fed yet: it goes in chunks, so that the answers
        beside it do not wait for the whole of it.
        """
        passes: dict[int, list[Part]] = {}
        for score in asked:
            # Exits are watched in the last chunk alone: those of a whole prompt may be gigabytes.
            most = _CHUNK if len(asked) > 1 or score.exits else None
            for part in _segments(score, most):
                passes.setdefault(id(part[0].model), []).append(part)
        told: dict[int, Told] = {}
        fed: list[Part] = []
        try:
            for parts in passes.values():
                _forward(self._model_of(parts[0][0]), parts, told)
                fed += parts
        except BaseException:  # Ctrl-C too: a step can be tried again, so no model may be ahead
            for branch, segment in fed:
                branch.cache.trim(branch.cache.length - len(segment.ids))
            raise
        return [self._answer(score, told) for score in asked]

    def _model_of(self, branch: Branch) -> LanguageModel:
        model: LanguageModel = self.model if branch.model is None else branch.model
        return model

    def _answer(self, score: Score, told: dict[int, Told]) -> list[Scored] | None:
        """What was asked for; None while a branch is not wholly fed."""
        answers = []
        for branch in score.branches:
            beside = branch.beside
            if branch.unfed or (beside and beside.unfed):
                return None
            logits, seen, own = told[id(branch)]
            rows = _rows(score, branch)
            others = _last(told[id(beside)][0], rows) if beside else None
            answers.append(Scored(_last(logits, rows), others, seen, own=own[-rows:]))
        if score.exits:
            exits = self._early(score, [answer.seen for answer in answers])
            for answer, early in zip(answers, exits, strict=True):
                answer.exits = early
        return answers

    def _early(self, score: Score, seen: list[Mapping[str, Floats]]) -> list[Floats]:
        """The logits of early residuals of each branch, `[exits, vocab]`; all made together."""
        last = [of[sites.residual(layers)][-1] for of in seen for layers in score.exits]
        model = self._model_of(score.branches[0])
        return list(np.split(model.project(np.stack(last)), len(seen)))


def checked_ids(name: str, ids: Iterable[int], vocab_size: int) -> list[int]:
    """The ids as ints, or ParameterError for the first that the vocabulary does not have."""
    checked = []
    for place, given in enumerate(ids):
        token = whole(given)
        if token is None or not 0 <= token < vocab_size:
            reason = f"{shown(given)} at place {place} is no token id"
            raise ParameterError(name, f"{reason}; ids go from 0 to {vocab_size - 1}")
        checked.append(token)
    return checked


def check_context(prompt_length: int, context_length: int) -> None:
    """Refuse a prompt of no tokens, and one that leaves no room for an answer."""
    if not prompt_length:
        raise ParameterError("prompt", "is empty: there is no token to continue from")
    if prompt_length >= context_length:
        reason = f"has {prompt_length} tokens; the model's context of {context_length}"
        raise ParameterError("prompt", f"{reason} must hold it and at least one more")


def check_same_tokens(one: Engine, other: Engine) -> None:
    """Refuse a draft model whose tokens are not those of the model that checks its guesses."""
    sizes = [engine.model.config.vocab_size for engine in (one, other)]
    if sizes[0] != sizes[1]:
        reason = f"has {sizes[1]} tokens, the model {sizes[0]}; both need the same vocabulary"
        raise ParameterError("draft", reason)
    if not one.tokenizer or not other.tokenizer:
        return
    ours, theirs = one.tokenizer, other.tokenizer
    known = min(ours.vocab_size, theirs.vocab_size)
    for token in range(known):
        if ours.token_bytes(token) != theirs.token_bytes(token):
            reason = f"token {token} is another text in the model; both need the same vocabulary"
            raise ParameterError("draft", reason)


def _streams(score: Score) -> list[Branch]:
    """The branches to be scored, each with the second stream that guidance gave it."""
    streams: list[Branch] = []
    for branch in score.branches:
        streams.append(branch)
        if branch.beside:
            streams.append(branch.beside)
    return streams


def _rows(score: Score, branch: Branch) -> int:
    """How many rows a branch is answered with."""
    return score.rows + len(branch.drafted)


def _last(logits: Floats, rows: int) -> Floats:
    """The last rows; in decoding these are all, and a view of them would take 10 us to make."""
    return logits if len(logits) == rows else logits[-rows:]


def _forward(model: LanguageModel, parts: Sequence[Part], told: dict[int, Told]) -> None:
    """One pass: tells the rows of logits of each branch and what it watched, by its id."""
    run = Run([segment for _, segment in parts], survey=True)
    logits = model.forward(run)  # [wanted, vocab]
    for i, (branch, _) in enumerate(parts):
        rows = run.wanted_spans[i]
        alone = logits if len(parts) == 1 else logits[rows]
        told[id(branch)] = alone, run.seen[i], run.candidates[rows]


def _segments(score: Score, most: int | None) -> list[Part]:
    """What one pass takes of what is to be scored: all that is unfed, or `most` ids of a branch.

    The rows asked for come in one pass, those of all branches together: until the longest of them
    is near its end, the others keep as many ids unfed. What is watched comes in one pass whole.
    """
    most = None if score.watch else most
    watch = (*score.watch, *map(sites.residual, score.exits)) if score.exits else score.watch
    streams = [(branch, branch.unfed, _rows(score, branch)) for branch in _streams(score)]
    long = most is not None and any(len(unfed) > most + rows for _, unfed, rows in streams)
    parts: list[Part] = []
    for branch, unfed, rows in streams:
        assert len(unfed) >= rows > 0, "a branch is scored for ids that are fed already"
        if not long:
            asked = watch if branch in score.branches else ()  # a second stream is not
            wanted: Literal["last", "all"] = "last" if rows == 1 else "all"
            parts.append((branch, Segment(unfed, branch.cache, wanted, asked, branch.edits)))
        elif part := unfed[:-rows][:most]:
            parts.append((branch, Segment(part, branch.cache, edits=branch.edits)))
    return parts
