"""`pellucid step`: commands from a pipe, and a person at a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run
from .test_chat import PROMPT, Person

TEXT = "The man walked to the"


def states(run: Run, *lines: str, given: tuple[str, ...] = ()) -> list[Any]:
    """What each line leads to, after what there is at the beginning."""
    ran = run("step", TEXT, "--json", *given, stdin="\n".join([*lines, ""]).encode())
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in ran.out.splitlines()]


def test_a_table_shows_what_may_come_next_and_what_the_filters_make_of_it(run: Run) -> None:
    ran = run("step", TEXT, "--top-k", "2", "--top", "3", "--seed", "1")
    assert (ran.code, ran.err) == (0, "")
    rows = [line.split() for line in ran.out.splitlines()]
    assert " ".join(rows[2]) == "# id token model's own after filters"
    number, token, text, prob, _, processed, _, *bar = rows[3]
    assert (number, text) == ("1", "␣other")
    assert bar
    assert float(processed) > float(prob)
    assert rows[5][-1] == "top_k"
    assert rows[7][:3] == ["All", "others", "have"]
    assert run("step", TEXT, "--json").json()["candidates"][0]["id"] == int(token)


def test_a_number_a_text_and_an_id_pick_a_token(run: Run) -> None:
    start, second, river, line_end, by_id = states(run, "2", " river", '"\\n"', "#198")
    assert second["ids"] == [start["candidates"][1]["id"]]
    assert river["text"] == second["text"] + " river"
    assert line_end["text"] == river["text"] + "\n"
    assert by_id["ids"] == [*line_end["ids"], 198]


def test_enter_and_run_sample_as_generate_does(run: Run) -> None:
    given = ("--temperature", "1.2", "--seed", "3", "--max-new-tokens", "6")
    *_, last = states(run, "", "sample", "run 10", given=given)
    whole = run("generate", TEXT, "--json", *given).json()
    for name in ("text", "ids", "prompt_ids", "finish_reason", "tokens", "seed"):
        assert last[name] == whole[name]
    assert last["candidates"] == []


def test_what_is_taken_back_is_gone_and_parameters_change_from_here_on(run: Run) -> None:
    start, *_, back = states(run, "run 3", "back", "b", "undo")
    assert back == start
    _, set_, unset = states(run, "set suppress_tokens 550 1466", "unset suppress-tokens")
    assert [c["removed_by"] for c in set_["candidates"]][:3] == ["suppress_tokens"] * 2 + [None]
    assert unset == start
    *_, options, equals = states(run, "set --suppress-tokens 550", "set suppress_tokens=550")
    assert options["candidates"][0]["removed_by"] == "suppress_tokens"
    assert equals == options
    assert states(run, "set suppress_tokens 550", "unset --suppress-tokens")[-1] == start
    _, flag, text = states(run, "set do_sample true", "set stop 'a b' c")
    assert flag["seed"] == text["seed"] is not None


@pytest.mark.parametrize("word", ["quit", "q", "exit", "bye", ":q", "/quit", "/exit"])
def test_any_usual_word_leaves(run: Run, word: str) -> None:
    assert len(states(run, word, " river")) == 1


@pytest.mark.parametrize("word", ["undo", "b", "/undo", "back 1"])
def test_any_usual_word_takes_a_token_back(run: Run, word: str) -> None:
    start, _, back = states(run, " river", word)
    assert back == start


def test_a_question_mark_asks_for_help(run: Run) -> None:
    ran = run("step", TEXT, "--top", "1", stdin=b"?\n")
    assert "take back the last tokens" in ran.err


@pytest.mark.parametrize("text", ["undo", "quit", "?", "show me", "top_k", "clear"])
def test_what_is_a_command_is_text_in_quotes_behind_a_space_or_after_pick(
    run: Run, text: str
) -> None:
    _, quoted, spaced, picked = states(run, f'"{text}"', f" {text}", f"pick {text}")
    assert quoted["text"] == text
    assert spaced["text"] == f"{text} {text}"
    assert picked["text"] == f"{text} {text}{text}"


@pytest.mark.parametrize("text", [" 3", " ", "  "])
def test_what_begins_with_a_space_is_text_and_no_number_nor_enter(run: Run, text: str) -> None:
    *_, last = states(run, text)
    assert last["text"] == text


def test_a_space_behind_a_number_means_nothing(run: Run) -> None:
    start, second = states(run, "2 ")
    assert second["ids"] == [start["candidates"][1]["id"]]


@pytest.mark.parametrize("text", ["river", "banks", "texts", "the next", "stop", "a 3", "-"])
def test_a_word_that_resembles_no_command_is_text_as_it_stands(run: Run, text: str) -> None:
    *_, last = states(run, text)
    assert last["text"] == text


def test_branches_stand_side_by_side(run: Run) -> None:
    _, one, fork, grown, told, back = states(run, "1", "branch other", " river", "branches", "go 1")
    assert (fork["branch"], fork["ids"]) == ("other", one["ids"])
    assert [b["ids"] for b in told["branches"]] == [one["ids"], grown["ids"]]
    assert back == one


def test_why_is_the_ledger_of_the_last_token(run: Run) -> None:
    _, _, why = states(run, " river", "why")
    assert why["why"].endswith("It was picked by hand.")
    ran = run("step", TEXT, "--top-k", "2", stdin=b" river\nwhy\n")
    assert "It was picked by hand, though top_k had removed it." in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("99", "token: the table has no number 99"),
        ("#99999", "token: 99999 at place 0 is no token id"),
        ('"river', "token: must be quoted as in JSON"),
        ("back", "back: there is no token to take back"),
        ("Undo", 'token: did you mean `back`? a text stands in quotes: "Undo"'),
        ("hlep", "token: did you mean `help`?"),
        ("clear", "token: did you mean `back`?"),
        ("temperature 0.7", "token: did you mean `set temperature 0.7`?"),
        ("--top-p 0.7", "token: did you mean `set --top-p 0.7`?"),
        ("temperature=0.7", "token: did you mean `set temperature=0.7`?"),
        ("show me", 'show: nothing goes after it; a text stands in quotes: "show me"'),
        ("pick", "token: is an empty text"),
        ("unset", "unset: needs the name of a parameter"),
        ("back soon", "back: must be a whole number, not 'soon'"),
        ("run 0", "count: must be a whole number"),
        ("set temperature -1", "temperature: must be at least 0"),
        ("set temperature hot", "temperature: 'hot' is not a valid float"),
        ("set temperature", "temperature: needs one value, not 0"),
        ("set top_p 0.5 0.6", "top_p: needs one value, not 2"),
        ("set do_sample maybe", "do_sample: must be true or false"),
        ("set tempreture 1", "tempreture: no such parameter; did you mean temperature?"),
        ("unset tempreture", "tempreture: no such parameter; did you mean temperature?"),
        ("set stop 'a", "set: no closing quotation"),
        ("set num_beams 3", "num_beams: has no effect step by step"),
        ("go nowhere", "go: there is no 'nowhere': 1"),
        ("branch 1", "branch: '1' is taken"),
        ("why", "at: there is no token yet"),
    ],
)
def test_a_mistake_is_said_and_the_session_goes_on(run: Run, line: str, message: str) -> None:
    ran = run("step", TEXT, "--json", stdin=f"{line}\ntext\nquit\ntext\n".encode())
    assert ran.code == 0
    assert re.fullmatch(f"pellucid: {re.escape(message)}.*\n", ran.err)
    before, after = ran.out.splitlines()
    assert before == after


def test_a_number_behind_the_end_hears_that_the_answer_has_ended(run: Run) -> None:
    ran = run("step", TEXT, "--max-new-tokens", "1", stdin=b"1\n1\n")
    assert ran.err == "pellucid: token: the answer has ended; go back, or change what ended it\n"


def test_a_form_that_nothing_fits_any_more_is_said_and_can_be_left(run: Run) -> None:
    ran = run("step", TEXT, "--json", "--regex", "[ab]+", stdin=b"c\nunset regex\nc\n")
    assert "pellucid: regex: does not allow token" in ran.err
    assert json.loads(ran.out.splitlines()[-1])["text"] == "c"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--num-beams", "2"], "--num-beams: has no effect step by step"),
        (["--draft", "smollm2"], "draft: has no effect step by step"),
        (["--top", "0"], "--top: must be a whole number from 1"),
    ],
)
def test_what_has_no_effect_step_by_step_is_refused(
    run: Run, given: list[str], message: str
) -> None:
    ran = run("step", TEXT, *given)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_text_and_ids_are_lines_of_their_own(run: Run) -> None:
    ran = run("step", TEXT, "--top", "1", stdin=b" river\n,\ntext\nids\n")
    text, ids = ran.out.splitlines()[-2:]
    _, _, state = states(run, " river", ",")
    assert (text, ids) == (" river,", " ".join(map(str, state["ids"])))


def test_a_run_is_written_as_it_comes(run: Run) -> None:
    ran = run("step", TEXT, "--top", "1", stdin=b"run 5\n")
    assert run("generate", TEXT, "--max-new-tokens", "5").out in ran.out


def test_ctrl_c_stops_a_run_and_ctrl_d_leaves(smollm2: Path) -> None:
    pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    person = Person("step", TEXT, "-m", str(smollm2), "--top", "2", "--max-new-tokens", "4000")
    assert "help for commands, Ctrl-D to leave." in person.sees(PROMPT)
    person.types("run 4000\n")
    person.sees(r"run 4000\n.+")
    person.presses_ctrl_c("stopped; show tells where\n> $")
    person.types("back\n")
    person.sees(PROMPT)
    person.types("help\n")
    person.sees(re.escape("why                  how the last token was chosen"))
    person.sees(PROMPT)
    person.types("\x04")
    assert person.leaves() == 0
