"""A model without weights: the logits after any ids are random numbers that those ids seed.

So every distribution is known exactly, and a single id that was fed twice, or not at all, or to
another's cache, changes all that follows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from pellucid.errors import ParameterError
from pellucid.model.cache import Cache
from pellucid.model.probe import Edit
from pellucid.model.run import Run
from pellucid.tokens.guide import Guide

Floats = npt.NDArray[np.float32]
VOCAB = 256
HIDDEN = 8
END = 0


@cache
def logits_after(ids: tuple[int, ...], scale: float = 2.0) -> Floats:
    """What the toy model computes for these ids, `[vocab]`."""
    logits = np.random.default_rng(ids).normal(scale=scale, size=VOCAB)
    return logits.astype(np.float32)


@cache
def residual_after(ids: tuple[int, ...], site: str) -> Floats:
    """What the toy model has at a site when it has read these ids, `[HIDDEN]`."""
    random = np.random.default_rng((*ids, *site.encode()))
    return random.normal(size=HIDDEN).astype(np.float32)


def unembedded(rows: Floats) -> Floats:
    """The toy model's logits of residual rows, `[n, vocab]`; each row is computed alone."""
    matrix = np.random.default_rng(7).normal(size=(HIDDEN, VOCAB)).astype(np.float32)
    return np.stack([row @ matrix for row in rows])


def probs_after(ids: Sequence[int]) -> npt.NDArray[np.float64]:
    """The exact distribution of the next token."""
    weights = np.exp(logits_after(tuple(ids)).astype(np.float64))
    return weights / weights.sum()


def greedy_after(ids: Sequence[int], count: int) -> list[int]:
    """The next tokens when always the likeliest is taken, by definition."""
    grown = list(ids)
    for _ in range(count):
        grown.append(int(logits_after(tuple(grown)).argmax()))
    return grown[len(ids) :]


def spelling(text: str, prompt: int) -> Callable[[tuple[int, ...], Floats], Floats]:
    """What makes a model say `text`, byte by byte, after a prompt of that many ids; then END."""
    script = [*text.encode(), END]

    def spoil(ids: tuple[int, ...], logits: Floats) -> Floats:
        forced = logits.copy()
        place = len(ids) - prompt
        if 0 <= place < len(script):
            forced[script[place]] = 50.0
        return forced

    return spoil


@dataclass(frozen=True)
class ToyConfig:
    context_length: int = 64
    vocab_size: int = VOCAB
    layers: int = 8
    tied_embeddings: bool = True


@dataclass
class ToyModel:
    """Keeps the ids themselves as keys and values, in real caches.

    `passes` records the lengths of the segments of each pass, `rows` how many rows of logits it
    computed. `spoil` may replace logits, or raise, given the ids that they follow. Every site that
    is watched is of `HIDDEN` numbers.
    """

    config: ToyConfig = field(default_factory=ToyConfig)
    passes: list[list[int]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    spoil: Callable[[tuple[int, ...], Floats], Floats] = lambda ids, logits: logits

    def new_cache(self) -> Cache:
        return Cache(1, 1, 1, lambda shape: np.full(shape, -1, np.int64))

    def check(self, edits: Sequence[Edit], /) -> None:
        raise ParameterError("edit", "has no effect on a toy, which has nothing inside")

    def early_exit(self, layers: int, /) -> ToyModel:
        """A model that agrees with this one the more, the more layers it has."""

        def spoil(ids: tuple[int, ...], logits: Floats) -> Floats:
            noise = np.random.default_rng((layers, *ids)).normal(scale=4 / layers, size=VOCAB)
            return self.spoil(ids, logits) + noise.astype(np.float32)

        return ToyModel(self.config, spoil=spoil)

    def forward(self, run: Run, /) -> Floats:
        self.passes.append([len(segment.ids) for segment in run.segments])
        rows = []
        for segment, seen in zip(run.segments, run.seen, strict=True):
            assert segment.cache is not None
            new = np.array(segment.ids, np.int64).reshape(-1, 1, 1)
            held, _ = segment.cache.write(0, new, new)
            ids = tuple(held[:, 0, 0].tolist())
            first = len(ids) - len(new) + 1 if segment.wanted == "all" else len(ids)
            prefixes = [ids[:length] for length in range(first, len(ids) + 1)]
            rows += [self.spoil(prefix, logits_after(prefix)) for prefix in prefixes]
            fed = [ids[: n + 1] for n in range(len(ids) - len(new), len(ids))]
            for site in segment.watch:
                seen[site] = np.stack([residual_after(prefix, site) for prefix in fed])
        for segment in run.segments:
            assert segment.cache is not None
            segment.cache.advance(len(segment.ids))
        self.rows.append(len(rows))
        return np.stack(rows)

    def project(self, rows: Floats, /) -> Floats:
        return unembedded(rows)


class ByteTokenizer:
    """One token a byte; id 0 ends."""

    eos_ids: tuple[int, ...] = (END,)
    vocab_size = VOCAB

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return list(text.encode())

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id])

    def is_special(self, token_id: int) -> bool:
        return token_id == END

    @cached_property
    def guide(self) -> Guide:
        return Guide(self)

    def stream(self) -> ByteDecoder:
        return ByteDecoder()


class ByteDecoder:
    """UTF-8, as bytes come."""

    def __init__(self) -> None:
        self._held = b""

    def push(self, token_id: int) -> str:
        self._held += bytes([token_id])
        try:
            text = self._held.decode()
        except UnicodeDecodeError as error:
            if error.end == len(self._held) and len(self._held) < 4:
                return ""
            text = self._held.decode(errors="replace")
        self._held = b""
        return text

    def flush(self) -> str:
        text, self._held = self._held.decode(errors="replace"), b""
        return text

    def fork(self) -> ByteDecoder:
        return copy.copy(self)
