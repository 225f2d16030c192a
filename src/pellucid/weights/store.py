"""Where fetched models live on this machine, and how processes share that place.

```
<home>/models/<key>/pellucid.json    the manifest: where the model came from, its files and digests
<home>/models/<key>/...              the files
<home>/downloads/<key>/              what is being fetched; kept after a cut, so that it resumes
<home>/locks/<key>.lock              held by the process that fetches or removes
```

A model's folder is built under `downloads` and renamed into `models`, so it is there whole or not
at all. Models of the hub are not here: huggingface_hub keeps them in its own cache.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from pellucid.errors import DownloadError
from pellucid.weights.progress import human

LARGEST_BYTES = 64 << 30  # of a file whose size nobody told beforehand
SPARE_BYTES = 256 << 20  # of a disk: they stay free for whatever else needs them
_MANIFEST = "pellucid.json"
_POLL_SECONDS = 0.1  # Windows has no wait for a lock that Ctrl-C can break


@dataclass(frozen=True)
class Manifest:
    """What the store knows of a model: `files` maps names in its folder to bytes and digests.

    `entry` is the file to open, or "" for the folder itself; `source` is a reference that fetches
    the same model anywhere.
    """

    source: str
    entry: str
    licence: str | None
    files: dict[str, tuple[int, str]]
    folder: Path = Path()

    @property
    def path(self) -> Path:
        """What `open_checkpoint` opens."""
        return self.folder / self.entry

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


def home() -> Path:
    """The store's directory: $PELLUCID_HOME, else `pellucid` in the platform's cache directory."""
    chosen = os.environ.get("PELLUCID_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base or Path.home() / "AppData/Local") / "pellucid/Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/pellucid"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and must be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "pellucid"


def downloads(key: str) -> Path:
    """The folder for what is being fetched for `key`, made if need be."""
    folder = home() / "downloads" / key
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def find(key: str) -> Manifest | None:
    """The model stored under `key` if all of it is there; needs no lock, since it only reads."""
    return _read(home() / "models" / key)


def installed() -> list[tuple[str, Manifest]]:
    """Every whole model in the store with its key, the latest fetched first."""
    found = ((path.name, _read(path)) for path in sorted(_folders("models"), key=_age))
    return [(key, manifest) for key, manifest in found if manifest]


def unfinished() -> dict[str, int]:
    """Bytes of interrupted downloads by key."""
    sizes = {folder.name: size_of(folder) for folder in _folders("downloads")}
    return {key: size for key, size in sizes.items() if size}


def install(key: str, staged: Path, manifest: Manifest) -> Manifest:
    """Move a finished folder to `key`, whose lock is held, and drop what it was made from."""
    target = home() / "models" / key
    with explained(target):
        text = json.dumps({**asdict(manifest), "folder": None}, indent=1)
        (staged / _MANIFEST).write_text(text, "utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(
            target, ignore_errors=True
        )  # what was there is damaged, or `find` had found it
        staged.rename(target)
    shutil.rmtree(home() / "downloads" / key, ignore_errors=True)
    return replace(manifest, folder=target)


def remove(key: str) -> int:
    """Remove a model and its unfinished downloads; returns the bytes freed."""
    folders = [home() / "models" / key, home() / "downloads" / key]
    with locked(key), explained(home()):
        present = [folder for folder in folders if folder.is_dir()]
        freed = sum(size_of(folder) for folder in present)
        for folder in present:
            shutil.rmtree(folder)
    return freed


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder and below; links count nothing."""
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # another process may rename or remove it meanwhile
                status = os.lstat(os.path.join(root, name))
                size += 0 if stat.S_ISLNK(status.st_mode) else status.st_size
    return size


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_space(folder: Path, needed: int, variable: str = "PELLUCID_HOME") -> None:
    """Raise DownloadError where `needed` bytes more would leave the disk of `folder` too full.

    `variable` is the environment variable that chooses another disk.
    """
    with explained(folder):
        free = shutil.disk_usage(standing(folder)).free
    if free - needed < SPARE_BYTES:
        raise DownloadError(
            f"{folder}: {human(needed)} more are to be written, but {human(free)} are free, of "
            f"which {human(SPARE_BYTES)} are left alone; free some space, or set {variable} to a "
            "directory on another disk"
        )


def standing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))


@contextmanager
def locked(key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of `key`; if another process has it, call `waiting` once and wait.

    The operating system drops the lock of a process that dies, however it dies, so a lock file that
    is left behind blocks nobody.
    """
    path = home() / "locks" / f"{key}.lock"
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    with file:
        with explained(path.parent):  # some network disks have no locks
            if not _try_lock(file):
                waiting()
                while not _try_lock(file):
                    time.sleep(_POLL_SECONDS)
        yield  # closing the file releases the lock


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses while `folder` is written into a DownloadError."""
    try:
        yield
    except ConnectionError:  # a closed pipe, say: no file is like that
        raise
    except OSError as error:
        raise DownloadError(_explanation(error, folder)) from error


def _explanation(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{folder}: the disk is full; free some space, or set PELLUCID_HOME to a directory on "
            "another disk (what was fetched so far is kept there, and the next try goes on from it)"
        )
    return (
        f"{folder}: cannot be written ({error.strerror or error}); set PELLUCID_HOME to a "
        "directory that can be"
    )


def _folders(kind: str) -> list[Path]:
    try:
        return sorted(path for path in (home() / kind).iterdir() if path.is_dir())
    except OSError:
        return []


def _age(folder: Path) -> float:
    """Rises from the model that was fetched last; no matter where there is none (any more)."""
    try:
        return -(folder / _MANIFEST).stat().st_mtime
    except OSError:
        return 0.0


def _read(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None unless it is sound and its files have their sizes."""
    try:
        fields = json.loads((folder / _MANIFEST).read_bytes())
        files = {name: (int(size), str(digest)) for name, (size, digest) in fields["files"].items()}
        whole = all((folder / name).stat().st_size == size for name, (size, _) in files.items())
        manifest = Manifest(fields["source"], fields["entry"], fields["licence"], files, folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
