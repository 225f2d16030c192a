"""The notebooks of docs/notebooks run, and say what is stored in them.

After a change that is meant: PELLUCID_WRITE_DOCS=1 python -m pytest tests/test_notebooks.py
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
WRITES = "PELLUCID_WRITE_DOCS" in os.environ
MOST_BYTES = 1_500_000
KEPT = ("text/plain", "text/html")  # a widget is a reference to what is gone when its kernel ends
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
ESCAPE = re.compile(r"\x1b\[[\d;]*m")  # a kernel asks commands for colours
# What other processors round otherwise: decimals, and thousands, such as a rank among all tokens.
ROUNDED = re.compile(r"[-+]?\d[\d,]*\.\d+|\b\d{1,3}(?:,\d{3})+\b")

Executes = Callable[[Path], Any]


@pytest.fixture
def executes(fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Executes:
    """Runs a notebook in a kernel of its own and gives it with its new outputs; any error raises.

    `pellucid` is a command there, and the default model has been fetched.
    """
    bin_first = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # On busy cores torch's threads wait for each other by spinning: 64 s instead of 11.
    given = {"PATH": bin_first, "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    folder = tmp_path / "notebook"
    folder.mkdir()

    def executed(path: Path) -> Any:
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=300,
            coalesce_streams=True,
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
        return cleaned(notebook)

    return executed


def cleaned(notebook: Any) -> Any:
    """The notebook with nothing in it of this machine."""
    notebook.metadata = METADATA
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = ESCAPE.sub("", output.text)
            else:
                output.data = shown(output)
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_what_is_stored(path: Path, executes: Executes) -> None:
    executed = executes(path)
    if WRITES:
        nbformat.write(executed, path)
    stored = nbformat.read(path, as_version=4)
    for new, old in zip(code_cells(executed), code_cells(stored), strict=True):
        ours, theirs = said(new), said(old)
        assert list(map(words, ours)) == list(map(words, theirs)), new.source
        assert list(map(numbers, ours)) == list(map(about, theirs)), new.source


def shown(output: Any) -> dict[str, str]:
    return {kind: output.data[kind] for kind in KEPT if kind in output.data}


def said(cell: Any) -> list[str]:
    """What a cell printed and what it gave, in each of the forms it has."""
    return [
        text
        for output in cell.outputs
        for text in ([output.text] if output.output_type == "stream" else shown(output).values())
    ]


def words(text: str) -> list[str]:
    """What must be the same, however it is spread: no bars, no markup, no rounded number."""
    plain = unescape(re.sub(r"<style>.*?</style>|<[^<>]*>", " ", text, flags=re.DOTALL))
    return re.sub(r"< (?=0\.01)|[█-▏░-▓]", "", ROUNDED.sub("", plain)).split()


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in ROUNDED.findall(text)]


def about(text: str) -> list[Any]:
    """What its numbers may be elsewhere: at least one more or less in the last digit."""
    decimals = [len(number.partition(".")[2]) for number in ROUNDED.findall(text)]
    return [
        pytest.approx(number, rel=0.02, abs=max(0.02, 1.01 * 10.0**-digits))
        for number, digits in zip(numbers(text), decimals, strict=True)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_holds_nothing_of_the_machine_it_ran_on(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    text = path.read_text("utf-8")
    assert "/tmp" not in text
    assert str(Path.home()) not in text
    kinds = {
        kind for cell in code_cells(notebook) for o in cell.outputs for kind in o.get("data", ())
    }
    assert kinds <= set(KEPT)


def test_a_number_that_differs_is_told_from_a_word_that_does() -> None:
    assert words("<style>p { x }</style><p>walk 65.58 %</p> ██▏ 3") == ["walk", "%", "3"]
    assert numbers("65.58 % of 1,022.60, 2,636, id 17, and -0.5") == [65.58, 1022.6, 2636, -0.5]
    assert numbers("0.3, 1.52 and 2,637") == about("0.4, 1.5 and 2,636")
    assert numbers("0.2") != about("0.4")
