"""What the README shows runs as it is written there."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pellucid.cli import COMMANDS, cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def typed() -> list[str]:
    """Each `pellucid ...` line of the shell blocks, and of the prose between backticks."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(pellucid [^`]+)`", README)
    return [line for line in lines if line.startswith("pellucid ")]


@pytest.mark.parametrize("line", typed())
def test_a_command_is_one_that_pellucid_understands(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    try:
        command.make_context(name, [*arguments])
    except click.exceptions.Exit:
        assert "--help" in arguments


def test_every_command_is_shown() -> None:
    shown = {line.split()[1] for line in typed()} | set(
        re.findall(r"# and (.+?):", README)[0].split(", ")
    )
    assert shown | {"demo"} == set(COMMANDS)


def test_the_python_block_runs(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.lm.resolve", lambda reference: {"smollm2": smollm2}[reference])
    [code] = blocks("python")
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    assert printed.getvalue().startswith(" top of the stack")


@pytest.mark.parametrize(("command", "block"), [("next", ""), ("explain", "text")])
def test_what_is_printed_is_shown(command: str, block: str, smollm2: Path) -> None:
    line = next(line for line in typed() if line.startswith(f"pellucid {command} "))
    words = shlex.split(line, comments=True)[1:]
    ran = subprocess.run(
        [sys.executable, "-m", "pellucid", *words, "-m", str(smollm2)],
        capture_output=True, check=True,
    )  # fmt: skip
    [shown] = blocks(block)
    assert numbers(ran.stdout.decode()) == pytest.approx(numbers(shown), abs=0.02)
    assert re.sub(NUMBER, "", shown) == re.sub(NUMBER, "", ran.stdout.decode())


def test_what_a_session_ends_with_is_shown(smollm2: Path) -> None:
    [line] = [line for block in blocks("sh") for line in block.splitlines() if " | " in line]
    python = shlex.join([sys.executable, "-m", "pellucid"])
    typed = f"{line.replace('pellucid', python, 1)} -m {shlex.quote(str(smollm2))}"
    try:
        ran = subprocess.run(["bash", "-c", typed], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("no bash")
    [shown] = blocks("output")
    printed = ran.stdout.decode()[-len(shown) :]
    assert numbers(printed) == pytest.approx(numbers(shown), abs=0.02)
    assert re.sub(NUMBER, "", shown) == re.sub(NUMBER, "", printed)


NUMBER = r"\d[\d,.]*"


def numbers(text: str) -> list[float]:
    return [float(number.rstrip(".").replace(",", "")) for number in re.findall(NUMBER, text)]


def test_the_first_command_installs_and_shows_something() -> None:
    first = blocks("sh")[0]
    assert (
        first == "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/pellucid demo\n"
    )


def test_ci_runs_the_test_command_that_the_readme_gives() -> None:
    marked = re.search(r"<!-- test command -->\n```sh\n(.+)\n```", README)
    assert marked
    assert marked[1] == "pip install -q -c constraints.txt -e '.[dev]' && python -m pytest"
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    taken = next(line for line in script.splitlines() if line.startswith("test_command="))
    try:
        ran = subprocess.run(
            ["bash", "-c", f'{taken}; printf %s "$test_command"'],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no bash")
    assert ran.stdout == marked[1]


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")))
def test_a_link_leads_to_a_file(document: Path) -> None:
    for link in re.findall(r"\]\((?!\w+:)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / link).exists()
