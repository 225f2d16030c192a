"""`pellucid tokens`, `next` and `score`, and where their text comes from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Context

from pellucid.cli import COMMANDS, Commands

from .conftest import Run


def texts(run: Run, *arguments: str, stdin: bytes = b"") -> str:
    """The text that a command saw, from its tokens."""
    shown = run("tokens", *arguments, "--json", stdin=stdin).json()["tokens"]
    return b"".join(bytes(token["bytes"]) for token in shown).decode()


def test_tokens_are_drawn_with_ids_bytes_and_places(run: Run) -> None:
    ran = run("tokens", "flab 🙂")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("f│lab│␣🙂\n")
    assert "832" not in ran.out  # " fl", of another text
    rows = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "1 1901 lab 6c 61 62 1-4" in rows
    assert "1649 l ab f lab" in rows  # a merge: its rank, what it joined, and what came of it


def test_merges_can_be_left_out_or_asked_for(run: Run) -> None:
    long = "many words " * 20
    assert "joined" not in run("tokens", "flab", "--no-merges").out
    assert "joined" not in run("tokens", long).out
    assert "joined" in run("tokens", long, "--merges").out


def test_special_token_text_is_text_unless_asked(run: Run) -> None:
    plain = run("tokens", "<|im_end|>", "--json").json()["tokens"]
    assert {token["special"] for token in plain} == {False}
    [token] = run("tokens", "<|im_end|>", "--special", "--json").json()["tokens"]
    assert (token["text"], token["special"]) == ("<|im_end|>", True)


def test_a_text_is_said_to_the_model_in_its_template(run: Run) -> None:
    said = "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n"  # ChatML
    text = "<|im_start|>system\nBe brief.<|im_end|>\n" + said
    cut = run("tokens", "Hi <|im_end|>", "--chat", "--system", "Be brief.", "--json").json()
    tokens = cut["tokens"]
    assert "".join(token["text"] for token in tokens) == text
    assert all(text[token["start"] : token["end"]] == token["text"] for token in tokens)
    marks = ["<|im_start|>", "<|im_end|>"]
    assert [t["text"] for t in tokens if t["special"]] == [*marks, *marks, marks[0]]


def test_what_is_generated_in_the_template_is_what_chat_answers(run: Run) -> None:
    given = ["What is a token?", "--system", "Be brief.", "--max-new-tokens", "6", "--json"]
    assert run("generate", "--chat", *given).json() == run("chat", *given).json()


def taking_text() -> list[str]:
    """The commands that take a TEXT; `demo` takes one all the way as it is."""
    group = Commands("pellucid")
    commands = {name: group.get_command(Context(group), name) for name in COMMANDS}
    arguments = {name: [p.name for p in found.params] for name, found in commands.items() if found}
    return [name for name, taken in arguments.items() if "text" in taken and name != "demo"]


@pytest.mark.parametrize("command", taking_text())
def test_every_command_of_a_text_takes_a_conversation(
    command: str, run: Run, tmp_path: Path
) -> None:
    more = ["-o", str(tmp_path / "a.trace")] if command == "trace" else []
    more += ["--max-new-tokens", "2"] if command in ("generate", "explain", "tree") else []
    given = ["Hello", "--system", "Be brief.", *more, "--json"]
    refused = run(command, *given)
    assert refused.code == 2
    assert "--system has no effect without --chat" in refused.err
    plain, chat = (run(command, "Hello", *more, *flag, "--json") for flag in ([], ["--chat"]))
    told = run(command, "--chat", *given)
    assert (plain.code, chat.code, told.code) == (0, 0, 0)
    assert len({plain.out, chat.out, told.out}) == 3


@pytest.mark.parametrize(("option", "said"), [("--special", "with --chat"), ("--merges", "give a")])
def test_what_says_nothing_of_a_conversation_is_refused(option: str, said: str, run: Run) -> None:
    ran = run("tokens", "Hello", "--chat", option)
    assert ran.code == 2
    assert option in ran.err
    assert said in ran.err


def test_next_is_a_table_of_the_likeliest(run: Run) -> None:
    ran = run("next", "The man walked the cat", "--top", "3")
    heading, *rows = ran.out.splitlines()
    assert heading.split() == ["rank", "id", "token", "logit", "probability"]
    assert [row.split()[2] for row in rows[:3]] == ["walk", ".", "walks"]
    assert "All other 49,149 tokens together have" in rows[-1]
    assert len(run("next", "a", "--json").json()["next"]) == 10


def test_score_draws_each_token_and_sums_up(run: Run) -> None:
    ran = run("score", "The capital of France is Paris")
    assert "␣Paris" in ran.out
    said = re.search(r"perplexity (\d+\.\d+)\.", ran.out)
    assert said
    assert float(said[1]) == pytest.approx(20.18, abs=0.02)  # the float32 reference says 20.18


@pytest.mark.parametrize("width", ["40", "60", "120"])
def test_a_table_fits_the_width_of_the_terminal(
    run: Run, width: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for command in ("tokens", "next", "score"):
        lines = run(command, "Preposterous, I'm flabbergasted!").out.splitlines()
        assert max(map(len, lines)) <= int(width)


def test_nothing_drawn_for_a_pipe_has_an_escape_unless_colours_are_forced(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in run("tokens", "two words").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run("tokens", "two words").out


# ---- standard input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        (b"two words", "two words"),
        (b"two words\n", "two words"),
        (b"two words\r\n", "two words"),
        (b"one\r\ntwo\n\n", "one\r\ntwo\n"),
        ("naïve 🙂\n".encode(), "naïve 🙂"),
        (b"\xef\xbb\xbfmarked", "\ufeffmarked"),
    ],
)
def test_a_text_of_minus_is_standard_input_less_one_line_end(
    typed: bytes, seen: str, run: Run
) -> None:
    assert texts(run, "-", stdin=typed) == seen


@pytest.mark.parametrize("command", ["tokens", "next", "score", "generate", "chat", "demo"])
def test_standard_input_that_is_not_utf8_is_refused_with_its_place(command: str, run: Run) -> None:
    ran = run(command, "-", stdin=b"caf\xe9 au lait")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "pellucid: standard input is not UTF-8: byte 3: invalid continuation byte\n"


@pytest.mark.parametrize("command", ["next", "generate", "chat"])
def test_standard_input_is_not_read_for_two_things(command: str, run: Run) -> None:
    flag = [] if command == "chat" else ["--chat"]
    ran = run(command, "-", *flag, "--system", "-", stdin=b"Be brief.")
    assert (ran.code, ran.out) == (2, "")
    assert "cannot both be -: standard input is one" in ran.err


def test_standard_input_has_a_largest_size(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.cli.options.LARGEST_INPUT_BYTES", 1 << 20)
    ran = run("tokens", "-", stdin=b"x" * ((1 << 20) + 1))
    assert (ran.code, ran.err) == (1, "pellucid: standard input is larger than 1 MiB\n")


@pytest.mark.parametrize("command", ["next", "score", "generate"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_empty_text_has_nothing_to_go_on_from(
    command: str, options: list[str], run: Run
) -> None:
    for ran in (run(command, "", *options), run(command, "-", *options, stdin=b"\n")):
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == "pellucid: prompt: is empty: there is no token to go on from\n"


def test_an_empty_text_has_no_tokens(run: Run) -> None:
    assert run("tokens", "").out == "The text is empty: it has no tokens.\n"
    assert run("tokens", "", "--json").json() == {"tokens": [], "splits": []}


@pytest.mark.parametrize("command", ["next", "score", "generate"])
def test_a_text_longer_than_the_context_is_told_with_both_lengths(command: str, run: Run) -> None:
    ran = run(command, "-", stdin=b"word " * 9000)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "pellucid: prompt: has 9001 tokens; the model's context has 8192: shorten it\n"
    )
    small = run(command, "one two three", "--context-length", "2")
    assert "has 3 tokens; the model's context has 2: shorten it, or open the" in small.err
    assert small.err.endswith(" with --context-length 8192\n")
