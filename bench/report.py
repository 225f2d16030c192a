"""Results for people, as a table, and for programs, as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from rich.table import Table

from bench.measure import LIMIT, OURS, Result, Spread
from pellucid.cli.environment import facts

_PEERS = ("llama-cpp-python", "torch", "transformers")


def machine() -> dict[str, Any]:
    """Where this was measured, with what, and how busy the machine was."""
    known = facts()
    return {
        "cpu": known["cpu"],
        "memory": known["memory"],
        "platform": known["platform"],
        "python": platform.python_version(),
        "pellucid": known["pellucid"],
        "peers": {name: version for name in _PEERS if (version := _version(name))},
        "load_average": load_average(),
    }


def load_average() -> float | None:
    """How many processes wanted to run, on average over a minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def warning(load: float | None, threads: int, cores: int) -> str | None:
    """What to say of a machine on which others leave less than `threads` processors free.

    >>> warning(1.5, threads=2, cores=2)
    'the machine is busy (load average 1.5, 2 processors): expect low and scattered values'
    """
    if load is None or load + threads < cores + 0.5:
        return None
    busy = f"load average {load:g}, {cores} processors"
    return f"the machine is busy ({busy}): expect low and scattered values"


def tables(results: Sequence[Result]) -> Iterator[Table]:
    """One for each file."""
    for name in dict.fromkeys(result.file for result in results):
        yield table(name, [result for result in results if result.file == name])


def table(title: str, results: Sequence[Result]) -> Table:
    """A line for each contestant of each scenario: its values, and Pellucid's ratio to it."""
    made = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("scenario", "", "median", "min to max", "pellucid is", "min to max"):
        made.add_column(heading, justify="left" if heading in ("scenario", "") else "right")
    for result in results:
        first = f"{result.scenario}, {result.unit}"
        for name, values in result.values.items():
            spread = Spread.of(values)
            made.add_row(first, name, number(spread.median), span(spread), *_ratio(result, name))
            first = ""
        for name, why in result.skipped.items():
            made.add_row(first, f"{name}: {why}")
            first = ""
    return made


def _ratio(result: Result, name: str) -> tuple[str, str]:
    if name == OURS or (ratio := result.ratio(name)) is None:
        return "", ""
    if name == LIMIT:
        percent = Spread(*(100 * share for share in (ratio.median, ratio.least, ratio.most)))
        return f"{number(percent.median)} % of it", span(percent)
    return f"{number(ratio.median)} x", span(ratio)


def span(spread: Spread) -> str:
    """The least and the most; nothing where they are one.

    >>> span(Spread(2, 1, 3)), span(Spread(2, 2, 2))
    ('1.00 to 3.00', '')
    """
    if spread.least == spread.most:
        return ""
    return f"{number(spread.least)} to {number(spread.most)}"


def number(value: float) -> str:
    """Three figures, and never an exponent where a person would write none.

    >>> number(1234.5), number(63.21), number(0.4812), number(3.2e-7)
    ('1,234', '63.2', '0.481', '3.2e-07')
    """
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 0.001:
        return f"{value:#.3g}"
    return f"{value:.1e}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
