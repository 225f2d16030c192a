"""What is asked of llama.cpp's samplers and of our filters alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.choose.branch import Branch
from pellucid.choose.candidates import Candidates
from pellucid.choose.chain import Chain
from pellucid.choose.draw import Draws
from pellucid.choose.filters import Context
from pellucid.choose.parameters import parameters
from pellucid.choose.setting import Setting
from pellucid.model.cache import Cache
from pellucid.tokens.vocabulary import Vocabulary

Floats = npt.NDArray[np.float32]

SHAPES: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "random": lambda bell: 5 * bell,
    "flat": lambda bell: 0.2 * bell,
    "peaked": lambda bell: np.where(bell == bell.max(), 12, 2 * bell),
    "tied": lambda bell: np.round(3 * bell),
}


@dataclass(frozen=True)
class Case:
    """Parameters, and the logits that they are applied to: so many steps of them.

    `history` are the ids before the first step; with `words` they are ids of SmolLM2.
    """

    given: Mapping[str, Any]
    shape: str = "random"
    steps: int = 1
    size: int = 300
    history: Sequence[int] = ()
    words: bool = field(default=False)

    @property
    def name(self) -> str:
        values = " ".join(f"{name}={value}" for name, value in self.given.items())
        return f"{self.shape} {self.size} {values} {' '.join(map(str, self.history))}".strip()

    def logits(self, step: int) -> Floats:
        """The logits of a step; of the raw stream, which NumPy promises never to change."""
        raw = np.random.PCG64(step).random_raw(4 * self.size) >> 11
        bell = raw.reshape(4, self.size).sum(axis=0) * 2.0**-53 - 2
        logits = SHAPES[self.shape](bell).astype(np.float32)
        if self.words:  # what DRY penalises is then among the leading ones
            logits[list(self.history)] += 8
        return logits


ALONE: list[dict[str, Any]] = [
    {"temperature": 0.3},
    {"temperature": 1.7},
    {"dynatemp_range": 0.8},
    {"temperature": 0.5, "dynatemp_range": 0.8, "dynatemp_exponent": 2.0},
    {"top_k": 5},
    {"top_p": 0.3},
    {"top_p": 0.95},
    {"top_p": 0.05, "min_keep": 7},
    {"min_p": 0.05},
    {"min_p": 0.9, "min_keep": 7},
    {"typical_p": 0.2},
    {"typical_p": 0.95},
    {"typical_p": 0.05, "min_keep": 7},
    {"top_n_sigma": 1.0},
    {"top_n_sigma": 2.5},
    {"xtc_probability": 1.0},
    {"xtc_probability": 1.0, "xtc_threshold": 0.02},
    {"xtc_probability": 1.0, "xtc_threshold": 0.02, "min_keep": 299},
]
STEERED: list[dict[str, Any]] = [
    {"mirostat": 1},
    {"mirostat": 1, "mirostat_tau": 2.0, "mirostat_eta": 0.5, "temperature": 1.5},
    {"mirostat": 2},
    {"mirostat": 2, "mirostat_tau": 2.0, "mirostat_eta": 0.5, "temperature": 1.5},
    {"adaptive_target": 0.3},
    {"adaptive_target": 0.05, "adaptive_decay": 0.5, "min_p": 0.02, "temperature": 1.3},
]
CHAINS: list[dict[str, Any]] = [
    {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},  # llama.cpp's own settings
    {"top_k": 40, "typical_p": 0.9, "top_p": 0.9, "temperature": 1.5},
    {"top_n_sigma": 2.0, "top_k": 30, "min_p": 0.01, "temperature": 2.0},
    {"top_k": 50, "xtc_probability": 1.0, "xtc_threshold": 0.05, "temperature": 1.2},
    {"top_p": 0.9, "min_p": 0.1, "temperature": 1.0, "dynatemp_range": 0.7},
    {"top_k": 100, "typical_p": 0.7, "top_p": 0.3, "min_p": 0.2, "min_keep": 9, "temperature": 3.0},
]
PENALTIES: dict[str, Any] = {
    "repeat_last_n": 6,
    "repetition_penalty": 1.3,
    "frequency_penalty": 0.4,
    "presence_penalty": 0.7,
}
SAID = (7, 12, 12, 250, 31, 12, 99, 4, 250, 12)

# Ids of SmolLM2: 198 is a line feed, 42 a colon.
VERSE = [504, 1443, 282, 260, 3303, 506, 260, 5346, 284]
REPEATING = [*VERSE, 2588, *VERSE, 30, *VERSE]
BROKEN = [*VERSE, 2588, *VERSE, 198, *VERSE[:3]]
DRY: list[tuple[dict[str, Any], list[int]]] = [
    ({"dry_multiplier": 0.8}, REPEATING),
    ({"dry_multiplier": 0.8}, BROKEN),
    ({"dry_multiplier": 0.8}, BROKEN[:-1]),
    ({"dry_multiplier": 0.8}, [*VERSE, 198, *VERSE, 198]),
    ({"dry_multiplier": 0.8}, [*VERSE, 198, *VERSE]),  # a breaker may come again
    ({"dry_multiplier": 2.0, "dry_base": 1.1, "dry_allowed_length": 4}, REPEATING),
    ({"dry_multiplier": 0.8, "dry_allowed_length": 0}, VERSE),
    ({"dry_multiplier": 0.8, "dry_penalty_last_n": 12}, REPEATING),
    ({"dry_multiplier": 0.8, "dry_base": 1.0}, [5, 6] * 40),
    ({"dry_multiplier": 0.5, "dry_base": 3.0}, [600] * 200),  # the exponent is bounded
    ({"dry_multiplier": 1.0, "top_k": 20, "temperature": 0.7}, REPEATING),
]


def cases() -> Iterator[Case]:
    """All of them."""
    for shape in SHAPES:
        size = 40 if shape == "tied" else 300
        yield from (Case(given, shape, size=size) for given in ALONE)
    for shape in ("random", "peaked"):
        yield from (Case(given, shape, steps=6) for given in STEERED)
        yield from (Case(given, shape, steps=2) for given in CHAINS)
        yield Case(PENALTIES, shape, history=SAID)
        yield Case(PENALTIES | CHAINS[0], shape, history=SAID)
    yield from (Case(given, size=49_152, history=ids, words=True) for given, ids in DRY)


def ours(
    case: Case, tokens: Sequence[int], vocabulary: Vocabulary | None = None
) -> Iterator[Candidates]:
    """What our filters leave at each step, if these tokens are chosen."""
    given = parameters(do_sample=True, dialect="llama.cpp", **case.given)
    branch = Branch(case.history, Cache(0, 1, 1, lambda shape: None))
    setting = Setting(branch, given, Branch, vocabulary)
    chain, draws = Chain(given), Draws(1)
    chain.follow(branch, setting)
    for step, token in enumerate(tokens):
        context = Context(
            branch.array, len(case.history), setting.stop_ids, draws=draws, vocab_size=case.size
        )
        steps = chain(Candidates(case.logits(step)), context, branch)
        yield steps[-1][1] if steps else Candidates(case.logits(step))
        branch.append(token)
