"""Parameters in the words of the command line: top_k becomes --top-k."""

from __future__ import annotations

import re
from collections.abc import Iterable

_QUOTED = r"""(?<!\w)'[^']*'(?!\w)|"[^"]*\""""  # an apostrophe opens no quotation


def as_typed(text: str, names: Iterable[str]) -> str:
    """A sentence about parameters, with each of these names as the option that is typed.

    A name that is also a word is only changed at the start, before `=`, or behind "excludes" or
    "without". What stands in quotes is somebody's own words, and stays.

    >>> names = ["seed", "stop", "do_sample", "max_length", "temperature"]
    >>> as_typed("seed: has no effect without sampling; give do_sample=True too", names)
    '--seed: has no effect without sampling; give --do-sample too'
    >>> as_typed("max_length: must stop with temperature=0 and do_sample=False", names)
    '--max-length: must stop with --temperature 0 and --no-do-sample'
    >>> as_typed("max_length: excludes stop; has 'max_length'", names)
    "--max-length: excludes --stop; has 'max_length'"
    >>> as_typed("do_sample: has no effect without seed", names)
    '--do-sample: has no effect without --seed'
    """
    known = "|".join(map(re.escape, names)) or "(?!)"
    option = rf"(?<![\w-])({known})(?:=(\w+))?(?![\w-])"
    return re.sub(rf"{_QUOTED}|{option}", _option, text)


def _option(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name is None:
        return match[0]
    meant = match.string.endswith(("excludes ", "without "), 0, match.start())
    if "_" not in name and value is None and match.start() and not meant:
        return match[0]
    option = name.replace("_", "-")
    if value == "False":
        return f"--no-{option}"
    return f"--{option}" if value in (None, "True") else f"--{option} {value}"
