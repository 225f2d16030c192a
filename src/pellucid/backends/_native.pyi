"""The native module, as far as this package uses it. See native/module.cpp and bind_*.cpp."""

from collections.abc import Sequence as Numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.weights.tensor import Floats

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

class Engine:
    def __init__(self, threads: int, isa: str = "") -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def pages(self) -> int: ...
    def pack(self, kind: str, data: Any, rows: int, columns: int) -> Any | None: ...

class Candidates:
    """Tokens and their scores; see `pellucid.choose.candidates`."""

    def __init__(self, scores: Floats, ids: Ids | None = None) -> None:
        """The scores must stay as they are.

        `ids` rise, and say whose they are; None stands for the whole vocabulary, token i at place
        i.
        """

    @property
    def ids(self) -> Ids | None: ...
    @property
    def scores(self) -> Floats:
        """Those of `ids`; not to be written to."""

    @property
    def size(self) -> int:
        """How many tokens are here, removed ones included."""

    @property
    def count(self) -> int:
        """How many tokens are left."""

    @property
    def empty(self) -> bool:
        """Whether no token is left."""

    @property
    def alive(self) -> Ids:
        """The tokens that are left; rising."""

    @property
    def most(self) -> float:
        """The highest score; NaN where one is."""

    @property
    def total(self) -> float:
        """The sum of exp(score - most), of float32 numbers in one fixed order; good to 1e-6."""

    @property
    def logsumexp(self) -> float:
        """What a score is less to be a log-probability."""

    @property
    def likeliest(self) -> int:
        """The token with the highest score."""

    def leading(self, k: int) -> Ids:
        """The tokens with the k highest scores, highest first; fewer where fewer are left."""

    def least(self, k: int) -> float | None:
        """The score of the last of k `leading`; None where fewer are left."""

    def at_least(self, edge: float) -> Ids:
        """The tokens whose score reaches the edge; rising."""

    def nucleus(self, part: float) -> float | None:
        """The lowest of the fewest highest scores that make up this part of the softmax.

        None where these are so many that sorting would not be the way to find it.
        """

    def drawn(self, uniform: float) -> int:
        """The token at which the cumulative softmax, in order of ids, exceeds a number below 1."""

    def prob(self, token: int) -> float: ...
    def rank(self, token: int) -> int:
        """Its place among all, from 1; equals share the better, a removed one has 0."""

    def ranks(self, some: Floats) -> Ids:
        """The ranks that these scores have among all."""

    def probs(self) -> Doubles:
        """The probability of each of `scores`."""

    def probs_of(self, tokens: Ids) -> Doubles: ...
    def scores_of(self, tokens: Ids) -> Floats: ...
    def mass(self, tokens: Ids) -> float:
        """The probability of all of these."""

    def lost_of(self, before: Candidates) -> float:
        """The probability that all those have before which are not left here."""

    def sums(self) -> Doubles:
        """What `total` is the sum of: that of each 1,024 scores."""

    def dense(self, vocab_size: int) -> Floats:
        """The scores of the whole vocabulary."""

    def rescored(self, scores: Floats) -> Candidates:
        """The same tokens with other scores."""

    def divided(self, by: float) -> Candidates:
        """Scores divided by a number above 0; what is left stays so, if at the lowest number."""

    def changed(self, tokens: Ids, scores: Floats) -> Candidates:
        """Some tokens with other scores."""

    def penalised(self, tokens: Ids, by: float) -> Candidates:
        """Scores above 0 of these tokens divided by a number, those below multiplied."""

    def lowered(self, tokens: Ids, each: float = 0, once: float = 0) -> Candidates:
        """Less for these tokens: `once`, and `each` for every time that a token is there."""

    def without(self, tokens: Ids) -> Candidates:
        """All but these tokens."""

    def keep(self, tokens: Ids) -> Candidates:
        """These tokens alone."""

    def above(self, edge: float) -> Candidates:
        """Those whose score reaches the edge; the same object where all that are left do."""

    def reaching(self, keys: Floats, edge: float) -> Candidates:
        """Those whose key reaches the edge, of a key for each of `scores`."""

    def where(self, which: npt.NDArray[np.bool_]) -> Candidates:
        """Those of `scores` where it is true."""

class Followed:
    """What became of some tokens, step by step; see `pellucid.choose.ledger`."""

    def __init__(
        self, steps: Numbers[tuple[str, Candidates]], token: int, size: int, drawn: bool
    ) -> None: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def below(self) -> float | None: ...
    def entries(self) -> list[tuple[str, Floats, Ids, float, int, float]]: ...

Plan: Any
Sequence: Any

def available() -> list[str]: ...
def can_pack(kind: str, columns: int) -> bool: ...
def read_bandwidth(size: int, threads: int, repeats: int) -> list[float]: ...
def weigh(scores: Floats, weights: Floats | None) -> tuple[float, float]: ...
def shuffled(seed: int, n: int, count: int) -> Ids: ...
def between(scores: Floats, low: float, high: float) -> Ids: ...
def tails(
    keys: Floats, weights: Floats, thresholds: Numbers[float]
) -> tuple[list[float], list[int]]: ...
