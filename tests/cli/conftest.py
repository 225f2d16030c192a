"""Commands as they are typed, in this process, with the default model opened once."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pellucid.lm
from pellucid.cli import main

# A shell starts what it puts in the background deaf to Ctrl-C, and so may whatever runs the tests.
HEARING = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from pellucid.cli import main; sys.exit(main())",
]


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert (self.code, self.err) == (0, "")
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def opened(smollm2: Path) -> Callable[..., pellucid.LM]:
    """`pellucid.load`, which keeps what it has opened; "smollm2" is the fixture's file."""
    load = pellucid.lm.load

    @cache
    def load_once(reference: str, **settings: Any) -> pellucid.LM:
        lm = load(str(smollm2) if reference == "smollm2" else reference, **settings)
        lm.name = reference
        return lm

    return load_once


@pytest.fixture
def run(
    opened: Callable[..., pellucid.LM],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Type a command; `stdin` are the bytes of its standard input, a pipe."""
    monkeypatch.setattr(pellucid.lm, "load", opened)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii"))
        capsys.readouterr()
        code = main(arguments)
        return Ran(code, *capsys.readouterr())

    return run
