"""The models on this machine, wherever they are kept: listed, and removed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pellucid.errors import ModelNotFoundError, ParameterError
from pellucid.weights import hub, packages, store
from pellucid.weights.aliases import aliases
from pellucid.weights.hub import Repository
from pellucid.weights.packages import Package
from pellucid.weights.references import Reference
from pellucid.weights.selection import is_complete


@dataclass(frozen=True)
class Model:
    """A model on this machine: `name` is a reference to it, `size` is in bytes.

    `format` is "gguf", "safetensors", or "incomplete" where files of the hub's are missing.
    """

    name: str
    format: str
    size: int
    licence: str | None
    path: Path


def models() -> list[Model]:
    """What the store has, then what the hub's cache has (other programs' models too)."""
    return [*_in_store(), *_in_hub_cache()]


def occupied(reference: Reference) -> int:
    """Bytes that `remove` would free.

    Raises ParameterError for a person's own files, ModelNotFoundError for what is not here.
    """
    match reference.target:
        case Path():
            raise ParameterError("REF", f"{reference.target} is your own: remove it yourself")
        case Package():
            size = sum(_occupied_by(key) for key in _keys(reference.target))
        case Repository():
            size = sum(file.size_on_disk for file in _cached_files(reference.target))
    if not size:
        raise ModelNotFoundError(
            f"{reference.text}: not on this machine; `pellucid ls` shows what is"
        )
    return size


def remove(reference: Reference) -> int:
    """Remove a model from the store or the hub's cache, what was half fetched of it too.

    Returns the bytes freed. Raises as `occupied`; DownloadError where the files cannot be removed.
    """
    size = occupied(reference)
    match reference.target:
        case Package():
            return sum(store.remove(key) for key in _keys(reference.target))
        case Repository():
            with store.explained(hub.cache_folder()):
                _remove_cached(reference.target)
    return size


def _in_store() -> Iterator[Model]:
    for _, manifest in store.installed():
        kind = "gguf" if manifest.entry else "safetensors"
        name = _name(manifest.source)
        yield Model(name, kind, manifest.size, manifest.licence, manifest.path)


def _in_hub_cache() -> Iterator[Model]:
    for repository in _scan():
        for revision in sorted(repository.revisions, key=lambda revision: revision.commit_hash):
            yield from _in_revision(repository.repo_id, revision)


def _in_revision(repository: str, revision: Any) -> Iterator[Model]:
    """One model for each GGUF file; else one for the safetensors, if there are any."""
    branch = "main" if "main" in revision.refs else min(revision.refs, default=revision.commit_hash)
    files = sorted(revision.files, key=lambda file: str(file.file_path))
    licence = hub.licence_of(revision.snapshot_path)
    for file in files:
        if file.file_name.endswith(".gguf"):
            name = _name(str(Repository(repository, branch, file.file_name)))
            yield Model(name, "gguf", file.size_on_disk, licence, file.file_path)
    weights = [file for file in files if file.file_name.endswith(".safetensors")]
    if weights:
        folder = weights[0].file_path.parent
        kind = "safetensors" if is_complete(folder) else "incomplete"
        name = _name(str(Repository(repository, branch)))
        yield Model(name, kind, revision.size_on_disk, licence, folder)


def _name(source: str) -> str:
    """The alias of a source, or the source itself."""
    for name, alias in aliases().items():
        if source in (alias.hub, f"pypi:{alias.package}"):
            return name
    return source


def _keys(package: Package) -> list[str]:
    """Where the store has the package, whole or half fetched; of any version, if none is named."""
    known = [key for key, _ in store.installed()] + list(store.unfinished())
    if package.version:
        wanted = [package.key(package.version)]
    else:
        manifest = packages.stored(package)
        started = re.compile(re.escape(package.key("*")).replace(r"\*", r"\d[^-@]*"))
        wanted = (
            [manifest.folder.name] if manifest else [key for key in known if started.fullmatch(key)]
        )
    return sorted(set(wanted) & set(known))


def _occupied_by(key: str) -> int:
    return sum(store.size_of(store.home() / kind / key) for kind in ("models", "downloads"))


def _scan() -> list[Any]:
    """The model repositories in the hub's cache, by name."""
    folder = hub.cache_folder()
    if not folder.is_dir():
        return []
    from huggingface_hub import scan_cache_dir  # noqa: PLC0415  # up to 0.5 s

    repositories = [repo for repo in scan_cache_dir(folder).repos if repo.repo_type == "model"]
    return sorted(repositories, key=lambda repository: str(repository.repo_id))


def _cached_revision(repository: Repository) -> tuple[Any, Any] | None:
    """The cached repository and the revision that is meant."""
    for found in _scan():
        if found.repo_id == repository.name:
            for revision in found.revisions:
                if repository.revision in (revision.commit_hash, *revision.refs):
                    return found, revision
    return None


def _cached_files(repository: Repository) -> list[Any]:
    """The files that removing the reference removes: all of a revision, or the one picked."""
    found = _cached_revision(repository)
    if found is None:
        return []
    files = sorted(found[1].files, key=lambda file: str(file.file_path))
    path = hub.cached(repository) if repository.pick else None
    return [file for file in files if repository.pick is None or file.file_path == path]


def _remove_cached(repository: Repository) -> None:
    found, files = _cached_revision(repository), _cached_files(repository)
    assert found is not None
    if repository.pick is None:
        from huggingface_hub import scan_cache_dir  # noqa: PLC0415

        # Copies of a repository have the same commits; only this one is to go.
        whole = replace(scan_cache_dir(hub.cache_folder()), repos=frozenset(found[:1]))
        whole.delete_revisions(found[1].commit_hash).execute()
        return
    used = [file.blob_path for revision in found[0].revisions for file in revision.files]
    for file in files:
        file.file_path.unlink()
        if used.count(file.blob_path) == 1:  # no other revision has the same content
            file.blob_path.unlink(missing_ok=True)
