"""A watermark: tokens that a key makes green are favoured, by which the text is known again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.parameters.watermark import Watermark
from pellucid.choose.vocabulary import Ids, shuffled

_TABLE = 1_000_003  # as many numbers has the table of "selfhash"
_TRIED = 40  # as many of the likeliest tokens does "selfhash" look at
_BITS = 0xFFFF_FFFF  # of a seed, the generator takes the lower 32


@dataclass(frozen=True)
class Green:
    """Which tokens are green, given those before them.

    The seeds and the generator are transformers' on a CPU, so that either finds what the other has
    written. `table` is what "selfhash" hashes by; None for "lefthash".
    """

    mark: Watermark
    table: Ids | None

    @classmethod
    def of(cls, mark: Watermark) -> Green:
        """The green tokens of a watermark."""
        own = mark.seeding_scheme == "selfhash"
        return cls(mark, shuffled(mark.hashing_key & _BITS, _TABLE, _TABLE) if own else None)

    def tokens(self, ids: Ids, vocab_size: int) -> Ids:
        """The green tokens that these ids decide, in no order."""
        count = int(vocab_size * self.mark.greenlist_ratio)
        return shuffled(self._seed(ids) % (2**64 - 1) & _BITS, vocab_size, count)

    def _seed(self, ids: Ids) -> int:
        if self.table is None:
            return self.mark.hashing_key * int(ids[-1])
        hashed = self.table[ids[-self.mark.context_width :] % _TABLE] + 1
        return int((self.mark.hashing_key * hashed * hashed[-1]).min())  # 64 bits, the rest is lost

    def likeliest(self, candidates: Candidates, ids: Ids, vocab_size: int) -> Ids:
        """Those of the likeliest tokens that are green where they decide so themselves."""
        tried = candidates.leading(_TRIED)
        lists = ((token, self.tokens(np.append(ids, token), vocab_size)) for token in tried)
        return np.array([token for token, green in lists if token in green], np.int64)


def watermarking_config(candidates: Candidates, context: Context, green: Green) -> Candidates:
    """Add the bias to the green tokens.

    Kirchenbauer et al. 2023, arXiv:2301.10226 ("lefthash", its algorithm 2) and arXiv:2306.04634
    ("selfhash", 40 lists a token), as transformers has them. One list takes 0.5 ms at a
    vocabulary of 262,144.
    """
    ids, size = context.ids, context.vocab_size
    if len(ids) < green.mark.context_width:
        return candidates
    if green.table is not None:
        tokens = green.likeliest(candidates, ids, size)
        raised = candidates.scores_of(tokens) + np.float32(green.mark.bias)
        return candidates.changed(tokens, raised)
    added = np.zeros(size, np.float32)  # a fourth of all tokens is green: too many to look for each
    added[green.tokens(ids, size)] = green.mark.bias
    here = added if candidates.ids is None else added[candidates.ids]
    return candidates.rescored(candidates.scores + here)


def _green(mark: Watermark) -> tuple[Green]:
    return (Green.of(mark),)


ROWS = (Filter(watermarking_config, ("watermarking_config",), prepare=_green),)
