"""`pellucid chat`: a message, turns from a pipe, and a person at a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pellucid.look.conversation import Conversation

from .conftest import HEARING, Run


def test_a_message_is_answered(run: Run) -> None:
    ran = run("chat", "Say hello.", "--max-new-tokens", "5")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Hello")
    assert run("chat", "-", "--max-new-tokens", "5", stdin=b"Say hello.\n") == ran


def test_all_answers_that_are_asked_for_are_shown(run: Run) -> None:
    given = ["chat", "Tell me a story.", "--max-new-tokens", "5", "--temperature", "2", "--seed=1"]
    ran = run(*given, "--num-return-sequences", "2")
    found = run(*given, "--num-return-sequences", "2", "--json").json()
    assert ran.out == f"{found['text']}\n\n{found['alternatives'][0]['text']}\n"
    assert ran.err.splitlines() == ["answer 1", "answer 2"]


def test_a_system_message_comes_first(run: Run) -> None:
    plain = run("chat", "Hello", "--max-new-tokens", "1", "--json").json()
    told = run("chat", "Hello", "--max-new-tokens", "1", "--json", "--system", "Be brief.").json()
    assert told["prompt_ids"] != plain["prompt_ids"]
    assert told["prompt_ids"][-8:] == plain["prompt_ids"][-8:]


def test_lines_from_a_pipe_are_turns_of_one_conversation(run: Run) -> None:
    ran = run("chat", "--json", "--max-new-tokens", "4", stdin=b"Say one.\r\n\n  \nSay two.")
    first, second = map(json.loads, ran.out.splitlines())
    assert (ran.code, ran.err) == (0, "")
    known = first["prompt_ids"] + first["ids"]
    assert second["prompt_ids"][: len(known)] == known
    assert len(second["prompt_ids"]) > len(known)


def test_a_line_from_a_pipe_is_text_even_if_it_looks_like_a_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    say = Conversation.say

    def hear(self: Conversation, text: str, **given: object) -> object:
        heard.append(text)
        return say(self, text, **given)

    monkeypatch.setattr(Conversation, "say", hear)
    run("chat", "--max-new-tokens", "1", stdin=b"/clear\n> two\n")
    assert heard == ["/clear", "> two"]


def test_an_empty_pipe_is_no_conversation(run: Run) -> None:
    assert run("chat") == (0, "", "")


def test_a_pipe_that_is_not_utf8_is_refused(run: Run) -> None:
    ran = run("chat", "--max-new-tokens", "1", stdin=b"Hello\ncaf\xe9\n")
    assert ran.code == 1
    assert ran.err == "pellucid: standard input is not UTF-8: byte 3: invalid continuation byte\n"


def test_a_conversation_beyond_the_context_is_told_with_both_lengths(run: Run) -> None:
    ran = run("chat", "Hello", "--context-length", "16")
    assert (ran.code, ran.out) == (2, "")
    assert re.search(r"has 3\d tokens; the model's context of 16 must hold it", ran.err)


def test_a_base_model_has_no_template_and_says_what_to_do(run: Run, gemma3: Path) -> None:
    for arguments in (["chat"], ["chat", "Hello"], ["chat", "Hello", "--json"]):
        ran = run(*arguments, "-m", str(gemma3), stdin=b"Hello\n")
        assert (ran.code, ran.out) == (1, "")
        assert re.fullmatch(r"pellucid: .* has no chat template.*generate.*\n", ran.err)


# ---- at a terminal -----------------------------------------------------------------------------


class Person:
    """Types into a pseudo-terminal, and reads what appears there."""

    def __init__(self, *arguments: str) -> None:
        import pty

        self.screen = ""
        self._end, other = pty.openpty()
        self.process = subprocess.Popen(
            [*HEARING, *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            env=os.environ | {"TERM": "dumb", "COLUMNS": "80"},
        )
        os.close(other)

    def types(self, text: str) -> None:
        os.write(self._end, text.encode())

    def sees(self, pattern: str, seconds: float = 60.0) -> str:
        """Wait for the pattern in what is new on the screen; return the new up to its end."""
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < until, f"waited for {pattern!r}, saw {self.screen!r}"
            self.screen += self._appeared(until)
        seen, self.screen = self.screen[: found.end()], self.screen[found.end() :]
        return seen

    def presses_ctrl_c(self, pattern: str) -> str:
        """Interrupt, and wait for the pattern.

        Python's readline misses a signal that comes after it has shown the prompt and before it
        waits; a person would press the key again.
        """
        with contextlib.suppress(AssertionError):
            self.process.send_signal(signal.SIGINT)
            return self.sees(pattern, seconds=10.0)
        self.process.send_signal(signal.SIGINT)
        return self.sees(pattern)

    def _appeared(self, until: float) -> str:
        ready, _, _ = select.select([self._end], [], [], max(until - time.monotonic(), 0))
        try:
            data = os.read(self._end, 4096) if ready else b""
        except OSError as error:  # Linux says EIO when the other end was closed
            raise AssertionError(f"it ended, having shown {self.screen!r}") from error
        return data.decode("utf-8", "replace").replace("\r", "")

    def leaves(self) -> int:
        code = self.process.wait(60)
        os.close(self._end)
        return code


@pytest.fixture
def person(smollm2: Path) -> Iterator[Person]:
    pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    someone = Person("chat", "-m", str(smollm2), "--max-new-tokens", "200")
    yield someone
    someone.process.kill()


PROMPT = r"\n?> $"


def test_ctrl_c_stops_an_answer_and_at_the_prompt_it_ends_all(person: Person) -> None:
    person.sees(PROMPT)
    person.types("Count from one to one hundred.\n")
    person.sees("hundred.\n.")
    person.presses_ctrl_c("\nstopped\n> $")
    person.presses_ctrl_c("\npellucid: interrupted\n")
    assert person.leaves() == 130


def test_commands_begin_with_a_slash_and_ctrl_d_leaves(person: Person) -> None:
    assert "/help for commands, Ctrl-D to leave." in person.sees(PROMPT)
    for typed, seen in {
        "/help": "/undo   forget the last question",
        "/nonsense": "no such command: /nonsense; /help lists them",
        "Say hello.": "Hello",
        "/undo": "0 messages left",
        "/clear": "begun again",
        "   ": "",
    }.items():
        person.types(f"{typed}\n")
        person.sees(re.escape(seen))
        person.sees(PROMPT)
    person.types("\x04")
    assert person.leaves() == 0


def test_an_answer_that_was_cut_says_so_and_a_full_context_what_to_do(smollm2: Path) -> None:
    pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    person = Person("chat", "-m", str(smollm2), "--context-length", "50")
    person.sees(PROMPT)
    person.types("Count from one to one hundred.\n")
    person.sees(r"\ncut after \d+ tokens")
    person.sees(PROMPT)
    person.types("Go on.\n")
    person.sees("the model's context of 50 must hold it and at least one more; /clear begins again")
    person.sees(PROMPT)
    person.types("/exit\n")
    assert person.leaves() == 0
