"""The process in which a chat template runs: requests come on stdin, answers leave on stdout.

`template_process` starts it with an empty environment and without Pellucid: this file, its
neighbour `template_sandbox` and jinja2 are all that is loaded. Only the standard library is
imported here, because the parent reads and writes with the same functions.

Each message is a big-endian 32-bit length and that many bytes. The first request is the template
with its limits, and is answered by `R`; the others are variables, answered by `T` and the text,
`U` and the name of a variable that the template never reads, or `F` and why it failed.
"""

from __future__ import annotations

import importlib
import json
import math
import signal
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">I")

Answering = Callable[[Mapping[str, Any], Sequence[str]], bytes]


def send(stream: BinaryIO, payload: bytes) -> None:
    """Write one message."""
    stream.write(_LENGTH.pack(len(payload)))
    stream.write(payload)
    stream.flush()


def receive(stream: BinaryIO, most: int) -> bytes:
    """Read one message of at most `most` bytes; EOFError where the other end is gone or astray."""
    head = stream.read(_LENGTH.size)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else most + 1
    payload = stream.read(length) if length <= most else b""
    if len(payload) != length:
        raise EOFError
    return payload


def confine(memory_bytes: int) -> None:
    """Bound this process where the platform can: memory; no files, no children, no core dump."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    with suppress(ImportError):  # not on Windows
        resource = importlib.import_module("resource")
        bounds = {"RLIMIT_AS": memory_bytes, "RLIMIT_FSIZE": 0, "RLIMIT_NPROC": 0, "RLIMIT_CORE": 0}
        for name, bound in bounds.items():
            with suppress(AttributeError, OSError, ValueError):  # macOS lacks or refuses some
                resource.setrlimit(getattr(resource, name), (bound, bound))


def allow_cpu(seconds: float) -> None:
    """Have the system end this process after so much more work, even if the parent is gone."""
    with suppress(ImportError, OSError, ValueError):
        resource = importlib.import_module("resource")
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds) + 1, hard))


def serve(prepare: Callable[[str, int], Answering]) -> None:
    """Answer for one template, which `prepare` gets with its `text_bytes`, until stdin closes."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError, BrokenPipeError):
        first = json.loads(receive(requests, sys.maxsize))
        answer = prepare(first["source"], first["text_bytes"])
        confine(first["memory_bytes"])
        send(answers, b"R")
        while True:
            request = json.loads(receive(requests, sys.maxsize))
            allow_cpu(first["seconds"])
            send(answers, answer(request["variables"], request["given"]))
