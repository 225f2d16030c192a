"""Fixtures that every test may use: the two real models, as files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# A developer's runs look for new examples; CI answers the same to the same commit.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def _model(alias: str, file: str) -> Path:
    """`file` in $PELLUCID_TEST_MODELS if that is set, else what the alias resolves to."""
    folder = os.environ.get("PELLUCID_TEST_MODELS")
    if folder:
        return Path(folder) / file
    from pellucid.weights.references import resolve

    return resolve(alias)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct: Llama family, Q4_1, byte-level BPE, a chat template."""
    return _model("smollm2", "smollm2.gguf")


@pytest.fixture(scope="session")
def gemma3() -> Path:
    """Gemma 3 270M: sliding windows, five kinds of tensors, a SentencePiece vocabulary."""
    return _model("gemma3-270m", "gemma3.gguf")


@pytest.fixture
def fetched(smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$PELLUCID_HOME of this test, where the default model is as a fetch would have put it there:
    other processes find it too. A link takes no room.
    """
    from pellucid.weights import store
    from pellucid.weights.aliases import aliases
    from pellucid.weights.packages import Package

    home = tmp_path / "pellucid"
    monkeypatch.setenv("PELLUCID_HOME", str(home))
    alias = aliases()["smollm2"]
    assert alias.package
    assert alias.file
    name, version = alias.package.split("==")
    package = Package(name, version)
    staged = store.downloads(package.key(version)) / "model"
    staged.mkdir()
    try:
        os.link(smollm2.resolve(), staged / alias.file)
    except OSError:  # another disk
        shutil.copyfile(smollm2, staged / alias.file)
    files = {alias.file: (smollm2.stat().st_size, str(alias.sha256))}
    manifest = store.Manifest(package.source(version), alias.file, alias.licence, files)
    store.install(package.key(version), staged, manifest)
    return home
