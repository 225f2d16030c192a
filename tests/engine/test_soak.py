"""Ten thousand requests come and go: nothing is left of them, and none notices the others."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.backends.native import Native
from pellucid.choose.branch import Branch
from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.engine.running import Running
from pellucid.errors import BackendError, ParameterError
from pellucid.model.model import Model
from pellucid.model.run import Run
from pellucid.weights.tensor import Floats

from ..model.tiny import make_tiny
from ..model.variants import VARIANTS, VOCAB_SIZE

SEED = 4
REQUESTS = 10_000
WARM = 2_000  # by then caches of every kind, NumPy's and the allocator's, are as large as they get
TOGETHER = 10
CONVERSATIONS = 5
_STATM = Path("/proc/self/statm")

SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.9, "top_k": 40, "top_p": 0.95},
    {"do_sample": True, "typical_p": 0.8, "min_p": 0.01},
    {"repetition_penalty": 1.3, "presence_penalty": 0.2, "frequency_penalty": 0.1},
    {"stop_token_ids": list(range(20))},
    {"prompt_lookup_num_tokens": 3},
    {"assistant_early_exit": 1, "temperature": 0.8},
]
IMPOSSIBLE = {"stop_token_ids": list(range(VOCAB_SIZE)), "min_new_tokens": 1}  # leaves no token


class Faulty:
    """A model whose passes now and then fail, or give a row that is no number."""

    def __init__(self, model: Model, dice: random.Random) -> None:
        self.config = model.config
        self.new_cache = model.new_cache
        self.early_exit = model.early_exit
        self.unembed = model.unembed
        self._model = model
        self._dice = dice

    def forward(self, run: Run, /) -> Floats:
        if self._dice.random() < 0.01:
            raise BackendError("a planted failure")
        logits = self._model.forward(run)
        if self._dice.random() < 0.01:
            logits[self._dice.randrange(len(logits))] = np.nan
            run.candidates = []  # that was of the logits as they were
        return logits


@dataclass
class Soak:
    """Requests of every kind, joining and leaving between passes.

    `ends` counts how they ended. `alone` answers some of them again, with nobody beside them.
    """

    engine: Engine
    alone: Engine
    dice: random.Random
    begun: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    running: dict[int, tuple[Running, Request]] = field(default_factory=dict)
    conversations: list[Branch] = field(default_factory=list)  # those that wait for their next turn

    def until(self, requests: int) -> None:
        """Go on until so many have begun, and all have ended; conversations are then forgotten."""
        while self.begun < requests or self.running:
            while self.begun < requests and len(self.running) < self.dice.randint(1, TOGETHER):
                self._join()
            self._step()
            for index in [i for i in self.running if self.dice.random() < 0.02]:
                self._end(index, "cancelled")
        self.conversations.clear()

    def _join(self) -> None:
        self.begun += 1
        match self.dice.random():
            case chance if chance < 0.02:
                with pytest.raises(ParameterError):
                    self.engine.start(Request([5] * self.dice.choice((0, 128, 1000))))
                self.ends["refused"] += 1
            case chance if chance < 0.05:
                stream = self.engine.run([self._request(None) for _ in range(3)])
                with suppress(BackendError, ParameterError):
                    list(islice(stream, self.dice.randrange(9)))
                stream.close()
                self.ends["stream closed"] += 1
            case _:
                request = self._request(self._branch())
                self.running[self.begun] = self.engine.start(request, self.begun), request

    def _branch(self) -> Branch | None:
        """None, a conversation that goes on, or what was forked from one."""
        if len(self.conversations) < CONVERSATIONS:
            self.conversations.append(self.engine.new_branch())
        branch = self.dice.choice(self.conversations)
        match self.dice.randrange(4):
            case 0:
                return branch.fork()
            case 1 | 2:
                self.conversations.remove(branch)
                return branch
        return None

    def _request(self, branch: Branch | None) -> Request:
        past = branch.ids if branch and len(branch.ids) < 90 else []
        most = 100 - len(past) if self.dice.random() < 0.1 else 10
        new = [self.dice.randrange(VOCAB_SIZE) for _ in range(self.dice.randint(1, most))]
        given = self.dice.choice(SETTINGS) if self.dice.random() < 0.98 else IMPOSSIBLE
        chosen = parameters(max_new_tokens=self.dice.randint(1, 8), **given)
        seed = {"seed": self.dice.getrandbits(32)} if chosen.sampling else {}
        return Request([*past, *new], parameters(**chosen.given(), **seed), branch=branch)

    def _step(self) -> None:
        try:
            events = self.engine.step([running for running, _ in self.running.values()])
        except BackendError:  # nothing was computed: those who stay are asked for again
            self.ends["failed passes"] += 1
            if self.dice.random() < 0.5:
                for index in list(self.running):
                    self._end(index, "cancelled")
            return
        for event in events:
            if event.error:
                self._end(event.index, type(event.error).__name__)
            elif event.generation:
                self._check(
                    self._end(event.index, event.generation.finish_reason), event.generation
                )

    def _end(self, index: int, how: str) -> Request:
        running, request = self.running.pop(index)
        running.close()
        self.ends[how] += 1
        if request.branch and len(self.conversations) < CONVERSATIONS:
            self.conversations.append(request.branch)
        return request

    def _check(self, request: Request, got: Generation) -> None:
        if self.dice.random() < 0.03:
            again = Request(got.prompt_ids, request.parameters)
            assert self.alone.generate([again]) == [got], f"request {self.begun}, seed {SEED}"
            self.ends["compared"] += 1


@pytest.fixture
def native() -> Native:
    return Native(1)


@pytest.fixture
def soak(native: Native, tmp_path: Path) -> Soak:
    made = make_tiny("llama", VARIANTS["llama"], tmp_path)
    model = made.open(native)
    dice = random.Random(SEED)
    return Soak(Engine(Faulty(model, dice)), Engine(model), dice)


@pytest.fixture
def traced() -> Iterator[None]:
    yield
    tracemalloc.stop()


def resident_bytes() -> int:
    """What this process has in memory now; 0 where the system does not say."""
    pages = int(_STATM.read_text().split()[1]) if _STATM.exists() else 0
    return pages * 4096


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_ten_thousand_requests_leave_nothing_behind(soak: Soak, native: Native) -> None:
    empty = native.engine.pages
    soak.until(WARM)
    gc.collect()
    assert native.engine.pages == empty
    tracemalloc.start()
    before = resident_bytes()
    soak.until(REQUESTS)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    assert native.engine.pages == empty
    assert grown < 200_000
    assert resident_bytes() - before < 10_000_000
