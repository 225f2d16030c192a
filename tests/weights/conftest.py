"""A stand-in for the network: one local server that is a package index and a hub, with faults."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pellucid.weights import store

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server:
    """Serves `files` by path, with ranges. Faults are set by path, and used up request by request.

    `cut[path]` lists how many bytes to send before the connection breaks; `stall[path]` how many
    before it hangs until the test ends. `status(path, headers)` may return an error to answer.
    `ranges` and `lengths` say whether it knows ranges, and tells how long an answer is.
    `asked` records (method, path, Range header) in order.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.cut: dict[str, list[int]] = {}
        self.stall: dict[str, list[int]] = {}
        self.status = lambda path, headers: None
        self.ranges = True
        self.lengths = True
        self.asked: list[tuple[str, str, str | None]] = []
        self.over = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()

    def gets(self, path: str) -> list[str | None]:
        """The Range headers of the GET requests for a path."""
        return [range_ for method, asked, range_ in self.asked if (method, asked) == ("GET", path)]

    def add_wheel(self, wheel: bytes, file: str, sha256: str | None = None) -> str:
        """Offer a wheel on the simple index (PEP 503, with the metadata of PEP 658); its path."""
        name = re.sub(r"[-_.]+", "-", file.split("-", maxsplit=1)[0]).lower()
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            self.files[f"/files/{file}.metadata"] = archive.read(metadata)
        self.files[f"/files/{file}"] = wheel
        digest = sha256 or hashlib.sha256(wheel).hexdigest()
        link = f'<a href="/files/{file}#sha256={digest}" data-core-metadata="true" '
        link += f'data-dist-info-metadata="true">{file}</a>'
        page = self.files.get(f"/simple/{name}/", b"<!DOCTYPE html><html><body>").decode()
        self.files[f"/simple/{name}/"] = (page + link).encode()
        return f"/files/{file}"

    def add_repository(self, name: str, files: dict[str, bytes], **info: object) -> None:
        """Offer a repository as the hub does; *.safetensors and *.gguf are stored as LFS."""
        siblings, tree = [], []
        for file, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            row = {"size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            etag = row["oid"]
            if file.endswith((".safetensors", ".gguf")):
                lfs = {"size": len(content), "pointerSize": 134}
                row["lfs"], etag = {**lfs, "oid": sha256}, sha256
                siblings.append(
                    {"rfilename": file, "size": len(content), "lfs": {**lfs, "sha256": sha256}}
                )
            else:
                siblings.append({"rfilename": file, "size": len(content)})
            tree.append({"type": "file", "path": file, **row})
            path = f"/{name}/resolve/{COMMIT}/{file}"
            self.files[path] = content
            self.headers[path] = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        about = {
            "_id": "0",
            "id": name,
            "sha": COMMIT,
            "private": False,
            "siblings": siblings,
            **info,
        }
        for revision in ("", "/revision/main", f"/revision/{COMMIT}"):
            self.files[f"/api/models/{name}{revision}"] = json.dumps(about).encode()
        self.files[f"/api/models/{name}/tree/{COMMIT}"] = json.dumps(tree).encode()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = self.path.split("?")[0]
            server.asked.append((self.command, path, self.headers.get("Range")))
            content = server.files.get(path)
            status = server.status(path, self.headers) or (200 if content is not None else 404)
            if status >= 400 or content is None:
                self._headers(
                    status, {"Content-Length": "0", **server.headers.get(str(status), {})}
                )
                return
            status, start, extra = self._range(content)
            size = 0 if status == 416 else len(content) - start
            kind = "text/html" if path.endswith("/") else "application/json"
            extra = {**extra, **server.headers.get(path, {}), "Content-Type": kind}
            told = {"Content-Length": str(size)} if server.lengths else {"Connection": "close"}
            self._headers(status, {**told, **extra})
            if body and size:
                self._send(path, content[start:])

        def _range(self, content: bytes) -> tuple[int, int, dict[str, str]]:
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if not asked or not server.ranges:
                return 200, 0, {}
            start, total = int(asked[1]), len(content)
            if start >= total:
                return 416, 0, {"Content-Range": f"bytes */{total}"}
            return 206, start, {"Content-Range": f"bytes {start}-{total - 1}/{total}"}

        def _headers(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def _send(self, path: str, content: bytes) -> None:
            for faults, wait in ((server.cut, False), (server.stall, True)):
                if faults.get(path):
                    content = content[: faults[path].pop(0)]
                    self.close_connection = True
                    self.wfile.write(content)
                    self.wfile.flush()
                    if wait:
                        server.over.wait(60)
                    return
            self.wfile.write(content)

    return Handler


@pytest.fixture
def server():
    """A fresh stand-in for the network."""
    stand = Server()
    yield stand
    stand.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty store, pip and hub caches of their own, and no settings from outside."""
    for name in list(os.environ):
        if re.match(r"(PIP|HF|UV|PELLUCID|HUGGING)_|.*_PROXY$", name, re.IGNORECASE):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    for name, value in {
        "PELLUCID_HOME": folder,
        "HF_HOME": tmp_path / "hf",
        "HF_HUB_DISABLE_XET": 1,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": 1,
        "PIP_RETRIES": 0,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, str(value))
    return folder


@pytest.fixture
def index(server, home, monkeypatch):
    """The stand-in as pip's package index."""
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    return server


@pytest.fixture
def hub(server, home, monkeypatch):
    """The stand-in as the hub. huggingface_hub reads the address at import: use `python`."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return server


@pytest.fixture
def make_wheel():
    """wheel(name, version, members) -> (bytes, file name) of a wheel."""

    def make(name: str, version: str, members: dict[str, bytes], licence: str = "MIT"):
        stem = f"{name.replace('-', '_')}-{version}"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: {licence}\n"
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            archive.writestr(f"{stem}.dist-info/METADATA", metadata)
            archive.writestr(f"{stem}.dist-info/WHEEL", tags)
            archive.writestr(f"{stem}.dist-info/RECORD", "")
        return buffer.getvalue(), f"{stem}-py3-none-any.whl"

    return make


@pytest.fixture
def small_disk(monkeypatch):
    """small_disk(size): let every disk have room for so many bytes beside what is kept spare."""

    def leave(size: int) -> None:
        free = store.SPARE_BYTES + size
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, free))

    return leave


@pytest.fixture
def python():
    """start(code) -> a process of its own that runs Python code, with pipes."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            pipe.close()


@pytest.fixture
def heard():
    """A progress that remembers: `notes` and `updates`."""

    class Heard:
        def __init__(self) -> None:
            self.notes: list[str] = []
            self.updates: list[tuple[str, int, int | None]] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

        def update(self, label: str, done: int, total: int | None) -> None:
            self.updates.append((label, done, total))

    return Heard()
