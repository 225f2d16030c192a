"""How soon Pellucid answers: medians of cold processes, and what importing its parts takes.

python bench/startup.py [--model REF] [--rounds N]

Budgets: `pellucid --help` 150 ms; `pellucid next` on the cached default model 2.5 s. Run it on a
quiet machine; the first round, which may read the disk, is left out.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

IMPORTS = (
    "pellucid",
    "pellucid.cli",
    "pellucid.lm",
    "numpy",
    "tokenizers",
    "rich.console",
    "click",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    command = [sys.executable, "-m", "pellucid"]
    text = ["The man walked the cat", "-m", given.model]
    _row("python -c pass", [sys.executable, "-c", "pass"], given.rounds)
    _row("pellucid --help", [*command, "--help"], given.rounds, 0.15)
    _row("pellucid tokens", [*command, "tokens", *text], given.rounds)
    _row("pellucid next", [*command, "next", *text], given.rounds, 2.5)
    for name in IMPORTS:
        _row(f"import {name}", [sys.executable, "-c", f"import {name}"], given.rounds)


def _row(label: str, command: Sequence[str], rounds: int, budget: float | None = None) -> None:
    times = [_seconds(command) for _ in range(rounds + 1)][1:]
    median = statistics.median(times)
    verdict = ""
    if budget is not None:
        verdict = f"  budget {budget * 1000:,.0f} ms: {'kept' if median <= budget else 'EXCEEDED'}"
    print(
        f"{label:22} {median * 1000:7,.0f} ms  (best {min(times) * 1000:,.0f}){verdict}", flush=True
    )


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  (our own words)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
