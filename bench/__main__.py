"""`python -m bench`: measure, print a table, and write JSON where asked to."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from bench.files import FILES, ModelFile, file
from bench.measure import Result
from bench.peers import Contestant, contestants
from bench.report import load_average, machine, tables, warning
from bench.scenarios import SCENARIOS, Scenario, Setting
from pellucid.errors import PellucidError

_QUICK = {"repeats": 2, "tokens": 32, "positions": 64}
_QUICK_PEERS = ("llama.cpp", "transformers bfloat16")


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--scenario",
    "names",
    multiple=True,
    type=click.Choice(list(SCENARIOS)),
    help="What to measure; everything unless given. May be given several times.",
)
@click.option(
    "--file",
    "file_names",
    multiple=True,
    metavar="NAME",
    help=f"A .gguf file, or one of {', '.join(FILES)}; all of these unless given.",
)
@click.option(
    "--contestant",
    "only",
    multiple=True,
    metavar="NAME",
    help="Who takes part beside Pellucid; all that are installed unless given.",
)
@click.option("--threads", type=click.IntRange(1), help="Processors to use; all unless given.")
@click.option("--repeats", type=click.IntRange(1), help="Turns; 5 unless given.")
@click.option(
    "--quick",
    is_flag=True,
    help="About a minute on a quiet machine: one file, short turns, two of each.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all values there.",
)
def bench(
    names: tuple[str, ...], file_names: tuple[str, ...], only: tuple[str, ...],
    threads: int | None, repeats: int | None, quick: bool, json_path: Path | None,
) -> None:  # fmt: skip
    """Measure Pellucid and its peers in turns, on the same files with the same threads.

    The table is of medians, with Pellucid's ratio to each of the others; a ratio above 1 is in
    its favour.
    """
    setting = Setting(threads or _usable_cores())
    setting = replace(setting, **_QUICK) if quick else setting
    setting = replace(setting, repeats=repeats) if repeats else setting
    scenarios = [s for s in SCENARIOS.values() if s.name in names or not names]
    if quick and not names:
        scenarios = [s for s in scenarios if not s.long]
    chosen = file_names or (list(FILES)[:1] if quick else list(FILES))
    before = machine()
    if busy := warning(before["load_average"], setting.threads, before["cpu"]["cores"]):
        click.echo(busy, err=True)
    who = _chosen(only or (_QUICK_PEERS if quick else ()))
    results = run([file(name) for name in chosen], scenarios, who, setting)
    _print(results)
    if json_path:
        json_path.write_bytes(as_json(results, setting, before))


def run(
    files: Sequence[ModelFile],
    scenarios: Sequence[Scenario],
    who: Sequence[Contestant],
    setting: Setting,
) -> list[Result]:
    """Measure every scenario of every file; what is going on is told on standard error."""
    results: list[Result] = []
    for measured in files:
        for scenario in scenarios:
            click.echo(f"{measured.name}: {scenario.name} ...", err=True)
            results += scenario.measure(measured, who, setting)
    return results


def as_json(results: Sequence[Result], setting: Setting, before: dict[str, Any]) -> bytes:
    """All of it: the machine, how it was measured, and every value."""
    whole = {
        "machine": {**before, "load_average_after": load_average()},
        "threads": setting.threads,
        "repeats": setting.repeats,
        "tokens": setting.tokens,
        "positions": setting.positions,
        "results": [result.to_dict() for result in results],
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def _chosen(only: Sequence[str]) -> list[Contestant]:
    everybody = contestants()
    names = [contestant.name for contestant in everybody]
    for name in only:
        if name not in names:
            raise click.UsageError(f"no contestant {name!r}: one of {', '.join(names)}")
    return [c for c in everybody if not only or c.name in only or c is everybody[0]]


def _print(results: Sequence[Result]) -> None:
    # A pipe has no width; nothing is gained by folding there.
    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in tables(results):
        console.print(table, end="\n\n")


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    try:
        bench(prog_name="python -m bench")
    except PellucidError as error:
        sys.exit(f"bench: {error}")
