"""Models of the Hugging Face hub, through huggingface_hub: its cache, its environment variables.

A model that is in the cache is found without importing huggingface_hub and without a request. The
layout of the cache is documented by that library: `refs/<revision>` holds a commit, and
`snapshots/<commit>` the files.
"""

from __future__ import annotations

import glob
import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import DownloadError, ModelNotFoundError, PellucidError
from pellucid.weights.licences import card_licence, is_open
from pellucid.weights.progress import Progress
from pellucid.weights.selection import choose, is_complete
from pellucid.weights.store import check_space, digest

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SLACK_BYTES = 1 << 20  # beyond the sizes that the hub states; its library may count a file twice


@dataclass(frozen=True)
class Repository:
    """A repository of the hub at a revision, and which of its GGUF files, if one was picked."""

    name: str
    revision: str = "main"
    pick: str | None = None

    def __str__(self) -> str:
        """As one writes it."""
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"{self.name}{revision}" + (f":{self.pick}" if self.pick else "")


def cache_folder() -> Path:
    """Where huggingface_hub keeps models, by the variables that it reads itself."""
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if chosen:
        return Path(os.path.expandvars(chosen)).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(base, "huggingface")
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def cached(repository: Repository) -> Path | None:
    """What `open_checkpoint` opens, if the cache has all of the model; else None.

    Without a pick, a GGUF file counts where it is the only one in the cache.
    """
    snapshot = _snapshot(repository)
    if snapshot is None:
        return None
    files = [path for path in snapshot.rglob("*") if path.is_file()]
    try:
        chosen = choose(_relative(files, snapshot), repository.pick, str(repository))
    except PellucidError:
        return None
    path = _entry(snapshot, chosen)
    return path if path.is_file() or is_complete(path) else None


def fetch(repository: Repository, progress: Progress, licence: str | None = None) -> Path:
    """Bring a model into the cache, only the files it needs, checked against the hub's digests.

    `licence` is what is known of it already. Raises ModelNotFoundError for no such repository,
    revision or file; DownloadError where it cannot be had; UnsupportedError as `choose` does.
    """
    try:
        return _fetch(repository, progress, licence)
    except PellucidError:
        raise
    except Exception as error:  # its transport, and so its exceptions, changed with each version
        raise _explained(error, repository) from error


def licence_of(path: Path) -> str | None:
    """The licence that the model card beside a cached model states."""
    return card_licence(path if path.is_dir() else path.parent)


def _fetch(repository: Repository, progress: Progress, licence: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415  # up to 0.5 s

    name = repository.name
    info = HfApi().model_info(name, revision=repository.revision, files_metadata=True)
    commit = _commit(info, repository)  # from here on: a branch can move while its files come
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    chosen = choose(siblings, repository.pick, str(repository))
    _tell_licence(repository, licence or _card(info), progress)
    sizes = {file: _size(siblings[file], repository) for file in chosen}
    here = _folder(repository) / "snapshots" / commit
    missing = sum(size for file, size in sizes.items() if not (here / file).is_file())
    check_space(here, missing, "HF_HOME")
    if cached(repository) is None:  # else what is here serves until the new files are whole
        _remember(repository, commit)
    folder = snapshot_download(
        name,
        revision=commit,
        allow_patterns=[glob.escape(file) for file in chosen],
        tqdm_class=_bar(str(repository), sum(sizes.values()), progress),
    )
    for file in chosen:
        _check(Path(folder, file), siblings[file], repository)
    _remember(repository, commit)
    return _entry(Path(folder), chosen)


def _commit(info: Any, repository: Repository) -> str:
    """The commit that the hub says the revision is."""
    if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
        raise DownloadError(f"{repository}: the hub names no commit: {info.sha!r:.60}")
    return info.sha


def _size(sibling: Any, repository: Repository) -> int:
    """The bytes of a file, as the hub states them; without them, nothing would bound a fetch."""
    if not isinstance(sibling.size, int) or sibling.size < 0:
        raise DownloadError(f"{repository}: the hub does not say how large {sibling.rfilename} is")
    return sibling.size


def _remember(repository: Repository, commit: str) -> None:
    """Note which commit a branch or tag is, as huggingface_hub does when it is asked for one."""
    if repository.revision == commit:
        return
    path = _folder(repository) / "refs" / repository.revision
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{os.getpid()}")  # another process may read meanwhile
    written.write_text(commit, "ascii")
    written.replace(path)


def _folder(repository: Repository) -> Path:
    """Where the cache has a repository."""
    return cache_folder() / f"models--{repository.name.replace('/', '--')}"


def _snapshot(repository: Repository) -> Path | None:
    folder = _folder(repository)
    commit = repository.revision
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (folder / "refs" / commit).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
    snapshot = folder / "snapshots" / commit
    return snapshot if _COMMIT.fullmatch(commit) and snapshot.is_dir() else None


def _relative(files: Iterable[Path], folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


def _entry(snapshot: Path, chosen: list[str]) -> Path:
    first = snapshot / next((file for file in chosen if file.endswith(".safetensors")), chosen[0])
    return first if first.suffix == ".gguf" else first.parent


def _check(path: Path, sibling: Any, repository: Repository) -> None:
    """Compare a large file with the digest the hub states; a bad one is deleted."""
    lfs = getattr(sibling, "lfs", None) or {}
    stated = lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)
    found = digest(path) if stated else None
    if found != stated:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise DownloadError(
            f"{repository}: {path.name} has SHA-256 {found}, but the hub says {stated}; the file "
            "was deleted: try again"
        )


def _card(info: Any) -> str | None:
    card = info.card_data or {}
    licence = card.get("license_name") or card.get("license")
    return str(licence) if licence else None


def _tell_licence(repository: Repository, licence: str | None, progress: Progress) -> None:
    if not is_open(licence):
        progress.note(f"{repository}: licence: {licence or 'not stated by its card'}")


def _bar(label: str, total: int, progress: Progress) -> type:
    """A class that huggingface_hub takes for its progress bar, and that tells `progress` instead.

    It hears of bytes before they reach the disk; counts of files and bytes on the wire are not
    told. Where they get more than `total`, or the disk too full, it ends the fetch.
    """
    from huggingface_hub import utils  # noqa: PLC0415

    tqdm: Any = utils.tqdm  # type: ignore[attr-defined, unused-ignore]
    lock = threading.Lock()
    progress.update(label, 0, total)

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:  # noqa: N807
        words = f"{options.pop('name', '')} {options.get('desc', '')}"
        received = re.search("transfer|Downloading bytes", words)
        self.told = options.get("unit") == "B" and not received
        tqdm.__init__(self, *arguments, **{**options, "disable": True})
        self.n = options.get("initial", 0)

    def update(self: Any, n: float | None = 1) -> None:
        with lock:
            self.n += n or 0  # negative where the library starts a file over
            if self.told:
                check_space(cache_folder(), int(n or 0), "HF_HOME")
                if self.n > total + _SLACK_BYTES:
                    raise DownloadError(
                        f"{label}: the hub sends more than the {total:,} bytes it says; try again"
                    )
                progress.update(label, min(max(int(self.n), 0), total), total)

    return type("Bar", (tqdm,), {"__init__": __init__, "update": update})


def _explained(error: Exception, repository: Repository) -> PellucidError:
    from huggingface_hub import constants, errors  # noqa: PLC0415

    reason = " ".join(str(error).split())[:300] or type(error).__name__
    page = f"{constants.ENDPOINT}/{repository.name}"
    if isinstance(error, errors.GatedRepoError):
        return DownloadError(
            f"{repository}: its owner asks you to accept a licence first: do so at {page}, then "
            "log in with `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFoundError(f"{repository}: has no revision {repository.revision!r} ({page})")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFoundError(
            f"{repository}: not on the hub, or private: check the name, or log in with "
            "`hf auth login`"
        )
    with suppress(ImportError):
        if isinstance(error, errors.OfflineModeIsEnabled):
            return DownloadError(f"{repository}: not in the cache, and HF_HUB_OFFLINE is set")
    if isinstance(error, OSError) and error.filename:
        return DownloadError(
            f"{error.filename}: {error.strerror}; set HF_HOME to a directory that can be written "
            "and has space"
        )
    return DownloadError(
        f"{repository}: cannot be fetched from {constants.ENDPOINT}: {reason} (what was fetched is "
        "kept, and the next try goes on from it)"
    )
