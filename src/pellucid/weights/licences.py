"""Which licences are plainly open, and what a model card says its licence is."""

from __future__ import annotations

import re
from pathlib import Path

# Free to use, change and pass on for any purpose: nothing that a user must be told before using it.
_OPEN = frozenset(
    (
        *("0bsd", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-4.0", "cc0-1.0"),
        *("isc", "mit", "mit-0", "odc-by", "pddl", "unlicense", "zlib"),
    )
)
_CARD_BYTES = 65_536  # the front matter of a model card is a few hundred bytes


def is_open(licence: str | None) -> bool:
    """Whether the licence is one of the plain open ones; an unknown one is not.

    >>> is_open("Apache-2.0"), is_open("Gemma Terms of Use"), is_open(None)
    (True, False, False)
    """
    return licence is not None and licence.strip().lower() in _OPEN


def card_licence(folder: Path) -> str | None:
    """The licence in the front matter of `README.md` in a model's folder, or None.

    The keys are those of the hub's model cards: `license`, and `license_name` where it is "other".
    """
    try:
        with (folder / "README.md").open("rb") as file:
            text = file.read(_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    return _front_licence(front[1]) if front else None


def _front_licence(front: str) -> str | None:
    found = dict(re.findall(r"^(license|license_name):[ \t]*(\S[^\n]{0,200})", front, re.MULTILINE))
    name = found.get("license_name", found.get("license"))
    return name.strip().strip("'\"") if name else None
