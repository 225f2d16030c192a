"""Runs one chat template in a process of its own, within limits of time and space that hold."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pellucid.errors import ParameterError, TemplateError
from pellucid.tokens import template_worker

_STARTING_SECONDS = 30.0
_ENDING_SECONDS = 1.0
_LEAST_ANSWER_BYTES = 4096  # a reason must fit, however small the limit for the text

# -I -S: no site-packages and nothing from the environment; what is needed is named by its folder.
_COMMAND = (
    "import sys; sys.path += sys.argv[1:]; import template_sandbox as s, template_worker as w; "
    "w.serve(s.Rendering)"
)
# The local time zone, and what an interpreter may need to start at all; nothing else is passed on.
_ENVIRONMENT = ("TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True)
class Limits:
    """What one rendering may take.

    `seconds` of rendering (starting the process is not counted), `text_bytes` of UTF-8 going in
    and again coming out, `memory_bytes` of address space where the platform can bound it (Linux
    does; elsewhere only the time bounds the memory).
    """

    seconds: float = 2.0
    text_bytes: int = 16 << 20
    memory_bytes: int = 512 << 20


class TemplateProcess:
    """A process that renders one template: started when first needed, then kept for the next.

    It ends with this object, with the parent, or when a limit is exceeded; the rendering after
    that starts another.
    """

    def __init__(self, source: str, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def render(self, variables: Mapping[str, Any], given: Sequence[str]) -> str:
        """The text. ParameterError if one of the `given` variables is never read, else
        TemplateError for whatever goes wrong.
        """
        request = self._request({"variables": variables, "given": given})
        with self._lock:
            answer = self._exchange(self._running(), request, self.limits.seconds)
        kind, text = answer[:1], answer[1:].decode("utf-8", "surrogatepass")
        if kind == b"T":
            return text
        if kind == b"U":
            raise ParameterError(text, "has no effect: the chat template does not read it")
        raise TemplateError(printable(text))

    def close(self) -> None:
        """End the process, if one runs."""
        if self._finalizer is not None:
            self._finalizer()
        self._process = None

    def _request(self, content: object) -> bytes:
        data = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
        if len(data) > self.limits.text_bytes:
            raise TemplateError(
                f"the conversation takes {len(data):,} bytes; "
                f"a chat template gets at most {self.limits.text_bytes:,}"
            )
        return data

    def _running(self) -> subprocess.Popen[bytes]:
        known = self._process
        # After os.fork(), poll() tells the child that the process, being its parent's, is gone.
        if known is not None and known.poll() is None:
            return known
        self.close()
        process = _start()
        self._finalizer = weakref.finalize(self, _end, process)
        first = json.dumps({"source": self.source} | asdict(self.limits)).encode()
        self._exchange(process, first, _STARTING_SECONDS)
        self._process = process
        return process

    def _exchange(self, process: subprocess.Popen[bytes], data: bytes, seconds: float) -> bytes:
        """Send a request and return the answer; a process that is late or astray is ended."""
        late = threading.Event()
        timer = threading.Timer(seconds, _kill, (process, late))
        timer.daemon = True
        timer.start()
        most = max(self.limits.text_bytes + 1, _LEAST_ANSWER_BYTES)
        try:
            template_worker.send(cast("BinaryIO", process.stdin), data)
            return template_worker.receive(cast("BinaryIO", process.stdout), most)
        except (OSError, EOFError):
            process.kill()
            self.close()
            raise TemplateError(_reason(process.wait(), late.is_set(), seconds)) from None
        except BaseException:  # after Ctrl-C, an answer still to come would be taken for the next
            process.kill()
            self.close()
            raise
        finally:
            timer.cancel()


def _start() -> subprocess.Popen[bytes]:
    folders = []
    for package in ("jinja2", "markupsafe"):
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise TemplateError(f"chat templates need the package {package}: install it")
        folders.append(str(Path(found.origin).absolute().parents[1]))
    try:
        return subprocess.Popen(  # noqa: S603  (our own interpreter, our own files)
            [sys.executable, "-I", "-S", "-c", _COMMAND, *folders, str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            cwd=Path(__file__).anchor,
        )
    except OSError as error:
        raise TemplateError(f"the process that renders chat templates: {error}") from None


def _kill(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with suppress(OSError):
            stream.close()
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reason(code: int, late: bool, seconds: float) -> str:
    if late or code == -getattr(signal, "SIGXCPU", code + 1):
        return f"the chat template took more than its limit of {seconds:g} seconds"
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the process that renders the chat template ended early ({how})"


def printable(text: str) -> str:
    r"""Text by a stranger on one line, with what a terminal would obey written as escapes.

    >>> print(printable("no\x1b[31m\n"))
    no\x1b[31m\n
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
