"""The command line as a whole: help, mistakes, exit codes, pipes, and how soon it answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from pellucid import __version__
from pellucid.cli import COMMANDS, cli

from .conftest import HEARING, Run

PELLUCID = [sys.executable, "-m", "pellucid"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes and signals as POSIX has them")


def start(*arguments: str, **settings: object) -> subprocess.Popen[bytes]:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*HEARING, *arguments], **(streams | settings))  # type: ignore[call-overload]


# ---- help --------------------------------------------------------------------------------------


def test_help_lists_every_command_with_the_first_line_of_its_own_help(run: Run) -> None:
    listed = run("--help").out
    for name in COMMANDS:
        assert re.search(rf"^  {name} +[A-Z].+\.$", listed, re.MULTILINE)
        ran = run(name, "--help")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"Usage: pellucid {name}")
        assert "--json" in ran.out


def test_nothing_typed_shows_the_help(run: Run) -> None:
    assert run() == run("--help") == run("-h")


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").out == f"pellucid {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_print_json(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert "--json" in {option for param in command.params for option in param.opts}


@pytest.mark.parametrize(
    "name", ["tokens", "next", "generate", "explain", "tree", "chat", "score", "demo"]
)
def test_what_reads_a_model_reads_the_default_one(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    [model] = [param for param in command.params if param.name == "model"]
    assert (model.opts, model.default) == (["-m", "--model"], "smollm2")


# ---- mistakes ----------------------------------------------------------------------------------

MISTAKES = {
    "nxt foo": "no such command: 'nxt'; did you mean 'next'?",
    "xyz": "no such command: 'xyz'; see `pellucid --help`",
    "--all": "no such option: --all; see `pellucid --help`",
    "next": "missing argument 'TEXT'; see `pellucid next --help`",
    "next a b": "got unexpected extra argument (b); see `pellucid next --help`",
    "next a --topp 3": "no such option: --topp; did you mean --top?",
    "next -5": "no such option: -5; a text that begins with - goes after --; see `pelluc",
    "next a --top x": "invalid value for '--top': 'x' is not a valid integer; see `pelluc",
    "next a --top": "option '--top' requires an argument",
    "next a --top 0": "--top: must be a whole number from 1 to 49152, not 0",
    "next a --backend cuda": "invalid value for '--backend': 'cuda' is not one of",
    "next a --dtype bfloat16": "--dtype: has no effect with the native backend",
    "next a --device cuda": "--device: has no effect with the native backend",
    "next a --context-length 0": "--context-length: must be from 1 to 8192",
    "generate a --temperature nan": "--temperature: must be finite, not nan",
    "generate a --temperature 1e400": "--temperature: must be finite, not inf",
    "generate a --top-k -1": "--top-k: must be a whole number from 0",
    "generate a --top_k 3": "no such option: --top_k; did you mean --top-k?",
    "generate a --seed 1": "--seed: has no effect without sampling; give --do-sample too",
    "generate a --no-do-sample --top-k 3": "--top-k: has no effect with --no-do-sample",
    "generate a --max-new-tokens 3 --max-length 5": "--max-length: excludes --max-new-tokens",
    "generate a --max-new-tokens 99999999999999999999": "--max-new-tokens: must be a whole num",
    "chat hi --top-p 2": "--top-p: must be above 0 and at most 1, not 2.0",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_one_line_in_the_words_that_were_typed(line: str, run: Run) -> None:
    ran = run(*line.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"pellucid: {MISTAKES[line]}")
    assert ran.err.count("\n") == 1


FAILURES = {
    "next a -m nonsense": "no model 'nonsense': give an alias",
    "next a -m smolm2": "no model 'smolm2': did you mean smollm2",
    "tokens a -m ./nowhere.gguf": "no file or directory './nowhere.gguf'",
    "generate a -m ./nowhere": "no file or directory './nowhere'",
    f"score a -m {__file__}": "a model is a .gguf file, a .safetensors file or a directory",
    f"demo -m {Path(__file__).parent}": "no weights (.safetensors or .gguf) in this directory",
    "tokens a\udcffb": "TEXT is not UTF-8 from character 1 on",
    "demo \udcff": "TEXT is not UTF-8 from character 0 on",
    "chat hi --system \udcff": "--system is not UTF-8 from character 0 on",
}


@pytest.mark.parametrize("line", FAILURES)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_failure_is_told_in_one_line_and_nothing_on_stdout(
    line: str, options: list[str], run: Run
) -> None:
    ran = run(*line.split(), *options)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("pellucid: ")
    assert FAILURES[line] in ran.err
    assert ran.err.count("\n") == 1


def test_too_little_memory_is_told_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr("pellucid.lm.LM.tokens", too_much)
    assert run("tokens", "a") == (1, "", "pellucid: not enough memory: Unable to allocate 3 TiB\n")


@pytest.mark.parametrize("answer", [b"n\n", b""])
def test_a_question_answered_with_no_leaves_everything_as_it_is(
    answer: bytes, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[object] = []
    monkeypatch.setattr("pellucid.cli.models._is_asked", lambda: True)
    monkeypatch.setattr("pellucid.weights.inventory.occupied", lambda reference: 98_000_000)
    monkeypatch.setattr("pellucid.weights.inventory.remove", removed.append)
    ran = run("rm", "smollm2", stdin=answer)
    assert (ran.code, ran.out.strip(), removed) == (1, "", [])
    assert ran.err.endswith("pellucid: nothing done\n")


# ---- the system --------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("arguments", [["--help"], ["tokens", "a"], ["tokens", "a", "--json"]])
def test_a_closed_pipe_ends_it_quietly(arguments: list[str], smollm2: Path) -> None:
    model = ["-m", str(smollm2)] if "tokens" in arguments else []
    process = start(*arguments, *model)
    assert process.stdout
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (141, b"")  # type: ignore[union-attr]


@POSIX
def test_a_reader_that_leaves_ends_an_answer_quietly(smollm2: Path) -> None:
    process = start("generate", "1, 2,", "--max-new-tokens", "2000", "-m", str(smollm2))
    assert process.stdout
    assert process.stdout.read(3) == b" 3,"
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (141, b"")  # type: ignore[union-attr]


@POSIX
def test_ctrl_c_ends_an_answer_in_one_line(smollm2: Path) -> None:
    process = start("generate", "1, 2,", "--max-new-tokens", "2000", "-m", str(smollm2))
    assert process.stdout
    assert process.stdout.read(3) == b" 3,"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.endswith(b"\n")
    assert err.strip() == b"pellucid: interrupted"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_told_in_one_line() -> None:
    with open("/dev/full", "wb") as full:
        process = start("--help", stdout=full)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert re.fullmatch(rb"pellucid: .*No space left on device\n", err)


@POSIX
def test_closed_streams_are_no_failure() -> None:
    closed = " ".join(["exec", *(f"'{word}'" for word in PELLUCID), "--help", "<&-", ">&-"])
    ran = subprocess.run(["sh", "-c", closed], check=False, capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_any_text_is_printed_whatever_the_locale_says(smollm2: Path) -> None:
    settings = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["tokens", "-", "--json", "-m", str(smollm2)]
    process = start(*words, env=settings, stdin=subprocess.PIPE)
    out, err = process.communicate("naïve 🙂".encode(), timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert [t["text"] for t in json.loads(out.decode())["tokens"]] == ["na", "ïve", " 🙂"]


# ---- how soon ----------------------------------------------------------------------------------


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    # The budget is 150 ms (bench/startup.py); this machine may be busy with anything.
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([*PELLUCID, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    assert min(times) < 2
    code = (
        "import sys; from pellucid.cli import main; main(['--help']); main(['generate', '--help']);"
        "print({'numpy', 'torch', 'rich', 'tokenizers', 'jinja2', 'msgspec'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"
