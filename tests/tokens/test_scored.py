"""Vocabularies with scores: merges derived from them, and what a file must not say."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import FormatError
from pellucid.tokens import scored
from pellucid.tokens.scored import BYTE, CONTROL, NORMAL, UNKNOWN, Scored, merges_by_score


def by_trying(texts: list[str], scores: list[float]) -> list[tuple[str, str]]:
    """Every cut of every piece, tried one by one."""
    known, score = set(texts), dict(zip(texts, scores, strict=True))
    best_first = sorted(texts, key=lambda text: -score[text])
    cuts = [(t[:i], t[i:]) for t in best_first for i in range(1, len(t))]
    return [(a, b) for a, b in cuts if a in known and b in known]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text("ab▁é🤦", min_size=1, max_size=6), unique=True, max_size=40),
    st.randoms(use_true_random=False),
)
def test_merges_are_all_the_cuts_that_give_two_pieces(texts, random):
    scores = [float(random.randint(-5, 0)) for _ in texts]
    assert merges_by_score(texts, np.array(scores, np.float32)) == by_trying(texts, scores)


def test_merges_of_gemma_are_those_found_one_by_one(gemma3):
    from pellucid.weights.checkpoint import open_checkpoint

    fields = open_checkpoint(gemma3).metadata
    types = fields["tokenizer.ggml.token_type"]
    normal = np.flatnonzero(types == NORMAL)[::8]  # an eighth: trying takes a second for all
    texts = list(fields["tokenizer.ggml.tokens"])
    texts = [texts[i] for i in normal.tolist()]
    scores = fields["tokenizer.ggml.scores"][normal]
    assert merges_by_score(texts, scores) == by_trying(texts, scores.tolist())


def test_merges_come_best_score_first(gemma3, gemma):
    rank = gemma.ranks()
    texts = ["▁", "t", "h", "e", "▁t", "th", "he", "▁the", "the"]
    ids = [gemma.library.id_of(text) for text in texts]
    merges = merges_by_score(texts, np.array([-i for i in ids], np.float32))
    assert all(rank(*a) < rank(*b) or a[0] + a[1] == b[0] + b[1] for a, b in pairwise(merges))


def vocabulary(**changes) -> Scored:
    given = {
        "method": "bpe",
        "texts": ["<unk>", "<s>", "a", "b", "ab", "<0x41>"],
        "scores": np.array([0, 0, -1, -2, -3, 0], np.float32),
        "types": np.array([UNKNOWN, CONTROL, NORMAL, NORMAL, NORMAL, BYTE]),
        "unk_id": 0,
        "space_prefix": False,
    }
    return Scored(**(given | changes))


def test_a_small_vocabulary_encodes():
    library = scored.library_of("t", vocabulary())
    assert library.encode("abaA<s>x", parse_special=False).ids == [4, 2, 5, 0]
    assert library.encode("ab<s>", parse_special=True).ids == [4, 1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"texts": ["a"] * 6}, "'a' has both id 0 and id 1"),
        ({"texts": [], "scores": np.zeros(0), "types": np.zeros(0)}, "the vocabulary is empty"),
        ({"scores": np.zeros(5, np.float32)}, "5 of them for 6 tokens"),
        ({"types": np.ones(7, np.int32)}, "7 of them for 6 tokens"),
        ({"scores": np.array([0, 0, math.nan, 0, 0, 0], np.float32)}, "token 2 has nan"),
        ({"scores": np.array([0, 0, 0, 0, math.inf, 0], np.float32)}, "token 4 has inf"),
        ({"unk_id": 6}, "id 6 is not among the 6 tokens"),
        ({"unk_id": -1}, "id -1 is not among the 6 tokens"),
        ({"charsmap": b"\xff\xff\xff\xff"}, "ends too early"),
        ({"charsmap": b"\x00\x00"}, "ends too early"),
        ({"method": "unigram", "charsmap": b"\x04\x00\x00\x00\x01"}, "ends too early"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(changes, reason):
    with pytest.raises(FormatError) as error:
        scored.library_of("t.model", vocabulary(**changes))
    assert reason in str(error.value)
    assert str(error.value).startswith("t.model: ")
