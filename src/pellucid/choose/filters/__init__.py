"""The filters: candidates in, candidates out; each has a row of the table, a line of the ledger.

A file here is a group of filters with its `ROWS`; the orders in which they are applied are in
`choose/parameters/order.py`.
"""

from pellucid.choose.filters import (
    constraints,
    cutoffs,
    distribution,
    diversity,
    dry,
    lengths,
    ngrams,
    penalties,
    phrases,
    sigma,
    steering,
    temperature,
    tokens,
    truncation,
    watermark,
    xtc,
)
from pellucid.choose.filters.filter import Context, Filter

_GROUPS = (
    constraints,
    cutoffs,
    distribution,
    diversity,
    dry,
    lengths,
    ngrams,
    penalties,
    phrases,
    sigma,
    steering,
    temperature,
    tokens,
    truncation,
    watermark,
    xtc,
)

FILTERS: dict[str, Filter] = {row.name: row for group in _GROUPS for row in group.ROWS}

__all__ = ["FILTERS", "Context", "Filter"]
