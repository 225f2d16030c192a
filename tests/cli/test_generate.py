"""`pellucid generate`: one option for each row of the table of parameters."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click
import pytest

from pellucid import LM
from pellucid.choose.parameters import PARAMETERS
from pellucid.choose.parameters.values import Number
from pellucid.cli import cli, stream

from .conftest import Run

TEXT = "I skip across the"


def test_a_pipe_gets_the_continuation_alone(run: Run) -> None:
    ran = run("generate", TEXT, "--max-new-tokens", "20", "--repetition-penalty", "1.5")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(" top of a")
    assert ran.out.endswith("\n")


def test_a_terminal_shows_the_text_dimmed_before_it_and_the_seed_after(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("generate", "stream"):
        monkeypatch.setattr(f"pellucid.cli.{name}.sys", Terminal())
    sent: list[str] = []
    monkeypatch.setattr(click, "echo", lambda text="", nl=True, **_: sent.append(text + "\n" * nl))
    run("generate", "a\x1b[31mb", "--max-new-tokens", "1", "--temperature", "0.01")
    assert sent[0] == "\x1b[2ma\\x1b[31mb\x1b[0m"  # what would steer the terminal is shown
    assert sent[-1].startswith("\x1b[2m--seed ")
    sent.clear()
    monkeypatch.setenv("TERM", "dumb")
    run("generate", TEXT, "--max-new-tokens", "1")
    assert sent[0] == TEXT


@pytest.mark.parametrize(("asked", "said"), [([], True), (["--max-new-tokens", "3"], False)])
def test_a_terminal_hears_why_an_answer_ends_where_nobody_asked_it_to(
    asked: list[str], said: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.choose.parameters.lengths.DEFAULT_NEW_TOKENS", 3)
    assert run("generate", TEXT, *asked).err == ""  # no terminal
    monkeypatch.setattr("pellucid.cli.generate.sys", Terminal())
    told = "cut after 3 tokens: --max-new-tokens or the context ends here"
    assert (told in run("generate", TEXT, *asked).err) == said


def test_an_answer_cannot_steer_a_terminal_and_reaches_a_pipe_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream.write_stream(["a\x1b[2Jb", "\r\n"], before="text")
    assert capsys.readouterr().out == "a\x1b[2Jb\r\n\n"
    monkeypatch.setattr(stream, "sys", Terminal())
    stream.write_stream(["a\x1b[2Jb", "\n"])
    assert capsys.readouterr().out.endswith("a\\x1b[2Jb\n\n")


def test_json_has_the_whole_answer(run: Run) -> None:
    found = run("generate", TEXT, "--max-new-tokens", "3", "--json").json()
    names = "text ids prompt_ids finish_reason tokens seed score alternatives drafted accepted"
    assert list(found) == names.split()
    of_token = ["id", "text", "prob", "rank", "processed_prob"]
    assert [list(token) for token in found["tokens"]] == [of_token] * 3
    assert found["text"] + "\n" == run("generate", TEXT, "--max-new-tokens", "3").out


def test_several_answers_stand_one_below_the_other(run: Run) -> None:
    given = ["generate", TEXT, "--max-new-tokens", "5", "--num-beams", "3"]
    ran = run(*given, "--num-return-sequences", "3")
    found = run(*given, "--num-return-sequences", "3", "--json").json()
    texts = [found["text"], *(other["text"] for other in found["alternatives"])]
    assert ran.out == "\n".join(f"{text}\n" for text in texts)
    assert ran.err.splitlines() == ["answer 1", "answer 2", "answer 3"]
    assert len(set(texts)) == 3


def test_a_seed_repeats_a_draw(run: Run) -> None:
    given = ["generate", TEXT, "--temperature", "2", "--max-new-tokens", "8"]
    drawn = run(*given, "--json").json()
    again = run(*given, "--seed", str(drawn["seed"]), "--json").json()
    assert again == drawn
    assert run(*given, "--seed", "1").out != run(*given, "--seed", "2").out


def test_a_repeated_option_collects(run: Run) -> None:
    ran = run("generate", "1, 2, 3, 4,", "--stop", " 8", "--stop", " 7", "--max-new-tokens", "30")
    assert ran.out == " 5, 6,\n"


def test_every_parameter_is_an_option_in_words_of_the_command_line() -> None:
    command = cli.get_command(click.Context(cli), "generate")
    assert command is not None
    described = command.get_help(click.Context(command))
    options = {param.name: param for param in command.params}
    for row in PARAMETERS.values():
        assert options[row.name].opts == [f"--{row.name.replace('_', '-')}"]
    assert "_" not in described
    for heading in ("Options:", "Lengths and stops:", "Penalties:", "Sampling:"):
        assert f"\n{heading}\n" in described
    assert "TEXT\n" not in described.split("Options:")[1].split("\n")[0]


# Values that are typed otherwise than as a number of 2.
TYPED = {
    "do_sample": None,
    "renormalize_logits": None,
    "json_schema": "object",
    "stop": "x",
    "bad_words": "x",
    "force_words": "x",
    "dry_sequence_breakers": "x",
    "negative_prompt": "x",
    "bad_words_ids": "5,6",
    "force_words_ids": "5,6|7",
    "logit_bias": "13=-100",
    "sequence_bias": "5,6=-2.5",
    "exponential_decay_length_penalty": "5,1.5",
    "watermarking_config": "bias=2.5,context-width=2,seeding_scheme=selfhash",
    "dialect": "vllm",
    "samplers": "top_k;top_p",
    "early_stopping": "never",
    "num_beams": "4",
    "dola_layers": "2,4",
}
NEEDED = {
    "seed": ["--do-sample"],
    "num_return_sequences": ["--do-sample"],
    "best_of": ["--do-sample"],
    "num_beam_groups": ["--diversity-penalty", "2"],
    "penalty_alpha": ["--top-k", "4"],
}


def typed(name: str) -> list[str]:
    """An option with a value, and the options without which it has no effect."""
    row = PARAMETERS[name]
    number = "0.5" if isinstance(row.kind, Number) and row.kind.high <= 2 else "2"
    value = TYPED.get(name, number)
    option = f"--{name.replace('_', '-')}"
    needed = [*NEEDED.get(name, []), *(typed(row.needs[0]) if row.needs else [])]
    return [*([option] if value is None else [option, value]), *needed]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The parameters with which the model is asked; it does not answer."""
    seen: dict[str, object] = {}

    def remember(self: LM, prompt: str, **parameters: object) -> None:
        seen.update({k: v for k, v in parameters.items() if v is not None})
        raise KeyboardInterrupt

    monkeypatch.setattr(LM, "stream", remember)
    return seen


def test_a_schema_or_a_grammar_may_stand_in_a_file(
    run: Run, given: dict[str, object], tmp_path: Path
) -> None:
    for option, text in (("--json-schema", '{"const":"é"}'), ("--grammar", 'start: "@"')):
        path = tmp_path / "source"
        path.write_text(text, "utf-8")
        run("generate", "a", option, f"@{path}")
        assert given.pop(option[2:].replace("-", "_")) == text
        run("generate", "a", option, text)
        assert given.pop(option[2:].replace("-", "_")) == text


def test_a_file_that_windows_wrote_is_the_same_text(
    run: Run, given: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "a.gbnf"
    path.write_bytes(b'\xef\xbb\xbfroot ::= "a" b\r\nb ::= "b"\r\n')
    run("generate", "a", "--grammar", f"@{path}")
    assert given.pop("grammar") == 'root ::= "a" b\nb ::= "b"\n'


def test_a_file_that_cannot_be_read_is_named_in_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "long").write_text(" " * 100_000)
    reasons = {
        "none": "No such file",
        ".": "Is a directory",
        "latin": "is not UTF-8",
        "long": "65537 characters; at most 65536",
    }
    for name, reason in reasons.items():
        ran = run("generate", "a", "--grammar", f"@{tmp_path / name}")
        assert ran.code == 2
        assert reason in ran.err
        assert ran.err.count("\n") == 1


def test_a_file_without_its_sign_is_told_what_is_missing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.gbnf"
    path.write_text('root ::= "a"')
    ran = run("generate", "a", "--grammar", str(path))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"to read it, put an @ before it: @{path}" in ran.err


def test_an_answer_has_the_form_that_is_asked_for(run: Run) -> None:
    length = ["--max-new-tokens", "60"]
    answer = run("generate", TEXT, "--json-schema", "object", *length).out
    assert isinstance(json.loads(answer), dict)
    chosen = run("generate", "Is water wet?", "--choice", "yes", "--choice", "no", *length).out
    assert chosen in ("yes\n", "no\n")
    assert re.fullmatch(r"\d{3}\n", run("generate", TEXT, "--regex", r"\d{3}", *length).out)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_option_reaches_the_model(name: str, run: Run, given: dict[str, object]) -> None:
    run("generate", "a", *typed(name))
    assert name in given


def test_values_of_several_parts_are_read_as_they_are_typed(
    run: Run, given: dict[str, object]
) -> None:
    names = ("logit_bias", "sequence_bias", "watermarking_config", "bad_words_ids")
    run("generate", "a", *(part for name in names for part in typed(name)), "--logit-bias", "7=5")
    assert given["logit_bias"] == ((13, -100.0), (7, 5.0))
    assert given["sequence_bias"] == (((5, 6), -2.5),)
    assert given["bad_words_ids"] == ((5, 6),)
    for typed_layers, layers in (("low", "low"), ("2,4", (2, 4)), ("7", (7,))):
        run("generate", "a", "--dola-layers", typed_layers)
        assert given["dola_layers"] == layers
    assert given["watermarking_config"] == {
        "bias": 2.5, "context_width": 2, "seeding_scheme": "selfhash",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "form"),
    [
        ("--logit-bias", "13", "ID=NUMBER"),
        ("--logit-bias", "a=1", "ID=NUMBER"),
        ("--dola-layers", "middle", "low|high|N,N..."),
        ("--sequence-bias", "5,6", "ID,ID...=NUMBER"),
        ("--bad-words-ids", "5;6", "ID,ID..."),
        ("--exponential-decay-length-penalty", "5", "N,NUMBER"),
        ("--watermarking-config", "bias", "NAME=VALUE,..."),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_with_its_form(
    option: str, value: str, form: str, run: Run
) -> None:
    ran = run("generate", "a", option, value)
    assert ran.code == 2
    assert f"must be of the form {form}, not '{value}'" in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--samplers", "top_k,top_p"], "has 'top_k,top_p', which is no filter's name; put ;"),
        (["--regex", "a", "--grammar", 'start: "a"'], "--regex: excludes --grammar"),
        (["--num-return-sequences", "2"], "without sampling or --num-beams: all would be the same"),
        (["--regex", "[0-9"], "--regex: unclosed character class"),
    ],
)
def test_what_is_refused_is_said_in_the_words_that_were_typed_and_nothing_is_written(
    options: list[str], said: str, run: Run
) -> None:
    ran = run("generate", "a", *options)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_wrong_parameter_is_refused_before_a_model_is_fetched(run: Run) -> None:
    ran = run("generate", "a", "--top-p", "7", "-m", "pypi:never-fetched")
    assert (ran.code, ran.err.split(":")[1]) == (2, " --top-p")


def test_a_long_wait_is_explained_on_a_terminal_and_wiped_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(stream, "sys", Terminal())
    monkeypatch.setattr(stream, "_NOTICED_AFTER", 0.0)
    monkeypatch.setattr(click, "echo", lambda text, nl, err: said.append(text))
    with stream.noticed("reading it ..."):
        while not said:
            pass
    assert said == ["reading it ...", "\r" + " " * 14 + "\r"]
    said.clear()
    with stream.noticed("reading it ...") as tell:
        while not said:
            pass
        tell(3, 1200)
    assert said[1:] == ["\rreading it ... 3 of 1,200", "\r" + " " * 25 + "\r"]
    said.clear()
    monkeypatch.setattr(stream, "_NOTICED_AFTER", 60.0)
    with stream.noticed("reading it ..."):
        pass
    assert said == []


class Terminal:
    """`sys`, whose streams say that they are a terminal."""

    class Stream:
        @staticmethod
        def isatty() -> bool:
            return True

        @staticmethod
        def flush() -> None:
            pass

    stdout = stderr = Stream()
    modules = sys.modules


def test_a_draft_model_guesses_and_the_answer_is_the_same(run: Run) -> None:
    plain = run("generate", TEXT, "--max-new-tokens", "9", "--json").json()
    found = run("generate", TEXT, "--max-new-tokens", "9", "--draft", "smollm2", "--json").json()
    assert found["ids"] == plain["ids"]
    assert (found["drafted"], found["accepted"]) == (6, 6)
    assert run("chat", "Hi", "--max-new-tokens", "2", "--draft", "smollm2").code == 0
    lost = run("generate", TEXT, "--draft", "no-such-model")
    assert (lost.code, "no-such-model" in lost.err) == (1, True)
