"""What may be chosen: tokens and their scores, the whole vocabulary at first.

Nothing of `Candidates` is ever changed in place: what is made of them shares what it can, so that a
filter which changes a few scores, divides all, or leaves few costs little beside the 262,144 that
a vocabulary may have. Scores are float32; minus infinity is a removed token, and weighs nothing.
A token that was removed has it, or is not here any more: which of the two is a matter of speed
alone. Where tokens are asked for, those that are not here are removed ones; of those that are told,
equals come in order of ids. NaN is never among what is selected, and shows in what is summed.

>>> some = Candidates(np.float32([3, 1, 2, 0])).keep(np.array([0, 2]))
>>> some.dense(4).tolist(), some.probs_of(np.array([0, 1])).round(4).tolist()
([3.0, -inf, 2.0, -inf], [0.7311, 0.0])
>>> some.leading(2).tolist(), some.rank(2), some.count, round(some.logsumexp, 4)
([0, 2], 2, 2, 3.3133)
"""

from __future__ import annotations

import numpy as np

from pellucid.backends._native import Candidates

REMOVED = np.float32(-np.inf)

__all__ = ["REMOVED", "Candidates"]
