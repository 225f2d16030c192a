"""A trace that was made again, compared with what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pellucid.look import html, terminal
from pellucid.look.view import View
from pellucid.trace.replay import Check

if TYPE_CHECKING:
    from rich.console import RenderableType


_HEADINGS = ("what", "#numbers", "")


class ReplayView(View):
    """What came out the same, and what did not. `notes` say what may be the reason.

    >>> ReplayView([Check("answer: ids", 5, 0, 0.0)], [])
    what         numbers
    answer: ids        5  the same
    <BLANKLINE>
    All 5 numbers are the same, to the last bit.
    """

    def __init__(self, checks: Sequence[Check], notes: Sequence[str]) -> None:
        self.checks = tuple(checks)
        self.notes = tuple(notes)

    @property
    def same(self) -> bool:
        """Whether all of it came out the same, to the last bit."""
        return all(check.same for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: docs/json.md."""
        return {
            "same": self.same,
            "checks": [_row(check) for check in self.checks],
            "notes": list(self.notes),
        }

    def terminal(self) -> RenderableType:
        rows = [list(_cells(check)) for check in self.checks]
        told = [terminal.words(note) for note in (self._verdict, *self.notes)]
        return terminal.stack(terminal.table(_HEADINGS, rows), *told)

    def html(self) -> str:
        rows = [_cells(check) for check in self.checks]
        notes = [html.element("p", note) for note in (self._verdict, *self.notes)]
        return html.fragment(html.table(_HEADINGS, rows, "Replayed"), *notes)

    @property
    def _verdict(self) -> str:
        wrong = [check for check in self.checks if not check.same]
        if wrong:
            return f"Not the same: {', '.join(check.what for check in wrong[:5])}."
        if not self.checks:
            return "Nothing to compare: this trace has no answer, no values and no readings."
        count = sum(check.count for check in self.checks)
        return f"All {count:,} numbers are the same, to the last bit."


def _row(check: Check) -> dict[str, Any]:
    furthest = check.furthest if math.isfinite(check.furthest) else None
    return {
        "what": check.what,
        "count": check.count,
        "different": check.different,
        "furthest": furthest,
        "why": check.why,
        "same": check.same,
    }


def _cells(check: Check) -> tuple[str, str, str]:
    if check.same:
        told = "the same"
    elif check.why:
        told = check.why
    else:
        told = f"{check.different:,} differ"
        if math.isfinite(check.furthest):
            told += f", by up to {check.furthest:.2g}"
    return check.what, f"{check.count:,}", told
