"""A hostile template gets its error within its limits, and disturbs nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pellucid.errors import TemplateError
from pellucid.tokens import template_process
from pellucid.tokens.template import ChatTemplate
from pellucid.tokens.template_process import Limits

HELLO = [{"role": "user", "content": "Hello"}]
SHORT, AMPLE = Limits(seconds=0.5), Limits(seconds=30)

REACHING = "reaches for what the sandbox forbids"
MEMORY = "takes more memory than its limit"
if sys.platform != "linux":  # only Linux bounds the memory itself
    MEMORY += "|took more than its limit|grows beyond the limit"
DEEP = "calls itself, or is nested, too deep"
LATE = "took more than its limit of 0.5 seconds"
LONG = "grows beyond the limit of 16,777,216 bytes"
GROWING = (
    "{% set ns = namespace(s=SEED) %}"
    "{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"
)

HOSTILE = {
    "a class": ("{{ ''.__class__.__mro__ }}", REACHING),
    "a class by filter": ("{{ (''|attr('__class__')).x.y }}", REACHING),
    "a class by format": ("{{ '{0.__class__.__mro__}'.format('') }}", REACHING),
    "globals of a macro": ("{% macro m() %}{% endmacro %}{{ m.__globals__.x }}", "line 1"),
    "globals of a namespace": ("{{ namespace.__init__.__globals__ }}", REACHING),
    "globals of dict": ("{{ dict.__call__.__globals__ }}", REACHING),
    "a private name": ("{% set ns = namespace() %}{% set ns.__class__ = 1 %}", REACHING),
    "a private name, given": ("{{ namespace(__class__=1) }}", REACHING),
    "changing the messages": ("{{ messages.append(1) }}", REACHING),
    "another file": ("{% include '/etc/passwd' %}", "no loader"),
    "an import": ("{% import 'os' as os %}", "no loader"),
    "loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        LATE,
    ),
    "a long range": ("{% for a in range(10**9) %}{% endfor %}", "Range too big"),
    "one slow operation": ("{{ 10**(10**9) }}", LATE),
    "rounding": ("{{ 1|round(10**9, 'ceil') }}", LATE),
    "a wide number": ("{{ '%1000000000d' % 1 }}", MEMORY),
    "a wide number by format": ("{{ '{:1000000000}'.format(1) }}", MEMORY),
    "a wide text": ("{{ 'a'|center(10**9) }}", MEMORY),
    "a repeated text": ("{{ 'a' * 10**9 }}", MEMORY),
    "a doubling text": (GROWING.replace("SEED", "'x' * 1000"), MEMORY),
    "a doubling list": (GROWING.replace("SEED", "[1] * 1000"), MEMORY),
    "a joined text": ("{{ range(99999)|join('x' * 100000) }}", MEMORY),
    "an endless text": ("{% for a in range(99999) %}{{ 'x' * 10000 }}{% endfor %}", LONG),
    "a recursive macro": ("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", DEEP),
    "parentheses": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", DEEP),
    "nested blocks": ("{% if 1 %}" * 3000 + "{% endif %}" * 3000, DEEP),
    "nested loops": ("{% for a in [1] %}" * 25 + "{% endfor %}" * 25, "nested blocks"),
    "a long sum": ("{{ " + "+".join(["1"] * 20000) + " }}", DEEP),
    "a refusal": ("{{ raise_exception('No tools, please.') }}", "conversation: No tools, please."),
    "a refusal that paints": ("{{ raise_exception('\x1b[2J\n\u202e') }}", r"\\x1b\[2J\\n\\u202e$"),
    "a long refusal": ("{{ raise_exception('x' * 10**6) }}", "x{500}$"),
    "no expression": ("a\n{% for %}", "not valid: line 2: Expected an expression"),
    "no end": ("\n\n{% if x %}", "not valid: line 3: Unexpected end of template"),
    "an unknown filter": ("\n{{ 1|nothing }}", "not valid: line 2: No filter named 'nothing'"),
    "an undefined name": ("\n{{ a.b }}", "failed at line 2: 'a' is undefined"),
    "a wrong type": ("\n\n{{ 1 + 'a' }}", "failed at line 3: TypeError"),
    "a million characters": ("x" * (2**20 + 1), "is 1,048,577 bytes long; the limit is 1,048,576"),
}


@pytest.mark.parametrize(("source", "error"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_template_gets_its_error_in_time(source: str, error: str) -> None:
    limits = SHORT if error == LATE else AMPLE
    with ChatTemplate(source, limits=limits) as template:
        begin = time.monotonic()
        with pytest.raises(TemplateError, match=error) as caught:
            template.render(HELLO)
        assert time.monotonic() - begin < limits.seconds + 10  # generous: a busy machine
    assert len(str(caught.value).splitlines()) == 1


def test_a_template_that_is_late_works_at_the_next_rendering() -> None:
    source = "{% for a in range(99999 * messages|length - 99999) %}{% for b in range(99999) %}" + (
        "{% endfor %}{% endfor %}done"
    )
    with ChatTemplate(source, limits=SHORT) as template:
        for _ in range(2):
            assert template.render(HELLO) == "done"
            with pytest.raises(TemplateError, match=LATE):
                template.render(HELLO * 2)


def test_memory_taken_is_given_back_for_the_next_rendering() -> None:
    source = "{{ 'x' * (400 * 2**20 * (messages|length - 1)) }}"
    with ChatTemplate(source) as template:
        for _ in range(5):
            with pytest.raises(TemplateError, match=f"{LONG}|{MEMORY}"):
                template.render(HELLO * 2)
            assert template.render(HELLO) == ""


def test_starting_the_process_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = "import time; time.sleep(1); " + template_process._COMMAND
    monkeypatch.setattr(template_process, "_COMMAND", slow)
    with ChatTemplate("x", limits=Limits(seconds=0.9)) as template:
        assert template.render(HELLO) == "x"


def test_a_process_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatTemplate("x") as template:
        monkeypatch.setattr(template_process, "_COMMAND", "import sys; sys.exit(3)")
        with pytest.raises(TemplateError, match=r"ended early \(exit code 3\)"):
            template.render(HELLO)
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(TemplateError, match=r"renders chat templates: .*No such file"):
            template.render(HELLO)


def test_a_conversation_beyond_the_limit_is_not_sent() -> None:
    with ChatTemplate("x", limits=Limits(text_bytes=1000)) as template:
        assert template.render(HELLO) == "x"
        with pytest.raises(TemplateError, match="a chat template gets at most 1,000"):
            template.render([{"role": "user", "content": "x" * 1000}])


# --- the process ----------------------------------------------------------------------------------

linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def _pid(template: ChatTemplate) -> int:
    (process,) = template._processes.values()
    assert process._process is not None
    return process._process.pid


def test_the_process_is_kept_and_ends_with_the_template() -> None:
    template = ChatTemplate("x")
    template.render(HELLO)
    first = _pid(template)
    template.render(HELLO)
    assert _pid(template) == first
    template.close()
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert template.render(HELLO) == "x", "a closed template starts anew when it is needed"
    second = _pid(template)
    del template
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_process_that_somebody_ended_is_replaced() -> None:
    with ChatTemplate("x") as template:
        template.render(HELLO)
        (process,) = template._processes.values()
        assert process._process is not None
        process._process.kill()
        process._process.wait()
        assert template.render(HELLO) == "x"


@linux
def test_the_process_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with ChatTemplate("x") as template:
        template.render(HELLO)
        process = Path(f"/proc/{_pid(template)}")
        names = {
            entry.split(b"=")[0] for entry in process.joinpath("environ").read_bytes().split(b"\0")
        }
        limits = process.joinpath("limits").read_text()
    assert names <= {b"", b"TZ", b"LD_LIBRARY_PATH"}
    assert f"Max address space         {512 << 20}" in limits
    assert "Max file size             0 " in limits


@linux
def test_the_process_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from pellucid.tokens.template import ChatTemplate\n"
            "template = ChatTemplate('x')\n"
            f"template.render({HELLO})\n"
            "print(next(iter(template._processes.values()))._process.pid, flush=True)\n"
            "time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert _gone(child)


def _gone(pid: int) -> bool:
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # ended, and waiting for an init that collects it
            return True
        time.sleep(0.05)
    return False


def test_threads_get_their_own_texts() -> None:
    wrong = []
    with ChatTemplate("{{ messages[0].content }}") as template:

        def work(name: str) -> None:
            for i in range(50):
                text = f"{name} {i}"
                if template.render([{"role": "user", "content": text}]) != text:
                    wrong.append(text)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_a_forked_process_starts_its_own() -> None:
    with ChatTemplate("{{ messages[0].content }}") as template:
        template.render(HELLO)
        pid = os.fork()
        if pid == 0:
            text = template.render([{"role": "user", "content": "child"}])
            template.close()
            os._exit(0 if text == "child" else 1)
        assert template.render(HELLO) == "Hello"
        assert os.waitpid(pid, 0)[1] == 0
        assert template.render(HELLO) == "Hello"


def test_an_interrupted_rendering_leaves_no_answer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatTemplate("{{ messages[0].content }}") as template:
        template.render(HELLO)

        def interrupt(*_: object) -> bytes:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(template_process.template_worker, "receive", interrupt)
            with pytest.raises(KeyboardInterrupt):
                template.render([{"role": "user", "content": "lost"}])
        assert template.render(HELLO) == "Hello"
