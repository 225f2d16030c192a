"""What a bug report needs: machine, libraries, places, variables. Secrets are masked."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from pellucid import __version__
from pellucid.weights import hub, store

_LIBRARIES = (
    *("numpy", "tokenizers", "huggingface_hub", "jinja2", "msgspec", "click", "rich", "pip"),
    *("torch", "transformers"),
)
_VARIABLES = re.compile(
    r"(PELLUCID|HF|HUGGING_?FACE|PIP|UV|XDG|SSL|REQUESTS|CURL)_\w+"
    r"|(OMP|OPENBLAS|MKL|CUDA|PYTORCH|TORCH)_\w+"
    r"|(HTTPS?|ALL|NO)_PROXY|NO_COLOR|FORCE_COLOR|TERM|COLUMNS|LANG|LC_ALL|PYTHONUTF8",
    re.IGNORECASE,
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|_KEY\b|CREDENTIAL|AUTH", re.IGNORECASE)
_USER_IN_URL = re.compile(r"(\w+://)[^/@\s]+@")


def facts() -> dict[str, Any]:
    """All of it, as data. Sizes are in bytes; libraries that are not installed are None."""
    return {
        "pellucid": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "platform": platform.platform(),
        "cpu": {"name": _cpu_name(), "cores": os.cpu_count(), "usable": _usable_cores()},
        "memory": _memory(),
        "numpy": _numpy(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "caches": [_place(name, folder) for name, folder in _caches().items()],
        "variables": variables(),
    }


def variables() -> dict[str, str]:
    """The environment variables that matter here; secrets and passwords in URLs are masked."""
    names = sorted(name for name in os.environ if _VARIABLES.fullmatch(name))
    return {name: _masked(name, os.environ[name]) for name in names}


def _masked(name: str, value: str) -> str:
    """A value fit to be shown to strangers.

    >>> _masked("HF_TOKEN", "hf_abc"), _masked("HTTPS_PROXY", "http://me:secret@proxy:8080")
    ('(set, hidden)', 'http://***@proxy:8080')
    """
    return "(set, hidden)" if _SECRET.search(name) else _USER_IN_URL.sub(r"\1***@", value)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numpy() -> dict[str, Any]:
    """What numpy's products run on, and which instructions it found in this processor."""
    import numpy as np  # 0.1 s, for this command alone

    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    simd = config.get("SIMD Extensions", {})
    return {
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "simd": [*simd.get("baseline", []), *simd.get("found", [])],
    }


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _usable_cores() -> int | None:
    """Cores that this process may run on: containers and batch systems may give fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory() -> dict[str, int | None]:
    return {"total": _pages("SC_PHYS_PAGES"), "free": _pages("SC_AVPHYS_PAGES")}


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has none, macOS no free pages
        return None


def _caches() -> dict[str, Path]:
    return {"pellucid": store.home(), "hub": hub.cache_folder()}


def _place(name: str, folder: Path) -> dict[str, Any]:
    existing = store.standing(folder)
    return {
        "name": name,
        "path": str(folder),
        "exists": folder.is_dir(),
        "writable": os.access(existing, os.W_OK),
        "free": shutil.disk_usage(existing).free,
    }
