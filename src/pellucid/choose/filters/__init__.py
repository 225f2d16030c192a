"""The filters: candidates in, candidates out; each has a row of the table, a line of the ledger.

A file here is a group of filters with its `ROWS`; `ORDER` says in which order they are applied.
"""

from pellucid.choose.filters import lengths, penalties, truncation
from pellucid.choose.filters.filter import Context, Filter

FILTERS: dict[str, Filter] = {
    row.name: row for group in (penalties, lengths, truncation) for row in group.ROWS
}

# That of transformers' `generate`.
ORDER = (
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "min_new_tokens",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
)

__all__ = ["FILTERS", "ORDER", "Context", "Filter"]
