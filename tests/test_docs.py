"""docs/generation.md is true: its examples answer what it shows, its tables are the code's.

After a change that is meant: PELLUCID_WRITE_DOCS=1 python -m pytest tests/test_docs.py
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import pellucid.lm
from pellucid.choose.parameters import PARAMETERS, Parameter
from pellucid.choose.parameters.order import ORDERS
from pellucid.cli import main
from pellucid.cli.generate import generate

PAGE = Path(__file__).parent.parent / "docs" / "generation.md"
WRITES = "PELLUCID_WRITE_DOCS" in os.environ
WIDTH = 100  # of the outputs on the page; a longer line is broken
BLOCK = re.compile(r"```(sh|python)\n(.*?)```\n", re.DOTALL)
EXAMPLE = re.compile(r"((?:```(?:sh|python)\n(?:(?!```).)*```\n\n?)+)```text\n(.*?)```", re.DOTALL)
DECIMAL = re.compile(r"\d+\.\d+")


def page() -> str:
    return PAGE.read_text("utf-8")


def examples() -> dict[str, str]:
    """The code of each example, which is a block or several that print the same, and its output."""
    return dict(EXAMPLE.findall(page()))


def commands(block: str) -> Iterator[list[str]]:
    """The arguments of each `pellucid` command of a block; it may go on in the next line."""
    for typed in re.split(r"^(?=pellucid )", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        yield shlex.split(typed)[1:]


def folded(text: str) -> str:
    """A text as the page shows it."""
    return "".join(f"{textwrap.fill(line.rstrip(), WIDTH)}\n" for line in text.rstrip().split("\n"))


def replaced(old: str, new: str) -> None:
    """Write a part of the page anew."""
    PAGE.write_text(page().replace(old, new), "utf-8")


# ---- examples ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> pellucid.LM:
    return pellucid.load(smollm2)


@pytest.fixture
def printed(
    lm: pellucid.LM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, str], str]:
    """What a block prints, with the default model opened once for all."""

    def load(reference: str = "smollm2", **_settings: Any) -> pellucid.LM:
        assert reference == "smollm2"
        return lm

    monkeypatch.setattr(pellucid.lm, "load", load)
    monkeypatch.setattr(pellucid, "load", load)
    monkeypatch.setenv("COLUMNS", "80")

    def typed(block: str) -> str:
        capsys.readouterr()
        for arguments in commands(block):
            assert main(arguments) == 0
        return str(capsys.readouterr().out)

    def executed(block: str) -> str:
        names: dict[str, Any] = {}
        exec(beginning(), names)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(block, names)
        return said.getvalue()

    return lambda language, block: typed(block) if language == "sh" else executed(block)


def beginning() -> str:
    """The page's first Python block, which the others go on from."""
    return next(str(text) for language, text in BLOCK.findall(page()) if language == "python")


@pytest.mark.slow
@pytest.mark.parametrize("code", examples())
def test_an_example_prints_what_the_page_shows(
    code: str, printed: Callable[[str, str], str]
) -> None:
    shown = examples()[code]
    for language, block in BLOCK.findall(code):
        text = folded(printed(language, block))
        if WRITES:
            replaced(f"{code}```text\n{shown}", f"{code}```text\n{text}")
            shown = text
        assert words(text) == words(shown)
        # other processors round otherwise
        assert decimals(text) == pytest.approx(decimals(shown), rel=5e-3, abs=0.02)


def words(text: str) -> str:
    """What must be the same; "< 0.01 %" stands where "0.00 %" may."""
    return DECIMAL.sub("", text.replace("< 0.01", "  0.01"))


def decimals(text: str) -> list[float]:
    return [float(number) for number in DECIMAL.findall(text)]


def test_every_block_but_the_beginning_belongs_to_an_example() -> None:
    blocks = [text for _, text in BLOCK.findall(page())]
    shown = [text for code in examples() for _, text in BLOCK.findall(code)]
    assert blocks == [beginning(), *shown]


# ---- tables ------------------------------------------------------------------------------------


def parameters() -> str:
    """The table of parameters, as the code has it, under its headings."""
    names = ("parameter", "option", "values", "default", "what it does")
    text, heading = "", ""
    for row in PARAMETERS.values():
        if row.heading != heading:
            heading = row.heading
            text += f"\n### {heading}\n\n{line(names)}{line(['---'] * len(names))}"
        needs = f"; only with {' or '.join(row.needs)}" if row.needs else ""
        values = str(row.kind)
        text += line([code(row.name), option(row.name), values, neutral(row), row.doc + needs])
    return f"{text}\n"


def line(cells: Iterable[str]) -> str:
    return "|" + "|".join(f" {cell} ".replace("|", r"\|") for cell in cells) + "|\n"


def code(text: str) -> str:
    return f"`{text}`"


def option(name: str) -> str:
    """An option as the help of `generate` has it."""
    found = next(param for param in generate.params if param.name == name)
    assert isinstance(found, click.Option)
    record = found.get_help_record(click.Context(generate))
    assert record
    return code(record[0] + " ..." * found.multiple)


def neutral(row: Parameter) -> str:
    """What stands for a parameter that is not given, in Python; nothing where nothing does."""
    if row.neutral is None:
        return ""
    values = row.neutral if isinstance(row.neutral, tuple) else (row.neutral,)
    return ", ".join(code(repr(value)) for value in values)


def orders() -> str:
    """The filters in the order of each dialect."""
    return "".join(f"- `{dialect}`: {', '.join(names)}\n" for dialect, names in ORDERS.items())


@pytest.mark.parametrize("table", [parameters, orders])
def test_a_table_is_that_of_the_code(table: Callable[[], str]) -> None:
    name = table.__name__
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", page(), re.DOTALL)
    assert found
    if WRITES:
        replaced(found[0], f"<!-- {name} -->\n{table()}<!-- end of {name} -->")
        return
    assert found[1] == table(), "PELLUCID_WRITE_DOCS=1 python -m pytest tests/test_docs.py"
