"""Filters that name phrases, sequences of tokens: they bear on the token that completes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import Ids
from pellucid.weights.tensor import Floats

Phrase = tuple[int, ...]


@dataclass(frozen=True)
class Phrases:
    """Phrases of one length, each with a number."""

    beginnings: Ids  # [phrases, length - 1]
    lasts: Ids  # [phrases]
    biases: Floats  # [phrases]


def bad_words_ids(candidates: Candidates, context: Context, phrases: list[Phrases]) -> Candidates:
    """Remove tokens that would complete one of these phrases, begun in prompt or answer."""
    return candidates.without(_completing(phrases, context.ids)[0])


def sequence_bias(candidates: Candidates, context: Context, phrases: list[Phrases]) -> Candidates:
    """Add a phrase's number to the score of the token that would complete it.

    As in transformers, the numbers of several phrases that one token completes add up.
    """
    tokens, biases = _completing(phrases, context.ids)
    once, which = np.unique(tokens, return_inverse=True)
    sums = np.zeros(len(once), np.float32)
    np.add.at(sums, which, biases)
    return candidates.changed(once, candidates.scores_of(once) + sums)


def _completing(phrases: list[Phrases], ids: Ids) -> tuple[Ids, Floats]:
    """The tokens that would complete a phrase, and the phrases' numbers."""
    tokens, biases = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for group in phrases:
        begun = group.beginnings.shape[1]
        if begun <= len(ids):
            at_end = (group.beginnings == ids[len(ids) - begun :]).all(axis=1)
            tokens.append(group.lasts[at_end])
            biases.append(group.biases[at_end])
    return np.concatenate(tokens), np.concatenate(biases)


def _by_length(pairs: Sequence[tuple[Phrase, float]]) -> tuple[list[Phrases]]:
    groups = []
    for length in sorted({len(phrase) for phrase, _ in pairs}):
        here = [(phrase, bias) for phrase, bias in pairs if len(phrase) == length]
        ids = np.array([phrase for phrase, _ in here], np.int64)
        biases = np.array([bias for _, bias in here], np.float32)
        groups.append(Phrases(ids[:, :-1], ids[:, -1], biases))
    return (groups,)


def _without_biases(phrases: Sequence[Phrase]) -> tuple[list[Phrases]]:
    return _by_length([(phrase, 0.0) for phrase in phrases])


ROWS = (
    Filter(bad_words_ids, ("bad_words_ids",), prepare=_without_biases),
    Filter(sequence_bias, ("sequence_bias",), prepare=_by_length),
)
