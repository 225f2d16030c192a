"""What a sequence gets depends on that sequence alone, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pellucid.backends import _native
from pellucid.backends.native import Native
from pellucid.backends.reference import Reference
from pellucid.model.cache import KeyValues
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint
from pellucid.weights.tensor import Floats

from ...model.tiny import Tiny, make_tiny, whole
from ...model.variants import VARIANTS

# A variant, how its weights are packed, how keys and values are kept; the trials are shared out.
KINDS = [
    ("llama", None, "float16"),
    ("llama", "q4", "float32"),
    ("gemma2", "q8", "float16"),
    ("gemma2", None, "float32"),
    ("gemma3", "q4", "float16"),
    ("qwen3 experts", "q8", "float32"),
    ("qwen3 experts", "q4", "float16"),
    ("phi3", "q8", "float16"),
    ("gpt2", None, "float16"),
    ("gpt2", "q4", "float32"),
]
FEW, MANY = range(100), range(100, 1_000)  # seeds: a thousand trials together
LONGEST = {"gpt2": 120}  # its positions are a table of 128
MOST_SEQUENCES = 6


@dataclass
class Sequence:
    """One on its way: its ids, the logits that each of them gets alone, what is held so far."""

    ids: list[int]
    alone: Floats  # [tokens, vocab]
    cache: KeyValues


@dataclass
class Trial:
    """Sequences that `model` computes together, in random pieces, forked and trimmed on the way.

    `alone` computes each whole, in one pass, with nobody beside it; every row must equal that.
    """

    model: Model
    alone: Model
    random: np.random.Generator
    longest: int = 330  # beyond one range of 256 keys
    long: float = 0.1  # the share of sequences that may be so long; others have up to 90 tokens
    vocab: int = 120
    sequences: list[Sequence] = field(default_factory=list)

    def run(self) -> None:
        for _ in range(self._upto(5)):
            self._add([], self.model.new_cache())
        while left := [s for s in self.sequences if s.cache.length < len(s.ids)]:
            chosen = self.random.permutation(len(left))[: self._upto(len(left))]
            self._grow([left[n] for n in chosen])
            for n in chosen:
                self._disturb(left[n])

    def _grow(self, some: list[Sequence]) -> None:
        """One pass of a piece of each; the rows that were asked for are compared."""
        segments = [self._piece(sequence) for sequence in some]
        rows = iter(self.model.forward(Run(segments)))
        for sequence, segment in zip(some, segments, strict=True):
            last = sequence.cache.length
            first = last - len(segment.ids) if segment.wanted == "all" else last - 1
            told = [next(rows) for _ in range(first, last)]
            where = f"rows {first} to {last} of {len(sequence.ids)}"
            np.testing.assert_array_equal(told, sequence.alone[first:last], where)

    def _piece(self, sequence: Sequence) -> Segment:
        start = sequence.cache.length
        size = 1 if self.random.random() < 0.2 else self._upto(self.longest // 3)
        wanted = "all" if self.random.random() < 0.6 else "last"
        return Segment(sequence.ids[start : start + size], sequence.cache, wanted)

    def _disturb(self, sequence: Sequence) -> None:
        """Now and then: forget a few tokens and go on otherwise, or fork and go on both ways."""
        cache = sequence.cache
        match self.random.integers(6):
            case 0:
                cache.trim(max(0, cache.length - self._upto(20)))
                self.sequences.remove(sequence)
                self._add(sequence.ids[: cache.length], cache)
            case 1 if len(self.sequences) < MOST_SEQUENCES:
                self._add(sequence.ids[: cache.length], cache.fork())

    def _add(self, past: list[int], cache: KeyValues) -> None:
        """A sequence with this past, and a future of its own."""
        longest = self.longest if self.random.random() < self.long else 90
        ids = past + self.random.integers(3, self.vocab, self._upto(longest)).tolist()
        ids = ids[: self.longest]
        self.sequences.append(Sequence(ids, whole(self.alone, ids), cache))

    def _upto(self, most: int) -> int:
        return int(self.random.integers(1, most + 1))


@pytest.mark.parametrize(
    "seeds", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("kind", range(len(KINDS)), ids=[", ".join(map(str, k)) for k in KINDS])
def test_company_pieces_forks_trims_and_threads_do_not_change_a_bit(
    tiny: Callable[[str], Tiny], kind: int, seeds: range
) -> None:
    name, quantize, cache_dtype = KINDS[kind]
    models = {
        machine: tiny(name).open(Native(machine[1], machine[0], quantize, cache_dtype))
        for machine in product(_native.available(), (1, 2, 3))
    }
    for seed in seeds[kind :: len(KINDS)]:
        random = np.random.default_rng(seed)
        isa, threads = drawn_machine(random)
        trial = Trial(models[isa, threads], models[isa, 1], random, LONGEST.get(name, 330))
        try:
            trial.run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {isa}, {threads} threads: {error}") from None


def drawn_machine(random: np.random.Generator) -> tuple[str, int]:
    """An instruction set, and how many threads; those that take ten times as long are rarer.

    Portable code does, and so do threads that wait for each other where all processors are busy.
    """
    *fast, portable = _native.available()
    isa = str(random.choice(fast)) if fast and random.random() < 0.95 else portable
    return isa, int(random.choice((1, 2, 3), p=(0.7, 0.2, 0.1)))


def test_a_backend_whose_sums_depend_on_the_rows_beside_them_is_found_out(
    tiny: Callable[[str], Tiny],
) -> None:
    """NumPy multiplies one row in another order than many."""
    model = tiny("llama").open(Reference())
    trial = Trial(model, model, np.random.default_rng(0), longest=90)
    with pytest.raises(AssertionError, match=r"rows \d+ to \d+ of"):
        trial.run()


def test_windows_of_more_keys_than_one_range_are_no_different(tmp_path: Path) -> None:
    settings = {**VARIANTS["mistral"].settings, "sliding_window": 300}
    made = make_tiny("wide", replace(VARIANTS["mistral"], settings=settings), tmp_path)
    alone, model = (made.open(Native(threads)) for threads in (1, 2))
    for seed in range(5):
        Trial(model, alone, np.random.default_rng(seed), longest=900, long=1.0).run()


def test_a_prompt_of_several_passes_is_the_same_in_pieces(tiny: Callable[[str], Tiny]) -> None:
    ids = np.random.default_rng(6).integers(3, 60, 600).tolist()
    model = tiny("llama").open(Native(2))
    once = model.forward(Run([Segment([7, 8]), Segment(ids, None, "all"), Segment([9])]))[1:-1]
    cache = model.new_cache()
    pieces = [piece.tolist() for piece in np.split(ids, [1, 255, 256, 300, 512, 599])]
    parts = [model.forward(Run([Segment(piece, cache, "all")])) for piece in pieces]
    np.testing.assert_array_equal(np.concatenate(parts), once)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_real_model_repeats_itself(smollm2: Path, seed: int) -> None:
    alone, model = (Model.open(open_checkpoint(smollm2), Native(threads)) for threads in (1, 2))
    random = np.random.default_rng(seed)
    Trial(model, alone, random, longest=90, vocab=40_000).run()
