"""Fetch one file of known digest over HTTP, going on where an earlier try was cut.

The partial file is named by the digest of the whole one, so what is in it belongs to that content,
wherever it comes from: a try may go on from a mirror, or after the address changed, and no
validator (ETag, If-Range) has to be kept. If a server sends something else, the digest says so and
the file goes.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import DownloadError
from pellucid.weights.progress import Progress
from pellucid.weights.store import LARGEST_BYTES, check_space, digest, explained

TRIES = 6  # without a byte of progress between them
FIRST_PAUSE = 0.5  # seconds, doubled each time: 0.5 + 1 + 2 + 4 + 8
_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 18
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class RefusedError(Exception):
    """The server did not let us in at all: credentials, certificates, a proxy, no answer."""


class _TooMuchError(Exception):
    """More bytes than the file can have."""


class _Cut(Exception):  # noqa: N818  # an event, caught here
    """The transfer stopped before its end."""


@dataclass(frozen=True)
class _Transfer:
    """What goes from where to where, and the bytes it may have at most."""

    url: str
    part: Path
    most: int
    label: str
    progress: Progress


def fetch(
    url: str, target: Path, sha256: str, label: str, progress: Progress, most: int = LARGEST_BYTES
) -> None:
    """Put what `url` holds, `most` bytes at most, at `target`: whole and of digest `sha256`.

    Proxies are those of the environment (HTTPS_PROXY, NO_PROXY ...); certificate bundles those of
    PIP_CERT, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE. Until it is whole the file is
    `target` with ".part" and the digest in its name, and stays there when anything goes wrong.

    Raises RefusedError where not a byte came, and pip, which knows more ways in, may do better;
    DownloadError where it was cut too often, the disk refuses or gets full, more than `most` bytes
    are sent, or the digest differs.
    """
    part = target.with_name(f"{target.name}.{sha256[:16]}.part")
    with explained(target.parent):
        part.touch()
    inherited = part.stat().st_size > 0
    try:
        _persist(_Transfer(url, part, most, label, progress))
    except _TooMuchError as error:
        part.unlink()
        raise DownloadError(
            f"{url}: {error}, but this file has {most:,} at most; what came was deleted: the "
            "server or a proxy on the way serves something else"
        ) from None
    found = digest(part)
    if found != sha256:
        part.unlink()
        if inherited:  # perhaps what an earlier try left was spoilt: once more, from the start
            fetch(url, target, sha256, label, progress, most)
            return
        raise DownloadError(
            f"{url}: SHA-256 is {found}, but must be {sha256}; the file was deleted: try again, "
            "and if that repeats, the server or a proxy on the way changes the file"
        )
    with explained(target.parent):
        part.replace(target)


def _persist(transfer: _Transfer) -> None:
    """Ask until the file is whole; give up after TRIES in a row that bring nothing."""
    opener, part = _opener(), transfer.part
    fruitless, most = 0, part.stat().st_size
    while True:
        try:
            return _attempt(opener, transfer)
        except _Cut as cut:
            size = part.stat().st_size
            fruitless, most = (1, size) if size > most else (fruitless + 1, most)
            if fruitless == TRIES:
                raise DownloadError(
                    f"{transfer.url}: cut after {size} bytes ({cut}); they are kept, and the next "
                    "try goes on from there"
                ) from cut
        time.sleep(FIRST_PAUSE * 2 ** (fruitless - 1))


def _attempt(opener: urllib.request.OpenerDirector, transfer: _Transfer) -> None:
    """One request for what is missing, written behind what is there."""
    part = transfer.part
    have = part.stat().st_size
    answer = _ask(opener, transfer.url, have)
    if answer is None:  # 416: nothing lies behind what is there. The digest will judge it.
        return
    with answer:
        start, total = _extent(answer, have)
        _check_size(transfer, total or 0)
        check_space(part.parent, (total or start) - start)
        with explained(part.parent), part.open("r+b") as file:
            file.truncate(start)
            file.seek(start)
            for chunk in _chunks(answer):
                _check_size(transfer, file.tell() + len(chunk))
                check_space(part.parent, len(chunk))  # others write too; a total may be untold
                file.write(chunk)
                transfer.progress.update(transfer.label, file.tell(), total)
            done = file.tell()
    if total is not None and done < total:
        raise _Cut(f"{total - done} of {total} bytes missing")


def _check_size(transfer: _Transfer, size: int) -> None:
    if size > transfer.most:
        raise _TooMuchError(f"sends {size:,} bytes or more")


def _ask(opener: urllib.request.OpenerDirector, url: str, have: int) -> Any:
    """The open response, or None where the server says that the range is empty (416)."""
    # Identity: a server that compresses on the fly would make ranges and sizes meaningless.
    headers = {"User-Agent": "pellucid", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            return None
        raise (_Cut if error.code in _TRANSIENT else RefusedError)(f"HTTP {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise (_Cut if have else RefusedError)(str(reason)) from error


def _extent(answer: Any, have: int) -> tuple[int, int | None]:
    """Where the body belongs, and the size of the whole file if the server says so."""
    if answer.status == 206:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not told or int(told[1]) != have:
            raise RefusedError("a range that was not asked for")
        return have, None if told[2] == "*" else int(told[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _chunks(answer: Any) -> Iterator[bytes]:
    """The body in pieces; what the network does becomes _Cut, so that OSErrors are the disk's."""
    while True:
        try:
            chunk = answer.read1(_CHUNK)  # what is there: a killed process should lose little
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(str(error) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS only: an index must not send us to files or FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_certificates()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _certificates() -> ssl.SSLContext:
    for name in _CA_VARIABLES:
        bundle = os.environ.get(name)
        if bundle and os.path.exists(bundle):
            where = "capath" if os.path.isdir(bundle) else "cafile"
            try:
                return ssl.create_default_context(**{where: bundle})  # type: ignore[arg-type]
            except (ssl.SSLError, OSError):
                continue  # a broken bundle: pip, which falls back, will say so better
    return ssl.create_default_context()
