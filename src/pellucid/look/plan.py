"""What a pass through a model does: each operation with its bytes, its arithmetic and its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pellucid.look import html, terminal
from pellucid.look.numbers import left_out, percent
from pellucid.look.view import View

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pellucid.backends.measure import MeasuredPlan, Operation

# Numbers keep their columns whole where a terminal is narrow; the bar gives way.
_HEADINGS = ("kind", "#shape", "#bytes", "#arith.", "#ms", "#waited", "#share", "")
_EACH, _SUMS = ("#no", *_HEADINGS), ("#count", *_HEADINGS)
_ROWS_IN_HTML = 500


@dataclass(frozen=True)
class Row:
    """A line: `count` operations together, and what share of the pass's time they have."""

    kind: str
    shape: str
    count: int
    bytes: int
    arithmetic: int
    seconds: float
    waited: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "shape": self.shape,
            "bytes": self.bytes,
            "arithmetic": self.arithmetic,
            "ms": 1000 * self.seconds,
            "waited_ms": 1000 * self.waited,
            "share": self.share,
        }


class PlanView(View):
    """A measured plan: its operations in their order, and their sums by kind, the longest first.

    `summed` leaves the operations themselves out of what is shown; `to_dict` has them always.

    >>> from pellucid.backends.measure import MeasuredPlan, Operation
    >>> step = Operation("linear", "64 -> 64", 4096, 8192, 1e-6, 0.0)
    >>> plan = MeasuredPlan((step, step), 1, 32, 2, "avx2", 3e-6, 1e10)
    >>> [(row.count, row.kind, row.bytes, row.share) for row in PlanView(plan).sums()]
    [(2, 'linear', 8192, 1.0)]
    """

    def __init__(self, plan: MeasuredPlan, *, summed: bool = False) -> None:
        self.plan = plan
        self.summed = summed

    @property
    def bytes_per_second(self) -> float:
        """What a pass reads, over what it takes."""
        return self.plan.bytes / self.plan.pass_seconds

    def rows(self) -> list[Row]:
        """A line for each operation."""
        return [self._together([operation]) for operation in self.plan.operations]

    def sums(self) -> list[Row]:
        """A line for each kind, and of linear operations for each shape; the longest first."""
        groups: dict[tuple[str, str], list[Operation]] = {}
        for o in self.plan.operations:
            groups.setdefault((o.kind, o.shape if o.kind == "linear" else ""), []).append(o)
        return sorted(map(self._together, groups.values()), key=lambda row: -row.seconds)

    def to_dict(self) -> dict[str, Any]:
        """`operations[]` and `sums[]` {kind, shape, bytes, arithmetic, ms, waited_ms, share}, and
        the pass beside the memory limit.
        """
        p = self.plan
        return {
            "rows": p.rows,
            "context": p.context,
            "threads": p.threads,
            "isa": p.isa,
            "pass_ms": 1000 * p.pass_seconds,
            "bytes": p.bytes,
            "bytes_per_second": self.bytes_per_second,
            "memory_limit_bytes_per_second": p.memory_limit,
            "memory_share": self.bytes_per_second / p.memory_limit,
            "operations": [row.to_dict() for row in self.rows()],
            "sums": [{**row.to_dict(), "count": row.count} for row in self.sums()],
        }

    def terminal(self) -> RenderableType:
        shown = [
            terminal.table(headings, ((*cells, terminal.bar(share)) for cells, share in rows))
            for headings, rows in self._tables()
        ]
        return terminal.stack(*shown, terminal.words("\n".join(self._notes())))

    def html(self) -> str:
        parts = []
        for headings, rows in self._tables():
            few = ((*cells, html.bar(share)) for cells, share in islice(rows, _ROWS_IN_HTML))
            caption = "Operations" if headings is _EACH else "Operations summed by kind"
            parts.append(html.table(headings, few, caption))
            if left := sum(1 for _ in rows):
                parts.append(html.element("p", left_out(left, "operations")))
        return html.fragment(*parts, *(html.element("p", note) for note in self._notes()))

    def _tables(self) -> Iterator[tuple[tuple[str, ...], Iterator[tuple[tuple[str, ...], float]]]]:
        """Headings, and each row's cells with its share."""
        if not self.summed:
            each = enumerate(self.rows(), 1)
            yield _EACH, ((_cells(number, row), row.share) for number, row in each)
        yield _SUMS, ((_cells(row.count, row), row.share) for row in self.sums())

    def _together(self, operations: Sequence[Operation]) -> Row:
        first, count = operations[0], len(operations)
        same = all(o.shape == first.shape for o in operations)
        seconds = sum(o.seconds for o in operations)
        return Row(
            first.kind,
            first.shape if same else "",
            count,
            sum(o.bytes for o in operations),
            sum(o.arithmetic for o in operations),
            seconds,
            sum(o.waited for o in operations),
            seconds / self._seconds() if seconds else 0.0,
        )

    def _seconds(self) -> float:
        return sum(o.seconds for o in self.plan.operations)

    def _notes(self) -> Iterator[str]:
        p = self.plan
        rate, limit = self.bytes_per_second, p.memory_limit
        yield (
            f"Rows of this pass: {p.rows:,}, after {p.context:,} others; "
            f"{p.threads} threads, {p.isa}."
        )
        inside = f"{1000 * self._seconds():.3f} ms of it in the plan"
        yield f"One pass takes {1000 * p.pass_seconds:.3f} ms, {inside}."
        share = f"{percent(rate / limit)} of this machine's {limit / 1e9:.1f} GB/s"
        yield f"It reads {short(p.bytes)} bytes, {rate / 1e9:.1f} GB/s: {share}."


def short(number: int) -> str:
    """A count in at most five characters or so.

    >>> short(999), short(28311552), short(56885184768)
    ('999', '28.3M', '56.9G')
    """
    if number < 1000:
        return str(number)
    for unit in "KMGT":
        number_in_unit = number / 1000 ** ("KMGT".index(unit) + 1)
        if number_in_unit < 999.95 or unit == "T":
            break
    return f"{number_in_unit:.1f}{unit}"


def _cells(number: int, row: Row) -> tuple[str, ...]:
    ms = (f"{1000 * seconds:.3f}" for seconds in (row.seconds, row.waited))
    sizes = (short(row.bytes), short(row.arithmetic))
    return (str(number), row.kind, row.shape, *sizes, *ms, percent(row.share))
