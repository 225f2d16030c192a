"""`pellucid look`, `trace`, `replay`, and `show` of a trace."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from pellucid.look import looking
from pellucid.weights.progress import human

from .conftest import Run

TEXT = "The man walked the cat"
DRAWN = ["--temperature", "0.8", "--top-k", "20", "--seed", "1", "--max-new-tokens", "4"]


@pytest.fixture
def traced(run: Run, tmp_path: Path) -> Path:
    """A trace of a drawn answer, with some values."""
    path = tmp_path / "walk.trace"
    ran = run("trace", TEXT, "-o", str(path), "--watch", "layers.[02].resid", *DRAWN)
    assert (ran.code, ran.out) == (0, "")
    return path


def test_a_trace_replays_to_the_last_bit(traced: Path, run: Run) -> None:
    told = run("replay", str(traced), "--json").json()
    assert told["same"]
    assert {check["what"] for check in told["checks"]} == {
        "answer: ids", "answer: probabilities", "answer: text", "answer: ledgers",
        "layers.0.resid_post", "layers.2.resid_post",
    }  # fmt: skip


def test_a_replay_finds_a_number_that_somebody_changed(traced: Path, run: Run) -> None:
    with safe_open(traced, "np") as file:
        metadata = file.metadata()
    tensors = load_file(traced)
    value = tensors["values/layers.2.resid_post"]
    value[3, 100] = np.nextafter(value[3, 100], np.float32(np.inf))
    save_file(tensors, traced, metadata)
    ran = run("replay", str(traced))
    assert ran.code == 1
    assert re.search(r"layers.2.resid_post +5,184  1 differ, by up to", ran.out)
    assert "Not the same: layers.2.resid_post." in ran.out


def test_a_trace_of_a_text_alone_is_what_look_reads(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.trace"
    run("trace", TEXT, "-o", str(path))
    looked, shown = run("look", TEXT, "--json").json(), run("show", str(path), "--json").json()
    assert looked == shown
    assert looked["ids"] == [504, 555, 13197, 260, 2644]
    assert looked["generation"] is None


def test_a_conversation_is_traced_with_its_messages_and_replays(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "chat.trace"
    said = ["Hello", "--chat", "--system", "Be brief."]
    assert run("trace", *said, "-o", str(path), "--max-new-tokens", "3").code == 0
    told = run("show", str(path), "--json").json()
    assert told["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert told["text"].startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    assert run("replay", str(path), "--json").json()["same"]


def test_the_answer_is_the_one_of_generate(run: Run) -> None:
    looked = run("look", TEXT, *DRAWN, "--seed", "5", "--json").json()
    made = run("generate", TEXT, *DRAWN, "--seed", "5", "--json").json()
    assert looked["generation"] == made
    assert looked["ids"][5:] == made["ids"]


def test_a_terminal_shows_the_tokens_and_what_there_is(traced: Path, run: Run) -> None:
    shown = run("show", str(traced))
    assert "The│␣man│␣walked│␣the│␣cat" in shown.out
    assert "5 tokens and 4 of the answer, read by smollm2 (native)." in shown.out
    assert "Kept: layers.[0,2].resid_post." in shown.out
    assert "--view" in shown.err


def test_the_help_tells_what_each_view_is(run: Run) -> None:
    for command in ("look", "trace", "show"):
        told = run(command, "--help").out
        assert all(f"\n  {view} " in told for view in looking.views())


def test_views_are_set_apart(run: Run) -> None:
    one, other = (run("look", TEXT, "--view", view).out for view in ("surprise", "next"))
    assert run("look", TEXT, "--view", "surprise", "--view", "next").out == f"{one}\n{other}"


def test_what_was_written_is_told_with_its_size(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "it.trace"
    told = run("trace", TEXT, "-o", str(file)).err
    assert told == f"written to {file} ({human(file.stat().st_size)})\n"


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (
            ["look", TEXT, "--draft", "smollm2", "--max-new-tokens", "3"],
            2,
            "--draft: has no effect",
        ),
        (["trace", TEXT], 2, "missing option '-o' / '--output'"),
        (["trace", TEXT, "-o", "x.trace", "--watch", "layers.99.resid"], 2, "is no site"),
        (["trace", TEXT, "-o", "nowhere/x.trace"], 1, "'nowhere/x.trace' cannot be written"),
        (["replay", "absent.trace"], 1, "absent.trace: cannot be read: No such file"),
        (["show", "smollm2", "--html", "x.html"], 2, "--html is for traces, and smollm2 is none"),
        (["look", TEXT, "--view", "nothing"], 2, "'nothing' is not one of"),
        (["look", TEXT, "--view", "attention", "--layers", "30"], 2, "--layers: must be 0 to 29"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    given: list[str],
    code: int,
    said: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*given)
    assert ran.code == code
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_a_trace_of_another_model_is_refused(traced: Path, run: Run, gemma3: Path) -> None:
    ran = run("replay", str(traced), "-m", str(gemma3))
    assert ran.code == 2
    assert "is of another model, smollm2; this is" in ran.err


def test_another_file_is_no_trace(run: Run, smollm2: Path, tmp_path: Path) -> None:
    save_file({"x": np.zeros(3)}, tmp_path / "x.safetensors")
    ran = run("replay", str(tmp_path / "x.safetensors"))
    assert ran.code == 1
    assert "is no trace: `pellucid trace` writes one" in ran.err


def test_the_header_of_a_trace_is_json(traced: Path) -> None:
    with safe_open(traced, "np") as file:
        header = json.loads(file.metadata()["pellucid.trace"])
    assert header["parameters"]["seed"] == header["generation"]["answers"][0]["seed"]
    assert header["origin"]["settings"] == {"isa": header["origin"]["settings"]["isa"],
                                            "cache_dtype": "float16"}  # fmt: skip


def test_two_traces_are_compared_token_by_token(run: Run, tmp_path: Path) -> None:
    plain, changed = tmp_path / "plain.trace", tmp_path / "changed.trace"
    run("trace", TEXT, "-o", str(plain))
    run("trace", TEXT, "-o", str(changed), "--edit", "layers.3.mlp=zero")
    same = run("compare", str(plain), str(plain), "--json").json()
    other = run("compare", str(plain), str(changed), "--json").json()
    assert {pair["divergence"] for pair in same["pairs"]} == {0.0}
    assert max(pair["divergence"] for pair in other["pairs"]) > 0.1
    page = tmp_path / "page.html"
    assert run("compare", str(plain), str(changed), "--html", str(page)).code == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("generate", "256 when no length"),
        ("explain", "16 when no length"),
        ("look", "none when no"),
    ],
)
def test_the_help_says_how_long_an_answer_is_unless_given(
    command: str, said: str, run: Run
) -> None:
    assert said in " ".join(run(command, "--help").out.split())
