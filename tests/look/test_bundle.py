"""The committed bundle is what its sources give, and those are sound."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pellucid.look.figure import script

from .browser import WEB, missing


def run(*command: str | Path) -> None:
    ran = subprocess.run([*map(str, command)], cwd=WEB, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def tools() -> Path:
    """The binaries of web/node_modules."""
    there = WEB / "node_modules" / ".bin"
    if not (shutil.which("node") and there.exists()):
        missing("the figures' tools are not installed: npm ci --prefix web")
    return there


def test_the_bundle_is_what_its_sources_give(tools: Path, tmp_path: Path) -> None:
    build = json.loads((WEB / "package.json").read_text("utf-8"))["scripts"]["build"]
    name, *options = (part for part in build.split() if not part.startswith("--outfile="))
    made = tmp_path / "figures.js"
    run(tools / name, *options, f"--outfile={made}")
    assert made.read_text("utf-8") == script(), "stale: npm run build --prefix web"


def test_the_sources_pass_the_type_checker(tools: Path) -> None:
    run(tools / "tsc")


def test_a_page_can_hold_the_bundle_inline() -> None:
    code = script().lower()
    assert len(code.encode()) < 100_000
    assert [end for end in ("</script", "<!--", "]]>") if end in code] == []


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text("utf-8")
