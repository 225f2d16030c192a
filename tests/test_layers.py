"""The folders are the stations of a way, and imports go only one way along it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "pellucid"
LAYERS = [
    "errors", "weights", "tokens", "model", "backends", "choose", "engine", "trace", "look", "lm",
    "cli",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    """The layers that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pellucid."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "pellucid":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(a.name.split(".")[1] for a in node.names if a.name.startswith("pellucid."))
    return found & set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_stands_below_it(layer):
    files = (
        [SOURCE / f"{layer}.py"] if layer in ("errors", "lm") else (SOURCE / layer).rglob("*.py")
    )
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    wrong = {str(file.relative_to(SOURCE)): imports(file) - allowed for file in files}
    assert {file: found for file, found in wrong.items() if found} == {}


def test_every_module_belongs_to_a_layer():
    beside = {"__init__", "__main__"}
    assert {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()
    } - beside - {"__pycache__", "py"} == set(LAYERS)


def test_an_upward_import_would_be_seen(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from pellucid.cli import main\n    import pellucid.lm\n")
    assert imports(planted) == {"cli", "lm"}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import pellucid", ["numpy", "torch", "rich", "tokenizers", "huggingface_hub", "jinja2"]),
        ("import pellucid.cli", ["numpy", "torch", "rich", "tokenizers", "huggingface_hub"]),
        ("import pellucid.lm", ["torch", "huggingface_hub", "jinja2"]),
    ],
)
def test_what_is_not_used_is_not_imported(statement, unwanted):
    code = f"import sys; {statement}; print([m for m in {unwanted!r} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
